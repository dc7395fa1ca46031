// deployed: a whole network as one op. Its text and frozen weights come with each call; packed weights and plans are
// made once and shared by all callers, each of whom takes a plan for himself.
#include <dlfcn.h>

#include "cpu/engine/networks.h"

namespace ppeffconv {
namespace {

using engine::AnyNetwork;
using engine::Dims;
using engine::Networks;
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
  const std::shared_ptr<engine::Packed> packed = Networks::all().get(uid);
  AnyNetwork& network = packed->network(program, frozen);
  const Dims images = dims_of(x.shape());
  const std::vector<Dims> sizes = network.infer(images);
  PD_CHECK(sizes.size() <= kOutputs, "deployed: at most ", kOutputs, " outputs, got ", sizes.size());
  std::vector<Tensor> results;
  std::vector<float*> places;
  for (const Dims& size : sizes) {
    results.push_back(paddle::empty(shape_of(size, network.flat), paddle::DataType::FLOAT32, x.place()));
    places.push_back(results.back().data<float>());
  }
  while (results.size() < kOutputs) results.push_back(paddle::empty({0}, paddle::DataType::FLOAT32, x.place()));
  results.push_back(paddle::empty({network.masks}, paddle::DataType::FLOAT32, x.place()));
  float* densities = results.back().data<float>();
  if (images.batch == 0) {
    std::fill(densities, densities + network.masks, 0.0f);
    return results;
  }
  const WithoutPythonLock unlocked;
  network.run(x.data<float>(), images, places, densities);
  Networks::all().keep(uid, packed);
  return results;
}

// Sizes that are not known while a graph is traced are -1, and so is what depends on them.
std::vector<std::vector<int64_t>> infer_known(const std::vector<int64_t>& x,
                                              const std::vector<std::vector<int64_t>>& weights,
                                              const std::string& program, const std::string& uid) {
  PD_CHECK(x.size() == 4, "x must have 4 dimensions, got ", x.size());
  const std::shared_ptr<engine::Packed> packed = Networks::all().get(uid);
  const AnyNetwork* network = packed->packed(program);
  std::unique_ptr<AnyNetwork> sizes_alone;  // its weights need no data
  if (network == nullptr) {
    std::vector<Weight> sizes;
    for (const auto& shape : weights) sizes.push_back({nullptr, shape});
    sizes_alone = engine::make_network(program, sizes);
    network = sizes_alone.get();
  }
  std::vector<std::vector<int64_t>> shapes;
  for (const Dims& dims : network->infer(dims_of(x))) shapes.push_back(shape_of(dims, network->flat));
  while (shapes.size() < kOutputs) shapes.push_back({0});
  shapes.push_back({network->masks});
  return shapes;
}

// Paddle ends the process where shapes cannot be inferred: whatever is wrong is left to the kernel, which may say so.
std::vector<std::vector<int64_t>> infer_shape(const std::vector<int64_t>& x,
                                              const std::vector<std::vector<int64_t>>& weights,
                                              const std::string& program, const std::string& uid) {
  try {
    return infer_known(x, weights, program, uid);
  } catch (const std::exception&) {
    std::vector<std::vector<int64_t>> unknown(kOutputs, std::vector<int64_t>(4, engine::kUnknown));
    unknown.push_back({engine::kUnknown});
    return unknown;
  }
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
extern "C" __attribute__((visibility("default"))) void ppeffconv_hold(const char* uid) { Networks::all().hold(uid); }
extern "C" __attribute__((visibility("default"))) void ppeffconv_release(const char* uid) {
  Networks::all().release(uid);
}
// Bytes: of packed weights, of the memory in which programs run, of what is kept between calls, and the limit of that.
extern "C" __attribute__((visibility("default"))) void ppeffconv_memory(int64_t* bytes) {
  bytes[0] = engine::Packed::total(), bytes[1] = engine::Working::total();
  bytes[2] = engine::Kept::all().bytes(), bytes[3] = engine::Kept::all().limit();
}
extern "C" __attribute__((visibility("default"))) void ppeffconv_limit_memory(int64_t bytes) {
  engine::Kept::all().set_limit(bytes);
}

}  // namespace ppeffconv

PD_BUILD_OP(ppeffconv_deployed)
    .Inputs({"X", paddle::Vec("Weights")})
    .Outputs({"Y0", "Y1", "Y2", "Y3", "Y4", "Y5", "Y6", "Y7", "Densities"})
    .Attrs({"program: std::string", "uid: std::string"})
    .SetKernelFn(PD_KERNEL(ppeffconv::Guarded<ppeffconv::deployed>::run))
    .SetInferShapeFn(PD_INFER_SHAPE(ppeffconv::infer_shape))
    .SetInferDtypeFn(PD_INFER_DTYPE(ppeffconv::infer_dtype));
