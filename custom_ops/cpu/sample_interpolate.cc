// ppeffconv_sample_interpolate: filling in unsampled positions and its gradients; here on the CPU, in
// cuda/sample_interpolate.cu on a GPU.
#include "paddle/phi/api/all.h"

#include <algorithm>

#include "common/checks.h"
#include "common/second_derivative.h"
#include "cuda/api.h"
#include "interpolate_backward.h"

namespace {

using paddle::DataType;
using paddle::Tensor;
using paddle::experimental::empty_like;
using paddle::experimental::zeros_like;
using ppeffconv::interpolate::Geometry;
using Shape = std::vector<int64_t>;

Geometry geometry(const Tensor& features, const Tensor& mask, const Tensor& sigma, int window) {
  ppeffconv::check_device(features, features, "sample_interpolate: features");
  ppeffconv::check_device(mask, features, "sample_interpolate: mask");
  ppeffconv::check_device(sigma, features, "sample_interpolate: sigma");
  ppeffconv::check_type(features, "sample_interpolate: features");
  const DataType weights = features.is_gpu() ? DataType::FLOAT32 : features.dtype();
  PD_CHECK(mask.dtype() == weights && sigma.dtype() == weights,
           "sample_interpolate: mask and sigma must be like the features, float32 on a GPU");
  PD_CHECK(window > 0 && window % 2 == 1, "sample_interpolate: window must be odd and positive, got ", window);
  PD_CHECK(sigma.numel() == 1, "sample_interpolate: sigma must hold one element, got ", sigma.numel());
  ppeffconv::check_rank(features, 4, "sample_interpolate: features");
  const Shape shape = features.shape();
  PD_CHECK(mask.shape() == Shape({shape[0], 1, shape[2], shape[3]}), "sample_interpolate: mask must be [N, 1, H, W]");
  return {shape[0], shape[1], shape[2], shape[3], std::min<int64_t>(window / 2, std::max(shape[2], shape[3]))};
}

// need_gradient: whether a gradient may be asked for; without one, the mask is taken to be 0 or 1 nearly everywhere.
std::vector<Tensor> forward(const Tensor& features, const Tensor& mask, const Tensor& sigma, int window,
                            [[maybe_unused]] bool need_gradient) {
  const Geometry g = geometry(features, mask, sigma, window);
  if constexpr (ppeffconv::kWithCuda) {
    const auto run = need_gradient ? ppeffconv::sample_interpolate_cuda_forward
                                   : ppeffconv::sample_interpolate_cuda_inactive;
    if (features.is_gpu()) return run(features, mask, sigma, window);
  }
  Tensor y = empty_like(features);
  if (y.numel() == 0) return {y};
  PD_DISPATCH_FLOATING_TYPES(features.dtype(), "ppeffconv_sample_interpolate", ([&] {
    ppeffconv::interpolate::forward<data_t>(g, *sigma.data<data_t>(), features.data<data_t>(), mask.data<data_t>(),
                                            y.data<data_t>());
  }));
  return {y};
}

std::vector<Tensor> backward(const Tensor& features, const Tensor& mask, const Tensor& sigma, const Tensor& dy,
                             int window, bool) {
  const Geometry g = geometry(features, mask, sigma, window);
  ppeffconv::check_device(dy, features, "sample_interpolate: the output's gradient");
  PD_CHECK(dy.dtype() == features.dtype() && dy.shape() == features.shape(),
           "sample_interpolate: the output's gradient must be like the output");
  if constexpr (ppeffconv::kWithCuda) {
    if (features.is_gpu()) return ppeffconv::sample_interpolate_cuda_backward(features, mask, sigma, dy, window);
  }
  if (dy.numel() == 0) return {zeros_like(features), zeros_like(mask), zeros_like(sigma)};
  Tensor dfeatures = empty_like(features), dmask = empty_like(mask), dsigma = empty_like(sigma);
  PD_DISPATCH_FLOATING_TYPES(features.dtype(), "ppeffconv_sample_interpolate_grad", ([&] {
    ppeffconv::interpolate::Backward<data_t> run(g, *sigma.data<data_t>(), features.data<data_t>(),
                                                 mask.data<data_t>(), dy.data<data_t>());
    *dsigma.data<data_t>() = run(dfeatures.data<data_t>(), dmask.data<data_t>());
  }));
  return {dfeatures, dmask, dsigma};
}

std::vector<Shape> infer_shape(const Shape& features, const Shape&, const Shape&, int, bool) { return {features}; }

std::vector<DataType> infer_dtype(const DataType& features, const DataType&, const DataType&) { return {features}; }

std::vector<Shape> infer_gradient_shape(const Shape& features, const Shape& mask, const Shape& sigma, const Shape&,
                                        int, bool) {
  return {features, mask, sigma};
}

}  // namespace

PD_BUILD_OP(ppeffconv_sample_interpolate)
    .Inputs({"Features", "Mask", "Sigma"})
    .Outputs({"Out"})
    .Attrs({"window: int", "need_gradient: bool"})
    .SetKernelFn(PD_KERNEL(ppeffconv::Guarded<forward>::run))
    .SetInferShapeFn(PD_INFER_SHAPE(infer_shape))
    .SetInferDtypeFn(PD_INFER_DTYPE(infer_dtype));

PD_BUILD_GRAD_OP(ppeffconv_sample_interpolate)
    .Inputs({"Features", "Mask", "Sigma", paddle::Grad("Out")})
    .Outputs({paddle::Grad("Features"), paddle::Grad("Mask"), paddle::Grad("Sigma")})
    .Attrs({"window: int", "need_gradient: bool"})
    .SetKernelFn(PD_KERNEL(ppeffconv::Guarded<backward>::run))
    .SetInferShapeFn(PD_INFER_SHAPE(infer_gradient_shape));

PPEFFCONV_NO_SECOND_DERIVATIVE(ppeffconv_sample_interpolate, "Features", "Mask", "Sigma");
