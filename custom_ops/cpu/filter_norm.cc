// ppeffconv_filter_norm: filter normalisation by a constant scale, here on the CPU, in cuda/filter_norm.cu on a GPU;
// `_scaled` by one per channel and tap, on the CPU only.
#include "paddle/phi/api/all.h"

#include <numeric>

#include "common/checks.h"
#include "common/second_derivative.h"
#include "cuda/api.h"
#include "filter_norm_kernel.h"

namespace {

using paddle::DataType;
using paddle::Tensor;
using paddle::experimental::empty_like;
using ppeffconv::filter_norm::Channels;
using ppeffconv::filter_norm::Geometry;
using Shape = std::vector<int64_t>;

void check_gradient(const Tensor& dy, const Tensor& logits) {
  ppeffconv::check_device(dy, logits, "filter_norm: the output's gradient");
  PD_CHECK(dy.shape() == logits.shape() && dy.dtype() == logits.dtype(),
           "filter_norm: the output's gradient must be like the output");
}

int64_t product(const int64_t* first, const int64_t* last) {
  return std::accumulate(first, last, int64_t{1}, [](int64_t a, int64_t b) { return a * b; });
}

Geometry geometry(const Tensor& logits, int axis) {
  ppeffconv::check_device(logits, logits, "filter_norm: logits");
  ppeffconv::check_type(logits, "filter_norm: logits");
  const Shape shape = logits.shape();
  const int rank = static_cast<int>(shape.size());
  PD_CHECK(axis >= 0 && axis < rank, "filter_norm: axis must lie in [0, ", rank, "), got ", axis);
  const int64_t* sizes = shape.data();
  return {product(sizes, sizes + axis), sizes[axis], product(sizes + axis + 1, sizes + rank)};
}

std::vector<Tensor> forward(const Tensor& logits, int axis, double scale, double eps) {
  const Geometry g = geometry(logits, axis);
  if constexpr (ppeffconv::kWithCuda) {
    if (logits.is_gpu()) return ppeffconv::filter_norm_cuda_forward(logits, axis, scale, eps);
  }
  Tensor y = empty_like(logits);
  if (y.numel() == 0) return {y};
  PD_DISPATCH_FLOATING_TYPES(logits.dtype(), "ppeffconv_filter_norm", ([&] {
    ppeffconv::filter_norm::forward<data_t>(g, scale, eps, logits.data<data_t>(), y.data<data_t>());
  }));
  return {y};
}

std::vector<Tensor> backward(const Tensor& logits, const Tensor& dy, int axis, double scale, double eps) {
  const Geometry g = geometry(logits, axis);
  check_gradient(dy, logits);
  if constexpr (ppeffconv::kWithCuda) {
    if (logits.is_gpu()) return ppeffconv::filter_norm_cuda_backward(logits, dy, axis, scale, eps);
  }
  Tensor dx = empty_like(logits);
  if (dx.numel() == 0) return {dx};
  PD_DISPATCH_FLOATING_TYPES(logits.dtype(), "ppeffconv_filter_norm_grad", ([&] {
    ppeffconv::filter_norm::backward<data_t>(g, scale, eps, logits.data<data_t>(), dy.data<data_t>(),
                                             dx.data<data_t>());
  }));
  return {dx};
}

Channels channels(const Tensor& logits, const Tensor& scale) {
  ppeffconv::check_plain(logits, "filter_norm: logits");
  ppeffconv::check_plain(scale, "filter_norm: scale");
  ppeffconv::check_type(logits, "filter_norm: logits");
  ppeffconv::check_rank(logits, 3, "filter_norm: logits");
  const Shape shape = logits.shape();
  PD_CHECK(scale.shape() == Shape({shape[1], shape[2]}) && scale.dtype() == logits.dtype(),
           "filter_norm: scale must be [C, T] for logits [N, C, T]");
  return {shape[0], shape[1], shape[2]};
}

std::vector<Tensor> forward_scaled(const Tensor& logits, const Tensor& scale, double eps) {
  const Channels g = channels(logits, scale);
  Tensor y = empty_like(logits);
  if (y.numel() == 0) return {y};
  PD_DISPATCH_FLOATING_TYPES(logits.dtype(), "ppeffconv_filter_norm_scaled", ([&] {
    ppeffconv::filter_norm::forward<data_t>(g, eps, logits.data<data_t>(), scale.data<data_t>(), y.data<data_t>());
  }));
  return {y};
}

std::vector<Tensor> backward_scaled(const Tensor& logits, const Tensor& scale, const Tensor& dy, double eps) {
  const Channels g = channels(logits, scale);
  check_gradient(dy, logits);
  if (dy.numel() == 0) return {empty_like(logits), paddle::experimental::zeros_like(scale)};
  Tensor dx = empty_like(logits), dscale = empty_like(scale);
  PD_DISPATCH_FLOATING_TYPES(logits.dtype(), "ppeffconv_filter_norm_scaled_grad", ([&] {
    ppeffconv::filter_norm::backward<data_t>(g, eps, logits.data<data_t>(), scale.data<data_t>(), dy.data<data_t>(),
                                             dx.data<data_t>(), dscale.data<data_t>());
  }));
  return {dx, dscale};
}

std::vector<Shape> infer_shape(const Shape& logits, int, double, double) { return {logits}; }
std::vector<Shape> infer_shape_scaled(const Shape& logits, const Shape&, double) { return {logits}; }
std::vector<DataType> infer_dtype(const DataType& logits) { return {logits}; }
std::vector<DataType> infer_dtype_scaled(const DataType& logits, const DataType&) { return {logits}; }

}  // namespace

PD_BUILD_OP(ppeffconv_filter_norm)
    .Inputs({"Logits"})
    .Outputs({"Out"})
    .Attrs({"axis: int", "scale: double", "eps: double"})
    .SetKernelFn(PD_KERNEL(ppeffconv::Guarded<forward>::run))
    .SetInferShapeFn(PD_INFER_SHAPE(infer_shape))
    .SetInferDtypeFn(PD_INFER_DTYPE(infer_dtype));

PD_BUILD_GRAD_OP(ppeffconv_filter_norm)
    .Inputs({"Logits", paddle::Grad("Out")})
    .Outputs({paddle::Grad("Logits")})
    .Attrs({"axis: int", "scale: double", "eps: double"})
    .SetKernelFn(PD_KERNEL(ppeffconv::Guarded<backward>::run));

PPEFFCONV_NO_SECOND_DERIVATIVE(ppeffconv_filter_norm, "Logits");

PD_BUILD_OP(ppeffconv_filter_norm_scaled)
    .Inputs({"Logits", "Scale"})
    .Outputs({"Out"})
    .Attrs({"eps: double"})
    .SetKernelFn(PD_KERNEL(ppeffconv::Guarded<forward_scaled>::run))
    .SetInferShapeFn(PD_INFER_SHAPE(infer_shape_scaled))
    .SetInferDtypeFn(PD_INFER_DTYPE(infer_dtype_scaled));

PD_BUILD_GRAD_OP(ppeffconv_filter_norm_scaled)
    .Inputs({"Logits", "Scale", paddle::Grad("Out")})
    .Outputs({paddle::Grad("Logits"), paddle::Grad("Scale")})
    .Attrs({"eps: double"})
    .SetKernelFn(PD_KERNEL(ppeffconv::Guarded<backward_scaled>::run));

PPEFFCONV_NO_SECOND_DERIVATIVE(ppeffconv_filter_norm_scaled, "Logits", "Scale");
