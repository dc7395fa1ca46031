// ddf on a GPU.
#include "ddf_backward_kernels.cuh"
#include "glue.h"

namespace ppeffconv {

namespace {

cuda::ddf::Geometry geometry(const Tensor& x, const Tensor& spatial, int kernel, int stride, int dilation) {
  const Shape from = x.shape(), to = spatial.shape();
  return {from[0], from[1], int(from[2]), int(from[3]), int(to[2]), int(to[3]), kernel, stride, dilation};
}

}  // namespace

std::vector<Tensor> ddf_cuda_forward(const Tensor& x, const Tensor& channel, const Tensor& spatial, int kernel,
                                     int stride, int dilation, const std::string& mode) {
  const auto g = geometry(x, spatial, kernel, stride, dilation);
  Tensor y = empty_beside(x, {g.batch, g.channels, g.out_height, g.out_width});
  if (y.numel() == 0) return {y};
  with_type(x, [&](auto zero) {
    using T = decltype(zero);
    cuda::ddf::forward(g, mode == "add", in<T>(x), in<T>(channel), in<T>(spatial), out<T>(y), stream(x));
  });
  return {y};
}

std::vector<Tensor> ddf_cuda_backward(const Tensor& x, const Tensor& channel, const Tensor& spatial, const Tensor& dy,
                                      int kernel, int stride, int dilation, const std::string& mode) {
  using paddle::experimental::zeros_like;
  if (dy.numel() == 0) return {zeros_like(x), zeros_like(channel), zeros_like(spatial)};
  const cuda::ddf::Backward run(geometry(x, spatial, kernel, stride, dilation));
  Tensor dx = empty_beside(x, x.shape()), dchannel = empty_beside(x, channel.shape());
  Tensor dspatial = empty_beside(x, spatial.shape()), scratch = scratch_beside(x, run.scratch());
  with_type(x, [&](auto zero) {
    using T = decltype(zero);
    run(mode == "add", in<T>(x), in<T>(channel), in<T>(spatial), in<T>(dy), out<T>(dx), out<T>(dchannel),
        out<T>(dspatial), out<float>(scratch), stream(x));
  });
  return {dx, dchannel, dspatial};
}

}  // namespace ppeffconv
