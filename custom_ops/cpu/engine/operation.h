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

struct Dims {
  int64_t batch, height, width, channels;
};
inline bool same_size(const Dims& a, const Dims& b) {
  return a.batch == b.batch && a.height == b.height && a.width == b.width;
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
  std::vector<Aligned<char>> scratch;  // of each thread
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

  Binder(char* arena, std::vector<Task>* tasks) : arena_(arena), tasks_(tasks) {}

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
    char* at = arena_ + used_;
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
      Run<T>(*product, call, which(), run, zeros, piece, context->scratch[piece.worker].data())();
    });
  }

 private:
  char* arena_;
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
