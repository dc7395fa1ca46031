// Argument checks that the kernels share. The Python layer explains mistakes; these keep a wrong call from crashing.
#pragma once

#include <algorithm>
#include <cstdint>
#include <exception>
#include <string>
#include <vector>

#include "paddle/common/enforce.h"
#include "paddle/phi/api/all.h"

namespace ppeffconv {

// Whether this library has the kernels of cuda/*.cu.
#ifdef PPEFFCONV_WITH_CUDA
constexpr bool kWithCuda = true;
#else
constexpr bool kWithCuda = false;
#endif

// Paddle Inference hands blocked tensors to ops when its own oneDNN mode is on; read as NCHW they give wrong numbers.
inline void check_layout(const paddle::Tensor& tensor, const char* name) {
  PD_CHECK(tensor.layout() != phi::DataLayout::ONEDNN, name,
           " is in a oneDNN-blocked layout: use paddle.assign(x) before this op, or disable_mkldnn() in the predictor");
}

inline void check_plain(const paddle::Tensor& tensor, const char* name) {
  PD_CHECK(tensor.is_cpu(), name, " must be on the CPU");
  check_layout(tensor, name);
}

// For an op with kernels for both: the tensor is where `first`, its first one, is, on the CPU or a GPU.
inline void check_device(const paddle::Tensor& tensor, const paddle::Tensor& first, const char* name) {
  PD_CHECK(tensor.is_cpu() || (kWithCuda && tensor.is_gpu()), name, " is on a device without kernels");
  PD_CHECK(tensor.place() == first.place(), name, " must be on the device of the other tensors");
  check_layout(tensor, name);
}

// And of a type that the kernels of that device take.
inline void check_type(const paddle::Tensor& tensor, const char* name) {
  using paddle::DataType;
  const DataType type = tensor.dtype();
  const bool half = type == DataType::FLOAT16 || type == DataType::BFLOAT16;
  const bool fits = tensor.is_gpu() ? half : type == DataType::FLOAT64;
  PD_CHECK(fits || type == DataType::FLOAT32, name, " must be float32, or float64 on the CPU, or a half type on a GPU");
}

inline void check_rank(const paddle::Tensor& tensor, size_t rank, const char* name) {
  PD_CHECK(tensor.shape().size() == rank, name, " must have ", rank, " dimensions, got ", tensor.shape().size());
}

inline void check_float_tensor(const paddle::Tensor& tensor, size_t rank, const char* name) {
  check_plain(tensor, name);
  check_rank(tensor, rank, name);
  PD_CHECK(tensor.dtype() == paddle::DataType::FLOAT32, name, " must be float32");
}

// Of the type of `x`, and of this shape.
inline void check_like(const paddle::Tensor& tensor, const paddle::Tensor& x, const std::vector<int64_t>& shape,
                       const char* name) {
  check_plain(tensor, name);
  PD_CHECK(tensor.dtype() == x.dtype() && tensor.shape() == shape, name, " does not fit x");
}

inline void check_positive(const std::vector<int>& values, size_t count, const char* name) {
  PD_CHECK(values.size() == count, name, " must hold ", count, " numbers, got ", values.size());
  for (int value : values) PD_CHECK(value > 0, name, " must be positive, got ", value);
}

// Beyond what any machine can hold the number of elements would wrap, even on the way to that of an empty tensor.
inline void check_size(const std::vector<int64_t>& shape, const char* name) {
  double elements = 1;
  for (int64_t side : shape) elements *= std::max(static_cast<double>(side), 1.0);
  PD_CHECK(elements < static_cast<double>(int64_t{1} << 40), name, " would have ", elements, " elements");
}

// What Paddle Inference passes on with its text; of any other exception it keeps the type's name alone. The place in
// the sources, which is that of whoever compiled them, is left out.
[[noreturn]] inline void fail(const std::string& what) {
  const std::string text = what.substr(0, what.rfind("\n  ["));
  throw common::enforce::EnforceNotMet(common::errors::External("%s", text.c_str()), "ppeffconv", 0);
}

// PD_KERNEL(Guarded<kernel>::run): whatever is thrown, by the standard library or oneDNN as for a lack of memory too,
// becomes an error in Python. On exceptions that it does not know Paddle ends the process, as on those inside a parallel
// region: there kernels allocate no more than small scratch.
template <auto kKernel>
struct Guarded;

template <typename... Arguments, std::vector<paddle::Tensor> (*kKernel)(Arguments...)>
struct Guarded<kKernel> {
  static std::vector<paddle::Tensor> run(Arguments... arguments) {
    try {
      return kKernel(arguments...);
    } catch (const common::enforce::EnforceNotMet&) {
      throw;
    } catch (const std::exception& error) {
      fail(error.what());
    }
  }
};

}  // namespace ppeffconv
