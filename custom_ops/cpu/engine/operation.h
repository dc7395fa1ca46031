// What a step becomes: an operation with its weights packed, which for given sizes adds its tasks to a plan.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "common/checks.h"
#include "cpu/engine/program.h"
#include "cpu/engine/run.h"
#include "cpu/engine/team.h"

namespace ppeffconv::engine {

// Of a map. While a graph is traced a side may be unknown, and so is what follows from it.
struct Dims {
  int64_t batch, height, width, channels;
};
constexpr int64_t kUnknown = -1;
inline bool same_side(int64_t a, int64_t b) { return a == b || a == kUnknown || b == kUnknown; }
inline bool same_size(const Dims& a, const Dims& b) {
  return same_side(a.batch, b.batch) && same_side(a.height, b.height) && same_side(a.width, b.width);
}
inline int64_t times(int64_t side, double factor) { return side == kUnknown ? side : int64_t(side * factor); }
inline int64_t half(int64_t side) { return side == kUnknown ? side : (side + 1) / 2; }
// Whether a map has half of another one's size, rounded up.
inline bool has_half(const Dims& low, const Dims& of) {
  return same_side(low.batch, of.batch) && same_side(low.height, half(of.height)) &&
         same_side(low.width, half(of.width));
}

// A frozen weight as the program's caller gives it: float32, in Paddle's layout. Without data only sizes are inferred.
struct Weight {
  const float* data = nullptr;
  std::vector<int64_t> shape;

  int64_t size() const {
    int64_t total = 1;
    for (int64_t side : shape) total *= side;
    return total;
  }
};

// The active pixels of a mask, found anew in every run.
struct Active {
  std::vector<int32_t> list;
  std::vector<uint8_t> kept;  // of every pixel, 0 or 1, and a few to spare
  int64_t count = 0, pixels = 0;

  // The next `count` of them, at most eight, a byte each.
  uint64_t kept_bytes(int64_t from, int64_t count) const {
    uint64_t bytes;
    std::memcpy(&bytes, kept.data() + from, 8);
    return count < 8 ? bytes & ((uint64_t{1} << 8 * count) - 1) : bytes;
  }
  int64_t bytes() const { return kept.size() + list.size() * sizeof(int32_t); }
  double density() const { return pixels ? double(count) / pixels : 0; }
  // What is computed: beyond the density where the list no longer pays everything, if it may.
  Rows rows(bool all) const { return all && density() > kBreakEven ? Rows{pixels} : Rows{count, list.data()}; }
  // Where Winograd's way of computing everything is faster than the list.
  bool dense_enough_for_winograd() const { return density() > kWinogradBreakEven; }

  // by measurement
  static constexpr double kBreakEven = 0.94, kWinogradBreakEven = 0.55;
};

// Scratch of a thread, and what else a task needs of the run.
struct Context {
  static constexpr int64_t kScratch = sizeof(float) * Run<float>::kTileFloats;
  char* scratch = nullptr;

  char* of_thread(int64_t rank) const { return scratch + rank * kScratch; }
};

// Collects the tasks of one operation on given maps. `scratch` lives as long as the operation runs.
template <typename T>
class Binder {
 public:
  std::vector<Map<T>> in;
  Map<T> out;
  std::vector<std::shared_ptr<Active>> masks;   // of the inputs; null where one is no mask
  std::vector<Map<T>> outs;                     // of masks, which may be several, and have no data
  std::vector<std::shared_ptr<Active>> active;  // and what becomes of them
  const float* const* images = nullptr;         // the program's input, NCHW, of the present run
  const RowFunctions<T>* rows = nullptr;
  const T* zeros = nullptr;
  Context* context = nullptr;
  int64_t threads = 1;

  Binder(char* scratch, std::vector<Task>* tasks) : scratch_(scratch), tasks_(tasks) {}

  // A task that computes the output's values, or so many; sixteen multiply-adds count as one.
  void task(std::function<void(Piece)> work) { task(out.pixels() * out.pitch, std::move(work)); }
  void task(int64_t values, std::function<void(Piece)> work) { tasks_->push_back({std::move(work), pieces(values)}); }

  // Enough pieces for threads that get on at unlike speeds, each large enough to be worth its taking.
  int64_t pieces(int64_t values) const {
    constexpr int64_t kLeast = 64 << 10, kOfThread = 4;
    return threads == 1 ? 1 : std::clamp(values / kLeast, threads, kOfThread * threads);
  }

  // Memory for `count` elements, not initialised.
  template <typename E>
  E* scratch(int64_t count) {
    char* at = scratch_ + used_;
    used_ += round_up(count * sizeof(E) + 4 * kAlign, kAlign);
    return reinterpret_cast<E*>(at);
  }
  Map<T> scratch_map(const Dims& d) {
    const int64_t pitch = round_up(d.channels, unit<T>());
    return {scratch<T>(d.batch * d.height * d.width * pitch), d.batch, d.height, d.width, d.channels, pitch};
  }
  int64_t used() const { return used_; }

  // A product over all of the output's pixels.
  void product(const Product<T>* product, Call<T> call) {
    const int64_t count = call.out.pixels();
    this->product(product, std::move(call), [count] { return Rows{count}; });
  }
  // Over those that `which` names when the task runs.
  void product(const Product<T>* product, Call<T> call, std::function<Rows()> which) {
    const int64_t values = call.out.pixels() * product->size() / 16;
    task(values, [=, run = *rows, zeros = zeros, context = context](Piece piece) {
      Run<T>(*product, call, which(), run, zeros, piece, context->of_thread(piece.worker))();
    });
  }

 private:
  char* scratch_;
  std::vector<Task>* tasks_;
  int64_t used_ = 0;
};

template <typename T>
class Operation {
 public:
  explicit Operation(const Step& step) : text(step.text) {}
  virtual ~Operation() = default;

  std::string text;
  std::vector<int> inputs;  // values, in the order of Binder::in
  int out = -1;
  std::vector<int> more;  // values that are made beside `out`
  int in_place = -1;      // position of the input that the output may overwrite where nobody else needs it

  virtual Dims infer(const std::vector<Dims>& in) const = 0;
  virtual Dims infer_more(const std::vector<Dims>&, size_t) const { return {}; }
  virtual void settle() {}  // when the network is complete
  virtual void bind(Binder<T>& binder) const = 0;

 protected:
  void check(bool condition, const char* what) const { PD_CHECK(condition, "deployed: ", what, ": ", text); }
};

// What an operation's constructor reads: its step, and the weights of the network.
struct Definition {
  const Step& step;
  const std::vector<Weight>& weights;

  // Weight `key`, which must have `rank` dimensions.
  const Weight& weight(const char* key, size_t rank) const {
    const int64_t index = step.number(key, -1);
    PD_CHECK(index >= 0 && index < int64_t(weights.size()), "deployed: there is no weight for '", key,
             "': ", step.text);
    PD_CHECK(weights[index].shape.size() == rank, "deployed: weight '", key, "' must have ", rank,
             " dimensions: ", step.text);
    return weights[index];
  }
  // A number for each channel, behind them zeros to spare for whole panels.
  std::vector<float> vector(const char* key, int64_t channels) const {
    const Weight& from = weight(key, 1);
    PD_CHECK(from.size() == channels, "deployed: '", key, "' must hold ", channels, " numbers: ", step.text);
    std::vector<float> padded(channels + 2 * kPanel);
    if (from.data) std::copy(from.data, from.data + channels, padded.begin());
    return padded;
  }
};

}  // namespace ppeffconv::engine
