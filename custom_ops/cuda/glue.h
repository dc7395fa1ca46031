// Between Paddle's tensors and the launchers: pointers, types, scratch.
#pragma once

#include "api.h"
#include "device.cuh"

namespace ppeffconv {

using paddle::Tensor;
using Shape = std::vector<int64_t>;

template <typename T>
const T* in(const Tensor& tensor) {
  return static_cast<const T*>(tensor.data());
}

template <typename T>
T* out(Tensor& tensor) {
  return static_cast<T*>(tensor.data());
}

// On which a tensor's device works; the emulation of the tests has none.
inline cudaStream_t stream([[maybe_unused]] const Tensor& tensor) {
#ifdef __CUDACC__
  return tensor.stream();
#else
  return nullptr;
#endif
}

// An uninitialised tensor beside another one.
inline Tensor empty_beside(const Tensor& tensor, const Shape& shape) {
  return paddle::experimental::empty(shape, tensor.dtype(), tensor.place());
}

inline Tensor scratch_beside(const Tensor& tensor, int64_t floats) {
  return paddle::experimental::empty({floats}, paddle::DataType::FLOAT32, tensor.place());
}

// Calls run(T{}) with the type that the kernels have for a tensor's.
template <typename Run>
void with_type(const Tensor& tensor, const Run& run) {
  switch (tensor.dtype()) {
    case paddle::DataType::FLOAT32: return run(float{});
    case paddle::DataType::FLOAT16: return run(__half{});
    case paddle::DataType::BFLOAT16: return run(__nv_bfloat16{});
    default: PD_THROW("the kernels for GPUs take float32, float16 and bfloat16");
  }
}

}  // namespace ppeffconv
