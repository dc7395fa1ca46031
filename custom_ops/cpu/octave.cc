// ppeffconv_octave_*: the exchange between the two resolutions of octave convolution, and its gradients; here on the
// CPU, in cuda/octave.cu on a GPU.
#include "paddle/phi/api/all.h"

#include "common/checks.h"
#include "common/second_derivative.h"
#include "cuda/api.h"
#include "octave_kernel.h"

namespace {

using paddle::DataType;
using paddle::Tensor;
using paddle::experimental::empty;
using paddle::experimental::empty_like;
using ppeffconv::octave::Planes;
using Shape = std::vector<int64_t>;

void check(const Tensor& tensor, const char* name) {
  ppeffconv::check_device(tensor, tensor, name);
  ppeffconv::check_type(tensor, name);
  ppeffconv::check_rank(tensor, 4, name);
}

void check_shape(const Tensor& tensor, const Shape& shape, const Tensor& like, const char* name) {
  ppeffconv::check_device(tensor, like, name);
  PD_CHECK(tensor.shape() == shape && tensor.dtype() == like.dtype(), name, " does not fit the other resolution");
}

Planes planes(const Shape& full) { return {full[0] * full[1], full[2], full[3]}; }

Shape half(const Shape& full) { return {full[0], full[1], (full[2] + 1) / 2, (full[3] + 1) / 2}; }

Shape full(const Shape& half, int height, int width) { return {half[0], half[1], height, width}; }

std::vector<Tensor> pool(const Tensor& x) {
  check(x, "octave_pool: x");
  if constexpr (ppeffconv::kWithCuda) {
    if (x.is_gpu()) return ppeffconv::octave_pool_cuda_forward(x);
  }
  Tensor y = empty(half(x.shape()), x.dtype(), x.place());
  PD_DISPATCH_FLOATING_TYPES(x.dtype(), "ppeffconv_octave_pool", ([&] {
    ppeffconv::octave::pool<data_t>(planes(x.shape()), x.data<data_t>(), y.data<data_t>());
  }));
  return {y};
}

std::vector<Tensor> pool_gradient(const Tensor& x, const Tensor& dy) {
  check(x, "octave_pool: x");
  check_shape(dy, half(x.shape()), x, "octave_pool: the output's gradient");
  if constexpr (ppeffconv::kWithCuda) {
    if (x.is_gpu()) return ppeffconv::octave_pool_cuda_backward(x, dy);
  }
  Tensor dx = empty_like(x);
  PD_DISPATCH_FLOATING_TYPES(x.dtype(), "ppeffconv_octave_pool_grad", ([&] {
    ppeffconv::octave::pool_gradient<data_t>(planes(x.shape()), dy.data<data_t>(), dx.data<data_t>());
  }));
  return {dx};
}

std::vector<Tensor> upsample(const Tensor& low, int height, int width) {
  check(low, "octave_upsample: low");
  const Shape shape = full(low.shape(), height, width);
  PD_CHECK(height >= 0 && width >= 0 && half(shape) == low.shape(), "octave_upsample: low does not fit [", height, ", ",
           width, "]");
  if constexpr (ppeffconv::kWithCuda) {
    if (low.is_gpu()) return ppeffconv::octave_upsample_cuda_forward(low, height, width);
  }
  Tensor y = empty(shape, low.dtype(), low.place());
  PD_DISPATCH_FLOATING_TYPES(low.dtype(), "ppeffconv_octave_upsample", ([&] {
    ppeffconv::octave::upsample<data_t>(planes(shape), nullptr, low.data<data_t>(), y.data<data_t>());
  }));
  return {y};
}

std::vector<Tensor> upsample_gradient(const Tensor& dy, int, int) {
  check(dy, "octave_upsample: the output's gradient");
  if constexpr (ppeffconv::kWithCuda) {
    if (dy.is_gpu()) return ppeffconv::octave_upsample_cuda_backward(dy);
  }
  Tensor dlow = empty(half(dy.shape()), dy.dtype(), dy.place());
  PD_DISPATCH_FLOATING_TYPES(dy.dtype(), "ppeffconv_octave_upsample_grad", ([&] {
    ppeffconv::octave::upsample_gradient<data_t>(planes(dy.shape()), dy.data<data_t>(), nullptr, dlow.data<data_t>());
  }));
  return {dlow};
}

std::vector<Tensor> upsample_add(const Tensor& high, const Tensor& low) {
  check(high, "octave_upsample_add: high");
  check_shape(low, half(high.shape()), high, "octave_upsample_add: low");
  if constexpr (ppeffconv::kWithCuda) {
    if (high.is_gpu()) return ppeffconv::octave_upsample_add_cuda_forward(high, low);
  }
  Tensor y = empty_like(high);
  PD_DISPATCH_FLOATING_TYPES(low.dtype(), "ppeffconv_octave_upsample_add", ([&] {
    ppeffconv::octave::upsample<data_t>(planes(high.shape()), high.data<data_t>(), low.data<data_t>(),
                                        y.data<data_t>());
  }));
  return {y};
}

// dhigh equals dy but may not be the same memory: Paddle adds to gradients in place.
std::vector<Tensor> upsample_add_gradient(const Tensor& dy) {
  check(dy, "octave_upsample_add: the output's gradient");
  if constexpr (ppeffconv::kWithCuda) {
    if (dy.is_gpu()) return ppeffconv::octave_upsample_add_cuda_backward(dy);
  }
  Tensor dhigh = empty_like(dy), dlow = empty(half(dy.shape()), dy.dtype(), dy.place());
  PD_DISPATCH_FLOATING_TYPES(dy.dtype(), "ppeffconv_octave_upsample_add_grad", ([&] {
    ppeffconv::octave::upsample_gradient<data_t>(planes(dy.shape()), dy.data<data_t>(), dhigh.data<data_t>(),
                                                 dlow.data<data_t>());
  }));
  return {dhigh, dlow};
}

std::vector<Shape> pool_shape(const Shape& x) { return {half(x)}; }
std::vector<Shape> upsample_shape(const Shape& low, int height, int width) { return {full(low, height, width)}; }
std::vector<Shape> upsample_add_shape(const Shape& high, const Shape&) { return {high}; }
std::vector<DataType> same_dtype(const DataType& x) { return {x}; }
std::vector<DataType> first_dtype(const DataType& x, const DataType&) { return {x}; }

}  // namespace

PD_BUILD_OP(ppeffconv_octave_pool)
    .Inputs({"X"})
    .Outputs({"Out"})
    .SetKernelFn(PD_KERNEL(ppeffconv::Guarded<pool>::run))
    .SetInferShapeFn(PD_INFER_SHAPE(pool_shape))
    .SetInferDtypeFn(PD_INFER_DTYPE(same_dtype));

PD_BUILD_GRAD_OP(ppeffconv_octave_pool)
    .Inputs({"X", paddle::Grad("Out")})
    .Outputs({paddle::Grad("X")})
    .SetKernelFn(PD_KERNEL(ppeffconv::Guarded<pool_gradient>::run));

PPEFFCONV_NO_SECOND_DERIVATIVE(ppeffconv_octave_pool, "X");

PD_BUILD_OP(ppeffconv_octave_upsample)
    .Inputs({"Low"})
    .Outputs({"Out"})
    .Attrs({"height: int", "width: int"})
    .SetKernelFn(PD_KERNEL(ppeffconv::Guarded<upsample>::run))
    .SetInferShapeFn(PD_INFER_SHAPE(upsample_shape))
    .SetInferDtypeFn(PD_INFER_DTYPE(same_dtype));

PD_BUILD_GRAD_OP(ppeffconv_octave_upsample)
    .Inputs({paddle::Grad("Out")})
    .Outputs({paddle::Grad("Low")})
    .Attrs({"height: int", "width: int"})
    .SetKernelFn(PD_KERNEL(ppeffconv::Guarded<upsample_gradient>::run));

PPEFFCONV_NO_SECOND_DERIVATIVE(ppeffconv_octave_upsample, "Low");

PD_BUILD_OP(ppeffconv_octave_upsample_add)
    .Inputs({"High", "Low"})
    .Outputs({"Out"})
    .SetKernelFn(PD_KERNEL(ppeffconv::Guarded<upsample_add>::run))
    .SetInferShapeFn(PD_INFER_SHAPE(upsample_add_shape))
    .SetInferDtypeFn(PD_INFER_DTYPE(first_dtype));

PD_BUILD_GRAD_OP(ppeffconv_octave_upsample_add)
    .Inputs({paddle::Grad("Out")})
    .Outputs({paddle::Grad("High"), paddle::Grad("Low")})
    .SetKernelFn(PD_KERNEL(ppeffconv::Guarded<upsample_add_gradient>::run));

PPEFFCONV_NO_SECOND_DERIVATIVE(ppeffconv_octave_upsample_add, "High", "Low");
