// filter_norm on a GPU.
#include "filter_norm_kernels.cuh"
#include "glue.h"

namespace ppeffconv {

namespace {

// The shape seen as [outer, taps, inner].
struct Sizes {
  int64_t outer = 1, inner = 1;
  int taps;

  Sizes(const Shape& shape, int axis) : taps(int(shape[axis])) {
    for (int i = 0; i < int(shape.size()); ++i) (i < axis ? outer : inner) *= i == axis ? 1 : shape[i];
  }
};

}  // namespace

std::vector<Tensor> filter_norm_cuda_forward(const Tensor& logits, int axis, float scale, float eps) {
  Tensor y = empty_beside(logits, logits.shape());
  if (y.numel() == 0) return {y};
  const Sizes sizes(logits.shape(), axis);
  with_type(logits, [&](auto zero) {
    using T = decltype(zero);
    cuda::filter_norm::forward(sizes.outer, sizes.taps, sizes.inner, scale, eps, in<T>(logits), out<T>(y),
                               stream(logits));
  });
  return {y};
}

std::vector<Tensor> filter_norm_cuda_backward(const Tensor& logits, const Tensor& dy, int axis, float scale,
                                              float eps) {
  Tensor dx = empty_beside(logits, logits.shape());
  if (dx.numel() == 0) return {dx};
  const Sizes sizes(logits.shape(), axis);
  with_type(logits, [&](auto zero) {
    using T = decltype(zero);
    cuda::filter_norm::backward(sizes.outer, sizes.taps, sizes.inner, scale, eps, in<T>(logits), in<T>(dy), out<T>(dx),
                                stream(logits));
  });
  return {dx};
}

}  // namespace ppeffconv
