// sampled_conv2d on a GPU: gather the rows of the active positions, Paddle's matrix product, scatter the results.
#include "glue.h"
#include "sampled_kernels.cuh"

namespace ppeffconv {

// Numbers of the gathered matrix, 64 MB in float32: enough rows for a fast product, however many are active.
constexpr int64_t kMatrix = 16 << 20;

std::vector<Tensor> sampled_conv2d_cuda_forward(const Tensor& x, const Tensor& weight, const Tensor& active,
                                                const paddle::optional<Tensor>& bias, const std::vector<int>& stride,
                                                const std::vector<int>& padding, const std::vector<int>& dilation) {
  using namespace paddle::experimental;
  const Shape from = x.shape(), kernel = weight.shape(), to = active.shape();
  const int64_t out_channels = kernel[0], columns = kernel[1] * kernel[2] * kernel[3];
  Tensor y = full({to[0], out_channels, to[2], to[3]}, 0, x.dtype(), x.place());
  if (y.numel() == 0) return {y};
  const Tensor positions = nonzero(reshape(active, {-1}));  // waits for the GPU: the number of rows is a shape
  const int64_t count = positions.shape()[0];
  if (count == 0) return {y};

  const cuda::sampled::Geometry g{from[1],        int(from[2]),   int(from[3]),   int(to[2]),  int(to[3]),
                                  int(kernel[2]), int(kernel[3]), stride[0],      stride[1],   padding[0],
                                  padding[1],     dilation[0],    dilation[1]};
  const Tensor matrix = reshape(weight, {out_channels, columns});
  const int64_t most = std::max<int64_t>(kMatrix / columns, 1024);
  for (int64_t first = 0; first < count; first += most) {
    const int64_t part = std::min(most, count - first), *const at = in<int64_t>(positions) + first;
    Tensor rows = empty_beside(x, {part, columns});
    with_type(x, [&](auto zero) {
      using T = decltype(zero);
      cuda::sampled::gather(g, part, in<T>(x), at, out<T>(rows), stream(x));
    });
    Tensor results = matmul(rows, matrix, false, true);
    if (bias) results = add(results, *bias);
    with_type(x, [&](auto zero) {
      using T = decltype(zero);
      cuda::sampled::scatter(part, out_channels, to[2] * to[3], in<T>(results), at, out<T>(y), stream(x));
    });
  }
  return {y};
}

}  // namespace ppeffconv
