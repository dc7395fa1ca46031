// deployed: a whole network as one op. Its text and frozen weights come with each call; packed weights and plans are
// made once and shared by all callers, each of whom takes a plan for himself.
#include <dlfcn.h>

#include <list>

#include "cpu/engine/network.h"

namespace ppeffconv {
namespace {

using engine::AnyNetwork;
using engine::Dims;
using engine::Weight;
using paddle::Tensor;

constexpr size_t kOutputs = 8;

// Paddle Inference holds Python's lock while it runs; predictors of several threads would wait for each other.
class WithoutPythonLock {
 public:
  WithoutPythonLock() {
    static const auto holds = find<int (*)()>("PyGILState_Check");
    static const auto release = find<void* (*)()>("PyEval_SaveThread");
    if (holds && release && holds()) state_ = release();
  }
  ~WithoutPythonLock() {
    static const auto restore = find<void (*)(void*)>("PyEval_RestoreThread");
    if (state_) restore(state_);
  }

 private:
  template <typename F>
  static F find(const char* name) {
    return reinterpret_cast<F>(dlsym(RTLD_DEFAULT, name));
  }
  void* state_ = nullptr;
};

// A 64-bit fingerprint of the weights' numbers (FNV-1a, a word at a time).
uint64_t fingerprint(const std::vector<Weight>& weights) {
  uint64_t hash = 1469598103934665603u;
  for (const Weight& weight : weights) {
    const int64_t size = weight.size();
    for (int64_t i = 0; i < size; ++i) {
      uint32_t word;
      std::memcpy(&word, weight.data + i, 4);
      hash = (hash ^ word) * 1099511628211u;
    }
  }
  return hash;
}

// A few numbers of each weight: looked at in every call, as addresses may have been given to other numbers since.
std::vector<float> spots(const std::vector<Weight>& weights) {
  std::vector<float> numbers;
  for (const Weight& weight : weights) {
    const int64_t size = weight.size();
    for (int64_t at : {int64_t{0}, size / 2, size - 1}) numbers.push_back(size > 0 ? weight.data[at] : 0);
  }
  return numbers;
}

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

std::unique_ptr<AnyNetwork> make(const std::string& text, const std::vector<Weight>& weights) {
  const engine::Program program = engine::Program::parse(text);
  if (program.bfloat) return std::make_unique<engine::Network<engine::bfloat16>>(program, weights);
  return std::make_unique<engine::Network<float>>(program, weights);
}

// Networks by the hash of their text and weights; those used last stay.
class Networks {
 public:
  static Networks& all() {
    static Networks networks;
    return networks;
  }

  // Packs the weights at the first call. Numbers at other addresses are compared once, so that a uid that does not
  // belong to them is found out.
  std::shared_ptr<AnyNetwork> get(const std::string& uid, const std::string& text, const std::vector<Weight>& weights) {
    std::vector<const float*> places;
    for (const Weight& weight : weights) places.push_back(weight.data);
    const std::lock_guard<std::mutex> guard(mutex_);
    Entry& entry = find(uid);
    if (!entry.network) {
      entry.network = make(text, weights);
      entry.hash = fingerprint(weights), entry.spots = spots(weights), entry.text = text;
    }
    const bool known = entry.places.empty() || entry.places.count(places) > 0;
    PD_CHECK(same_bits(spots(weights), entry.spots) && (known || fingerprint(weights) == entry.hash),
             "deployed: the weights are not those that this uid was made from; deploy the network again");
    PD_CHECK(entry.text == text, "deployed: this uid was made from another program; deploy the network again");
    entry.places.insert(std::move(places));
    return entry.network;
  }

  // Sizes alone; the weights need no data.
  std::shared_ptr<AnyNetwork> shapes(const std::string& uid, const std::string& text,
                                     const std::vector<Weight>& weights) {
    const std::lock_guard<std::mutex> guard(mutex_);
    Entry& entry = find(uid);
    if (!entry.network && !entry.shapes) entry.shapes = make(text, weights);
    return entry.network ? entry.network : entry.shapes;
  }

  void release(const std::string& uid) {
    const std::lock_guard<std::mutex> guard(mutex_);
    entries_.remove_if([&](const Entry& entry) { return entry.uid == uid; });
  }

 private:
  struct Entry {
    std::string uid, text;
    std::shared_ptr<AnyNetwork> network, shapes;
    uint64_t hash = 0;
    std::vector<float> spots;
    std::set<std::vector<const float*>> places;
  };
  static constexpr size_t kNetworks = 32;

  Entry& find(const std::string& uid) {
    for (auto entry = entries_.begin(); entry != entries_.end(); ++entry) {
      if (entry->uid != uid) continue;
      entries_.splice(entries_.begin(), entries_, entry);
      return entries_.front();
    }
    entries_.emplace_front();
    entries_.front().uid = uid;
    if (entries_.size() > kNetworks) entries_.pop_back();
    return entries_.front();
  }

  std::mutex mutex_;
  std::list<Entry> entries_;
};

Dims dims_of(const std::vector<int64_t>& shape) { return {shape[0], shape[2], shape[3], shape[1]}; }

std::vector<int64_t> shape_of(const Dims& dims, bool flat) {
  if (flat) return {dims.batch, dims.channels};
  return {dims.batch, dims.channels, dims.height, dims.width};
}

std::vector<Tensor> deployed(const Tensor& x, const std::vector<Tensor>& weights, const std::string& program,
                             const std::string& uid) {
  check_float_tensor(x, 4, "x");
  std::vector<Weight> frozen;
  for (const Tensor& weight : weights) {
    check_plain(weight, "a weight");
    PD_CHECK(weight.dtype() == paddle::DataType::FLOAT32, "a weight must be float32");
    frozen.push_back({weight.data<float>(), weight.shape()});
  }
  const std::shared_ptr<AnyNetwork> network = Networks::all().get(uid, program, frozen);
  const Dims images = dims_of(x.shape());
  const std::vector<Dims> sizes = network->infer(images);
  PD_CHECK(sizes.size() <= kOutputs, "deployed: at most ", kOutputs, " outputs, got ", sizes.size());
  std::vector<Tensor> results;
  std::vector<float*> places;
  for (const Dims& size : sizes) {
    results.push_back(paddle::empty(shape_of(size, network->flat), paddle::DataType::FLOAT32, x.place()));
    places.push_back(results.back().data<float>());
  }
  while (results.size() < kOutputs) results.push_back(paddle::empty({0}, paddle::DataType::FLOAT32, x.place()));
  results.push_back(paddle::empty({network->masks}, paddle::DataType::FLOAT32, x.place()));
  float* densities = results.back().data<float>();
  if (images.batch == 0) {
    std::fill(densities, densities + network->masks, 0.0f);
    return results;
  }
  const WithoutPythonLock unlocked;
  network->run(x.data<float>(), images, places, densities);
  return results;
}

// Sizes that are not known while a graph is traced are -1, and so is what depends on them.
std::vector<std::vector<int64_t>> infer_shape(const std::vector<int64_t>& x,
                                              const std::vector<std::vector<int64_t>>& weights,
                                              const std::string& program, const std::string& uid) {
  PD_CHECK(x.size() == 4, "x must have 4 dimensions, got ", x.size());
  std::vector<Weight> sizes;
  for (const auto& shape : weights) sizes.push_back({nullptr, shape});
  const std::shared_ptr<AnyNetwork> network = Networks::all().shapes(uid, program, sizes);
  const bool known = std::all_of(x.begin(), x.end(), [](int64_t side) { return side > 0; });
  constexpr int64_t kSome = 512;
  const std::vector<Dims> outputs = network->infer(known ? dims_of(x) : Dims{1, kSome, kSome, x[1]});
  std::vector<std::vector<int64_t>> shapes;
  for (const Dims& dims : outputs) {
    shapes.push_back(shape_of(dims, network->flat));
    if (known) continue;
    shapes.back()[0] = x[0];
    if (!network->flat) shapes.back()[2] = shapes.back()[3] = -1;
  }
  while (shapes.size() < kOutputs) shapes.push_back({0});
  shapes.push_back({network->masks});
  return shapes;
}

std::vector<paddle::DataType> infer_dtype(paddle::DataType x, const std::vector<paddle::DataType>&) {
  return std::vector<paddle::DataType>(kOutputs + 1, x);
}

}  // namespace

// For ppeffconv/ops/deployed.py, by ctypes: milliseconds of each step of the last run on this thread.
extern "C" __attribute__((visibility("default"))) void ppeffconv_profile(int on) {
  engine::Profile::of_thread().on = on != 0;
}
extern "C" __attribute__((visibility("default"))) int ppeffconv_profile_read(double* ms, int most) {
  const std::vector<double>& measured = engine::Profile::of_thread().ms;
  const int count = std::min<int>(most, int(measured.size()));
  std::copy(measured.begin(), measured.begin() + count, ms);
  return count;
}
extern "C" __attribute__((visibility("default"))) void ppeffconv_release(const char* uid) {
  Networks::all().release(uid);
}

}  // namespace ppeffconv

PD_BUILD_OP(ppeffconv_deployed)
    .Inputs({"X", paddle::Vec("Weights")})
    .Outputs({"Y0", "Y1", "Y2", "Y3", "Y4", "Y5", "Y6", "Y7", "Densities"})
    .Attrs({"program: std::string", "uid: std::string"})
    .SetKernelFn(PD_KERNEL(ppeffconv::Guarded<ppeffconv::deployed>::run))
    .SetInferShapeFn(PD_INFER_SHAPE(ppeffconv::infer_shape))
    .SetInferDtypeFn(PD_INFER_DTYPE(ppeffconv::infer_dtype));
