// The exchange between octaves on a GPU.
#include "glue.h"
#include "octave_kernels.cuh"

namespace ppeffconv {

namespace {

cuda::octave::Geometry geometry(const Shape& large) { return {large[0] * large[1], int(large[2]), int(large[3])}; }

Shape half(const Shape& large) { return {large[0], large[1], (large[2] + 1) / 2, (large[3] + 1) / 2}; }

}  // namespace

std::vector<Tensor> octave_pool_cuda_forward(const Tensor& x) {
  Tensor y = empty_beside(x, half(x.shape()));
  if (y.numel() == 0) return {y};
  with_type(x, [&](auto zero) {
    using T = decltype(zero);
    cuda::octave::pool_forward(geometry(x.shape()), in<T>(x), out<T>(y), stream(x));
  });
  return {y};
}

std::vector<Tensor> octave_pool_cuda_backward(const Tensor& x, const Tensor& dy) {
  Tensor dx = empty_beside(x, x.shape());
  if (dx.numel() == 0) return {dx};
  with_type(x, [&](auto zero) {
    using T = decltype(zero);
    cuda::octave::pool_backward(geometry(x.shape()), in<T>(dy), out<T>(dx), stream(x));
  });
  return {dx};
}

namespace {

std::vector<Tensor> upsample(const Tensor* high, const Tensor& low, const Shape& shape) {
  Tensor y = empty_beside(low, shape);
  if (y.numel() == 0) return {y};
  with_type(low, [&](auto zero) {
    using T = decltype(zero);
    cuda::octave::upsample_add_forward(geometry(shape), high ? in<T>(*high) : nullptr, in<T>(low), out<T>(y),
                                       stream(low));
  });
  return {y};
}

}  // namespace

std::vector<Tensor> octave_upsample_cuda_forward(const Tensor& low, int height, int width) {
  return upsample(nullptr, low, {low.shape()[0], low.shape()[1], height, width});
}

std::vector<Tensor> octave_upsample_cuda_backward(const Tensor& dy) {
  Tensor dlow = empty_beside(dy, half(dy.shape()));
  if (dlow.numel() == 0) return {dlow};
  with_type(dy, [&](auto zero) {
    using T = decltype(zero);
    cuda::octave::upsample_add_backward(geometry(dy.shape()), in<T>(dy), out<T>(dlow), stream(dy));
  });
  return {dlow};
}

std::vector<Tensor> octave_upsample_add_cuda_forward(const Tensor& high, const Tensor& low) {
  return upsample(&high, low, high.shape());
}

std::vector<Tensor> octave_upsample_add_cuda_backward(const Tensor& dy) {
  // a copy, because Paddle may add to a gradient in place
  return {paddle::experimental::assign(dy), octave_upsample_cuda_backward(dy)[0]};
}

}  // namespace ppeffconv
