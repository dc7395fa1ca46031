// ppeffconv_ddf: decoupled dynamic filtering and its gradients; here on the CPU, in cuda/ddf.cu on a GPU.
#include "paddle/phi/api/all.h"

#include <string>

#include "common/checks.h"
#include "common/second_derivative.h"
#include "cuda/api.h"
#include "ddf_backward.h"

namespace {

using paddle::DataType;
using paddle::Tensor;
using paddle::experimental::empty;
using paddle::experimental::empty_like;
using paddle::experimental::zeros_like;
using ppeffconv::ddf::Geometry;
using Shape = std::vector<int64_t>;

Geometry geometry(const Tensor& x, const Tensor& channel, const Tensor& spatial, int kernel, int stride, int dilation,
                  const std::string& mode) {
  ppeffconv::check_device(x, x, "ddf: x");
  ppeffconv::check_device(channel, x, "ddf: channel_filter");
  ppeffconv::check_device(spatial, x, "ddf: spatial_filter");
  ppeffconv::check_type(x, "ddf: x");
  PD_CHECK(x.dtype() == channel.dtype() && x.dtype() == spatial.dtype(), "ddf: dtypes must agree");
  PD_CHECK(mode == "mul" || mode == "add", "ddf: mode must be 'mul' or 'add', got ", mode);
  PD_CHECK(kernel > 0 && kernel % 2 == 1, "ddf: kernel_size must be odd and positive, got ", kernel);
  PD_CHECK(stride > 0 && dilation > 0, "ddf: stride and dilation must be positive, got ", stride, " and ", dilation);
  ppeffconv::check_rank(x, 4, "ddf: x");
  const Shape shape = x.shape();
  // Beyond the image a larger stride or dilation changes nothing.
  const int64_t limit = std::max<int64_t>({shape[2], shape[3], 1});
  const Geometry g{shape[0], shape[1], shape[2], shape[3], kernel, std::min<int64_t>(stride, limit),
                   std::min<int64_t>(dilation, limit)};
  PD_CHECK(channel.shape() == Shape({g.batch, g.channels, g.taps()}), "ddf: channel_filter must be [B, C, k * k]");
  PD_CHECK(spatial.shape() == Shape({g.batch, g.taps(), g.out_height(), g.out_width()}),
           "ddf: spatial_filter must be [B, k * k, OH, OW]");
  return g;
}

std::vector<Tensor> forward(const Tensor& x, const Tensor& channel, const Tensor& spatial, int kernel, int stride,
                            int dilation, const std::string& mode) {
  const Geometry g = geometry(x, channel, spatial, kernel, stride, dilation, mode);
  if constexpr (ppeffconv::kWithCuda) {
    if (x.is_gpu()) return ppeffconv::ddf_cuda_forward(x, channel, spatial, kernel, g.stride, g.dilation, mode);
  }
  Tensor y = empty({g.batch, g.channels, g.out_height(), g.out_width()}, x.dtype(), x.place());
  if (y.numel() == 0) return {y};
  PD_DISPATCH_FLOATING_TYPES(x.dtype(), "ppeffconv_ddf", ([&] {
    ppeffconv::ddf::forward<data_t>(g, mode == "add", x.data<data_t>(), channel.data<data_t>(),
                                   spatial.data<data_t>(), y.data<data_t>());
  }));
  return {y};
}

std::vector<Tensor> backward(const Tensor& x, const Tensor& channel, const Tensor& spatial, const Tensor& dy,
                             int kernel, int stride, int dilation, const std::string& mode) {
  const Geometry g = geometry(x, channel, spatial, kernel, stride, dilation, mode);
  ppeffconv::check_device(dy, x, "ddf: the output's gradient");
  PD_CHECK(dy.dtype() == x.dtype() && dy.shape() == Shape({g.batch, g.channels, g.out_height(), g.out_width()}),
           "ddf: the output's gradient must be like the output");
  if constexpr (ppeffconv::kWithCuda) {
    if (x.is_gpu()) return ppeffconv::ddf_cuda_backward(x, channel, spatial, dy, kernel, g.stride, g.dilation, mode);
  }
  if (dy.numel() == 0) {
    return {zeros_like(x), zeros_like(channel), zeros_like(spatial)};
  }
  Tensor dx = empty_like(x), dchannel = empty_like(channel), dspatial = empty_like(spatial);
  PD_DISPATCH_FLOATING_TYPES(x.dtype(), "ppeffconv_ddf_grad", ([&] {
    ppeffconv::ddf::backward<data_t>(g, mode == "add", x.data<data_t>(), channel.data<data_t>(),
                                    spatial.data<data_t>(), dy.data<data_t>(),
                                    {dx.data<data_t>(), dchannel.data<data_t>(), dspatial.data<data_t>()});
  }));
  return {dx, dchannel, dspatial};
}

std::vector<Shape> infer_shape(const Shape& x, const Shape&, const Shape& spatial, int, int, int, const std::string&) {
  return {{x[0], x[1], spatial[2], spatial[3]}};
}

std::vector<DataType> infer_dtype(const DataType& x, const DataType&, const DataType&) { return {x}; }

std::vector<Shape> infer_gradient_shape(const Shape& x, const Shape& channel, const Shape& spatial, const Shape&, int,
                                        int, int, const std::string&) {
  return {x, channel, spatial};
}

}  // namespace

PD_BUILD_OP(ppeffconv_ddf)
    .Inputs({"X", "ChannelFilter", "SpatialFilter"})
    .Outputs({"Out"})
    .Attrs({"kernel_size: int", "stride: int", "dilation: int", "mode: std::string"})
    .SetKernelFn(PD_KERNEL(ppeffconv::Guarded<forward>::run))
    .SetInferShapeFn(PD_INFER_SHAPE(infer_shape))
    .SetInferDtypeFn(PD_INFER_DTYPE(infer_dtype));

PD_BUILD_GRAD_OP(ppeffconv_ddf)
    .Inputs({"X", "ChannelFilter", "SpatialFilter", paddle::Grad("Out")})
    .Outputs({paddle::Grad("X"), paddle::Grad("ChannelFilter"), paddle::Grad("SpatialFilter")})
    .Attrs({"kernel_size: int", "stride: int", "dilation: int", "mode: std::string"})
    .SetKernelFn(PD_KERNEL(ppeffconv::Guarded<backward>::run))
    .SetInferShapeFn(PD_INFER_SHAPE(infer_gradient_shape));

PPEFFCONV_NO_SECOND_DERIVATIVE(ppeffconv_ddf, "X", "ChannelFilter", "SpatialFilter");
