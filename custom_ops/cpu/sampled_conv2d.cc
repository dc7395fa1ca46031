// ppeffconv_sampled_conv2d: convolution at the active output positions, zeros at the others; inference only. Here on
// the CPU, in cuda/sampled_conv2d.cu on a GPU.
#include "paddle/phi/api/all.h"

#include "common/checks.h"
#include "cuda/api.h"
#include "sampled_conv2d_kernel.h"

namespace {

using paddle::DataType;
using paddle::Tensor;
using ppeffconv::sampled::Geometry;
using Shape = std::vector<int64_t>;
using Ints = std::vector<int>;
using MaybeTensor = paddle::optional<Tensor>;

int64_t output_size(int64_t size, int64_t taps, int64_t stride, int64_t padding, int64_t dilation) {
  const int64_t room = size + 2 * padding - dilation * (taps - 1) - 1;
  return room < 0 ? 0 : room / stride + 1;
}

Geometry geometry(const Shape& x, const Shape& w, const Ints& stride, const Ints& padding, const Ints& dilation) {
  return {x[0], x[1], x[2], x[3], w[0], w[2], w[3],
          output_size(x[2], w[2], stride[0], padding[0], dilation[0]),
          output_size(x[3], w[3], stride[1], padding[1], dilation[1]),
          stride[0], stride[1], padding[0], padding[1], dilation[0], dilation[1]};
}

Geometry check(const Tensor& x, const Tensor& weight, const Tensor& mask, const MaybeTensor& bias, const Ints& stride,
               const Ints& padding, const Ints& dilation) {
  ppeffconv::check_device(x, x, "sampled_conv2d: x");
  ppeffconv::check_device(weight, x, "sampled_conv2d: weight");
  ppeffconv::check_device(mask, x, "sampled_conv2d: mask");
  ppeffconv::check_type(x, "sampled_conv2d: x");
  ppeffconv::check_rank(x, 4, "sampled_conv2d: x");
  ppeffconv::check_rank(weight, 4, "sampled_conv2d: weight");
  ppeffconv::check_positive(stride, 2, "sampled_conv2d: stride");
  ppeffconv::check_positive(dilation, 2, "sampled_conv2d: dilation");
  PD_CHECK(padding.size() == 2 && padding[0] >= 0 && padding[1] >= 0,
           "sampled_conv2d: padding must hold 2 numbers >= 0");
  PD_CHECK(weight.dtype() == x.dtype(), "sampled_conv2d: dtypes of x and weight must agree");
  PD_CHECK(mask.dtype() == DataType::BOOL, "sampled_conv2d: mask must be bool");
  const Shape w = weight.shape();
  PD_CHECK(weight.numel() > 0 && x.shape()[1] == w[1], "sampled_conv2d: weight does not fit x");
  PD_CHECK(x.shape()[2] > 0 && x.shape()[3] > 0, "sampled_conv2d: the images are empty");
  if (bias) {
    ppeffconv::check_device(*bias, x, "sampled_conv2d: bias");
    PD_CHECK(bias->dtype() == x.dtype() && bias->shape() == Shape({w[0]}), "sampled_conv2d: bias must be [O], as x");
  }
  const Geometry g = geometry(x.shape(), w, stride, padding, dilation);
  PD_CHECK(mask.shape() == Shape({g.batch, 1, g.out_h, g.out_w}), "sampled_conv2d: mask must be [N, 1, OH, OW]");
  ppeffconv::check_size({g.batch, g.out_channels, g.out_h, g.out_w}, "sampled_conv2d: the output");
  return g;
}

std::vector<Tensor> forward(const Tensor& x, const Tensor& weight, const Tensor& mask, const MaybeTensor& bias,
                            const Ints& stride, const Ints& padding, const Ints& dilation) {
  const Geometry g = check(x, weight, mask, bias, stride, padding, dilation);
  if constexpr (ppeffconv::kWithCuda) {
    if (x.is_gpu()) return ppeffconv::sampled_conv2d_cuda_forward(x, weight, mask, bias, stride, padding, dilation);
  }
  const Shape shape = {g.batch, g.out_channels, g.out_h, g.out_w};
  const auto positions = ppeffconv::sampled::active_positions(mask.data<bool>(), mask.numel());
  if (positions.empty()) return {paddle::zeros(shape, x.dtype(), x.place())};
  Tensor y = paddle::empty(shape, x.dtype(), x.place());
  PD_DISPATCH_FLOATING_TYPES(x.dtype(), "ppeffconv_sampled_conv2d", ([&] {
    ppeffconv::sampled::forward<data_t>(g, x.data<data_t>(), weight.data<data_t>(),
                                        bias ? bias->data<data_t>() : nullptr, positions, y.data<data_t>());
  }));
  return {y};
}

std::vector<Shape> infer_shape(const Shape& x, const Shape& weight, const Shape& mask, const paddle::optional<Shape>&,
                               const Ints&, const Ints&, const Ints&) {
  return {{x[0], weight[0], mask[2], mask[3]}};
}

std::vector<DataType> infer_dtype(const DataType& x, const DataType&, const DataType&,
                                  const paddle::optional<DataType>&) {
  return {x};
}

}  // namespace

PD_BUILD_OP(ppeffconv_sampled_conv2d)
    .Inputs({"X", "Weight", "Mask", paddle::Optional("Bias")})
    .Outputs({"Out"})
    .Attrs({"stride: std::vector<int>", "padding: std::vector<int>", "dilation: std::vector<int>"})
    .SetKernelFn(PD_KERNEL(ppeffconv::Guarded<forward>::run))
    .SetInferShapeFn(PD_INFER_SHAPE(infer_shape))
    .SetInferDtypeFn(PD_INFER_DTYPE(infer_dtype));
