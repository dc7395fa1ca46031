// sample_interpolate on a GPU.
#include "glue.h"
#include "interpolate_backward_kernels.cuh"

namespace ppeffconv {

namespace {

cuda::interpolate::Geometry geometry(const Tensor& features, int window) {
  const Shape shape = features.shape();
  const int height = int(shape[2]), width = int(shape[3]);
  return {shape[0], shape[1], height, width, std::min(window / 2, std::max(height, width))};
}

}  // namespace

std::vector<Tensor> sample_interpolate_cuda_forward(const Tensor& features, const Tensor& mask, const Tensor& sigma,
                                                    int window) {
  Tensor y = empty_beside(features, features.shape());
  if (y.numel() == 0) return {y};
  with_type(features, [&](auto zero) {
    using T = decltype(zero);
    cuda::interpolate::forward(geometry(features, window), in<T>(features), in<float>(mask), in<float>(sigma),
                               out<T>(y), stream(features));
  });
  return {y};
}

std::vector<Tensor> sample_interpolate_cuda_inactive(const Tensor& features, const Tensor& mask, const Tensor& sigma,
                                                     int window) {
  Tensor y = empty_beside(features, features.shape());
  if (y.numel() == 0) return {y};
  with_type(features, [&](auto zero) {
    using T = decltype(zero);
    cuda::interpolate::forward_inactive(geometry(features, window), in<T>(features), in<float>(mask), in<float>(sigma),
                                        out<T>(y), stream(features));
  });
  return {y};
}

std::vector<Tensor> sample_interpolate_cuda_backward(const Tensor& features, const Tensor& mask, const Tensor& sigma,
                                                     const Tensor& dy, int window) {
  using paddle::experimental::zeros_like;
  if (dy.numel() == 0) return {zeros_like(features), zeros_like(mask), zeros_like(sigma)};
  const cuda::interpolate::Backward run(geometry(features, window));
  Tensor dfeatures = empty_beside(features, features.shape()), dmask = empty_beside(mask, mask.shape());
  Tensor dsigma = empty_beside(sigma, sigma.shape()), scratch = scratch_beside(features, run.scratch());
  with_type(features, [&](auto zero) {
    using T = decltype(zero);
    run(in<T>(features), in<float>(mask), in<float>(sigma), in<T>(dy), out<T>(dfeatures), out<float>(dmask),
        out<float>(dsigma), out<float>(scratch), stream(features));
  });
  return {dfeatures, dmask, dsigma};
}

}  // namespace ppeffconv
