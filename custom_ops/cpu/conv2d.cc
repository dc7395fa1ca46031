// conv2d: convolution and its gradients by the oneDNN that Paddle bundles but does not use in eager mode.
// NCHW, float32.

#include "common/checks.h"
#include "common/second_derivative.h"
#include "common/convolution.h"
#include "cpu/conv2d_gemm.h"
#include "cpu/conv2d_narrow.h"
#include "cpu/conv2d_pointwise.h"

namespace ppeffconv {
namespace {

using dnnl::convolution_backward_data;
using dnnl::convolution_backward_weights;
using dnnl::convolution_forward;
using dnnl::memory;

// One convolution as oneDNN wants it told.
struct Geometry {
  Shape x, w, out, bias;
  memory::dims stride, padding, dilation;
  Layout weight_layout = Layout::oihw;
  PlanCache::Key key;

  Geometry(const Shape& x_shape, const Shape& w_shape, bool has_bias, const Ints& strides, const Ints& paddings,
           const Ints& dilations, int groups)
      : x(x_shape),
        w(w_shape),
        out(output_shape(x_shape, w_shape, strides, paddings, dilations)),
        stride(strides.begin(), strides.end()),
        padding(paddings.begin(), paddings.end()),
        dilation{dilations[0] - 1, dilations[1] - 1} {  // oneDNN counts the gaps
    if (has_bias) bias = {w_shape[0]};
    if (groups > 1) {
      w = {groups, w_shape[0] / groups, w_shape[1], w_shape[2], w_shape[3]};
      weight_layout = Layout::goihw;
    }
    key = x;
    for (const Shape& part : {w_shape, stride, padding, dilation}) key.insert(key.end(), part.begin(), part.end());
    key.insert(key.end(), {groups, has_bias});
  }

  bool empty() const { return x[0] == 0; }
  // Whether one matrix product is faster than oneDNN's direct kernels: rows this narrow, and weights large enough to
  // matter. Measured with AVX-512; the gradient of the weights gets up to speed last, and 1x1 kernels need no columns.
  bool tiny(int64_t row) const {
    constexpr int64_t kLargeWeight = 1 << 15;
    return w.size() == 4 && out[3] <= row && w[0] * w[1] * w[2] * w[3] >= kLargeWeight &&
           TinyConvolution{shape()}.bytes() <= Workspace::kKept;
  }
  bool tiny_data() const { return tiny(w[2] * w[3] == 1 ? 4 : 2); }
  bool tiny_weights() const { return tiny(4); }

  // Whether to go by way of one channel per tap; the products beat oneDNN's up to about this many.
  bool narrow() const { return w.size() == 4 && w[0] <= 2 && x[1] > 1; }

  // Whether products over the images as they lie beat oneDNN's convolution and its reorders, by measurement: the fewer
  // the channels, the more the reorders weigh. On large weights their gradient is faster from oneDNN.
  bool pointwise() const {
    constexpr int64_t kLargePlane = 256;
    const memory::dims ones = {1, 1}, zeros = {0, 0};
    return w.size() == 4 && w[2] * w[3] == 1 && stride == ones && padding == zeros && x[2] * x[3] >= kLargePlane;
  }
  bool pointwise_weights() const { return pointwise() && w[0] * w[1] <= 2048; }
  Pointwise as_pointwise() const { return {x[0], x[1], out[1], x[2] * x[3]}; }

  ConvolutionShape shape() const {
    return {x[0],      x[1],      x[2],       x[3],       w[0],            w[2],           w[3], out[2], out[3],
            stride[0], stride[1], padding[0], padding[1], dilation[0] + 1, dilation[1] + 1};
  }
  memory::desc bias_desc() const { return bias.empty() ? memory::desc() : plain(bias, Layout::a); }
};

convolution_forward::primitive_desc forward_desc(const Geometry& g) {
  return {cpu_engine(), dnnl::prop_kind::forward_training, dnnl::algorithm::convolution_direct,
          any(g.x),     any(g.w),                          g.bias_desc(),
          any(g.out),   g.stride,                          g.dilation,
          g.padding,    g.padding,                         attributes()};
}

// users: x, weight, out, bias
Plan make_forward(const Geometry& g) {
  Plan plan;
  const auto pd = forward_desc(g);
  const int x = plan.user(plain(g.x, Layout::nchw), 0), w = plan.user(plain(g.w, g.weight_layout), 1);
  const int out = plan.user(plain(g.out, Layout::nchw), 2);
  const int inner = plan.output(out, pd.dst_desc());
  std::map<int, int> arguments = {{DNNL_ARG_SRC, plan.input(x, pd.src_desc())},
                                  {DNNL_ARG_WEIGHTS, plan.input(w, pd.weights_desc())},
                                  {DNNL_ARG_DST, inner}};
  if (!g.bias.empty()) arguments[DNNL_ARG_BIAS] = plan.user(g.bias_desc(), 3);
  plan.add_step(pd, convolution_forward(pd), arguments);
  plan.finish(inner, out);
  return plan;
}

// users: x, weight, gradient of out, gradients of x, weight and bias
Plan make_backward(const Geometry& g, bool need_x, bool need_weight) {
  Plan plan;
  const auto hint = forward_desc(g);
  const int grad_out = plan.user(plain(g.out, Layout::nchw), 2);
  if (need_x) {
    const convolution_backward_data::primitive_desc pd(
        cpu_engine(), dnnl::algorithm::convolution_direct, any(g.x), any(g.w), any(g.out), g.stride, g.dilation,
        g.padding, g.padding, hint, attributes());
    const int w = plan.user(plain(g.w, g.weight_layout), 1), grad_x = plan.user(plain(g.x, Layout::nchw), 3);
    const int inner = plan.output(grad_x, pd.diff_src_desc());
    plan.add_step(pd, convolution_backward_data(pd),
                  {{DNNL_ARG_DIFF_DST, plan.input(grad_out, pd.diff_dst_desc())},
                   {DNNL_ARG_WEIGHTS, plan.input(w, pd.weights_desc())},
                   {DNNL_ARG_DIFF_SRC, inner}});
    plan.finish(inner, grad_x);
  }
  if (need_weight) {
    const convolution_backward_weights::primitive_desc pd(
        cpu_engine(), dnnl::algorithm::convolution_direct, any(g.x), any(g.w), g.bias_desc(), any(g.out), g.stride,
        g.dilation, g.padding, g.padding, hint, attributes());
    const int x = plan.user(plain(g.x, Layout::nchw), 0), grad_w = plan.user(plain(g.w, g.weight_layout), 4);
    const int inner = plan.output(grad_w, pd.diff_weights_desc());
    std::map<int, int> arguments = {{DNNL_ARG_DIFF_DST, plan.input(grad_out, pd.diff_dst_desc())},
                                    {DNNL_ARG_SRC, plan.input(x, pd.src_desc())},
                                    {DNNL_ARG_DIFF_WEIGHTS, inner}};
    if (!g.bias.empty()) arguments[DNNL_ARG_DIFF_BIAS] = plan.user(g.bias_desc(), 5);
    plan.add_step(pd, convolution_backward_weights(pd), arguments);
    plan.finish(inner, grad_w);
  }
  return plan;
}

std::shared_ptr<const Plan> plan_for(const Geometry& g, Kind kind, bool need_x = false, bool need_weight = false) {
  static PlanCache cache;
  PlanCache::Key key = g.key;
  key.insert(key.end(), {kind, need_x, need_weight});
  return cache.get(key, [&] { return kind == kForward ? make_forward(g) : make_backward(g, need_x, need_weight); });
}

Geometry check(const paddle::Tensor& x, const paddle::Tensor& w, const paddle::Tensor* bias, const Ints& stride,
               const Ints& padding, const Ints& dilation, int groups) {
  check_float_tensor(x, 4, "x");
  check_float_tensor(w, 4, "weight");
  check_positive(stride, 2, "stride");
  check_positive(dilation, 2, "dilation");
  PD_CHECK(padding.size() == 2 && padding[0] >= 0 && padding[1] >= 0, "padding must hold 2 numbers >= 0");
  const Shape xs = x.shape(), ws = w.shape();
  PD_CHECK(w.numel() > 0 && xs[2] > 0 && xs[3] > 0, "weight and images must not be empty");
  PD_CHECK(groups > 0 && ws[0] % groups == 0 && xs[1] == ws[1] * groups, "weight and groups do not fit x");
  if (bias) {
    check_float_tensor(*bias, 1, "bias");
    PD_CHECK(bias->shape()[0] == ws[0], "bias must hold one number for each output channel");
  }
  Geometry g(xs, ws, bias != nullptr, stride, padding, dilation, groups);
  PD_CHECK(g.out[2] > 0 && g.out[3] > 0, "the kernel is larger than the padded input");
  check_size(g.out, "the output");
  return g;
}

std::vector<paddle::Tensor> run_forward(const paddle::Tensor& x, const paddle::Tensor& w, const paddle::Tensor* bias,
                                        const Ints& stride, const Ints& padding, const Ints& dilation, int groups) {
  const Geometry g = check(x, w, bias, stride, padding, dilation, groups);
  paddle::Tensor out = paddle::empty(g.out, paddle::DataType::FLOAT32, x.place());
  if (g.empty()) return {out};
  const Workspace::Use use;
  if (g.pointwise())
    g.as_pointwise().forward(floats(x), floats(w), bias ? floats(*bias) : nullptr, floats(out));
  else if (g.narrow())
    NarrowConvolution{g.shape()}.forward(floats(x), floats(w), bias ? floats(*bias) : nullptr, floats(out));
  else if (g.tiny_data())
    TinyConvolution{g.shape()}.forward(floats(x), floats(w), bias ? floats(*bias) : nullptr, floats(out));
  else
    plan_for(g, kForward)->run({floats(x), floats(w), floats(out), bias ? floats(*bias) : nullptr});
  return {out};
}

std::vector<paddle::Tensor> run_backward(const paddle::Tensor& x, const paddle::Tensor& w, const paddle::Tensor* bias,
                                         const paddle::Tensor& grad_out, const Ints& stride, const Ints& padding,
                                         const Ints& dilation, int groups, bool need_x, bool need_weight) {
  const Geometry g = check(x, w, bias, stride, padding, dilation, groups);
  check_float_tensor(grad_out, 4, "gradient of the output");
  PD_CHECK(grad_out.shape() == g.out, "the gradient must have the output's shape");
  const auto gradient = [&](const paddle::Tensor& of) {
    return g.empty() ? paddle::full(of.shape(), 0.0f, paddle::DataType::FLOAT32, x.place())
                     : paddle::empty(of.shape(), paddle::DataType::FLOAT32, x.place());
  };
  std::vector<paddle::Tensor> gradients = {gradient(x), gradient(w)};
  if (bias) gradients.push_back(gradient(*bias));
  if (g.empty()) return gradients;
  float* grad_bias = bias ? floats(gradients[2]) : nullptr;
  const Workspace::Use use;
  if (g.narrow()) {
    NarrowConvolution{g.shape()}.backward(floats(x), floats(w), floats(grad_out),
                                          need_x ? floats(gradients[0]) : nullptr,
                                          need_weight ? floats(gradients[1]) : nullptr, grad_bias);
    return gradients;
  }
  if (need_x && g.pointwise()) {
    g.as_pointwise().backward_data(floats(w), floats(grad_out), floats(gradients[0]));
    need_x = false;
  }
  if (need_weight && g.pointwise_weights()) {
    g.as_pointwise().backward_weights(floats(x), floats(grad_out), floats(gradients[1]));
    if (bias) sum_channels(g.out[0], g.out[1], g.out[2] * g.out[3], floats(grad_out), grad_bias);
    need_weight = false;
  }
  if (need_x && g.tiny_data()) {
    TinyConvolution{g.shape()}.backward_data(floats(w), floats(grad_out), floats(gradients[0]));
    need_x = false;
  }
  if (need_weight && g.tiny_weights()) {
    TinyConvolution{g.shape()}.backward_weights(floats(x), floats(grad_out), floats(gradients[1]), grad_bias);
    need_weight = false;
  }
  if (need_x || need_weight)
    plan_for(g, kBackward, need_x, need_weight)
        ->run({floats(x), floats(w), floats(grad_out), floats(gradients[0]), floats(gradients[1]), grad_bias});
  return gradients;
}

// Paddle numbers the gradients of optional inputs wrongly, so the convolution with a bias is an op of its own.

std::vector<paddle::Tensor> forward(const paddle::Tensor& x, const paddle::Tensor& w, const Ints& stride,
                                    const Ints& padding, const Ints& dilation, int groups, bool, bool) {
  return run_forward(x, w, nullptr, stride, padding, dilation, groups);
}

std::vector<paddle::Tensor> backward(const paddle::Tensor& x, const paddle::Tensor& w, const paddle::Tensor& grad_out,
                                     const Ints& stride, const Ints& padding, const Ints& dilation, int groups,
                                     bool need_x, bool need_weight) {
  return run_backward(x, w, nullptr, grad_out, stride, padding, dilation, groups, need_x, need_weight);
}

std::vector<paddle::Tensor> bias_forward(const paddle::Tensor& x, const paddle::Tensor& w, const paddle::Tensor& bias,
                                         const Ints& stride, const Ints& padding, const Ints& dilation, int groups,
                                         bool, bool) {
  return run_forward(x, w, &bias, stride, padding, dilation, groups);
}

std::vector<paddle::Tensor> bias_backward(const paddle::Tensor& x, const paddle::Tensor& w, const paddle::Tensor& bias,
                                          const paddle::Tensor& grad_out, const Ints& stride, const Ints& padding,
                                          const Ints& dilation, int groups, bool need_x, bool need_weight) {
  return run_backward(x, w, &bias, grad_out, stride, padding, dilation, groups, need_x, need_weight);
}

std::vector<Shape> infer_shape(const Shape& x, const Shape& w, const Ints& stride, const Ints& padding,
                               const Ints& dilation, int, bool, bool) {
  return {output_shape(x, w, stride, padding, dilation)};
}

std::vector<Shape> bias_infer_shape(const Shape& x, const Shape& w, const Shape&, const Ints& stride,
                                    const Ints& padding, const Ints& dilation, int, bool, bool) {
  return {output_shape(x, w, stride, padding, dilation)};
}

using Type = paddle::DataType;
std::vector<Type> infer_dtype(Type x, Type) { return {x}; }
std::vector<Type> bias_infer_dtype(Type x, Type, Type) { return {x}; }

}  // namespace
}  // namespace ppeffconv

// need_x: whether the gradient of x will be asked for; need_weight: that of the weight or the bias. The others are
// left as they are allocated.
#define PPEFFCONV_CONV2D_ATTRIBUTES                                                                             \
  Attrs({"stride: std::vector<int>", "padding: std::vector<int>", "dilation: std::vector<int>", "groups: int", \
         "need_x: bool", "need_weight: bool"})

PD_BUILD_OP(ppeffconv_conv2d)
    .Inputs({"X", "Weight"})
    .Outputs({"Out"})
    .PPEFFCONV_CONV2D_ATTRIBUTES.SetKernelFn(PD_KERNEL(ppeffconv::Guarded<ppeffconv::forward>::run))
    .SetInferShapeFn(PD_INFER_SHAPE(ppeffconv::infer_shape))
    .SetInferDtypeFn(PD_INFER_DTYPE(ppeffconv::infer_dtype));

PD_BUILD_GRAD_OP(ppeffconv_conv2d)
    .Inputs({"X", "Weight", paddle::Grad("Out")})
    .Outputs({paddle::Grad("X"), paddle::Grad("Weight")})
    .PPEFFCONV_CONV2D_ATTRIBUTES.SetKernelFn(PD_KERNEL(ppeffconv::Guarded<ppeffconv::backward>::run));

PPEFFCONV_NO_SECOND_DERIVATIVE(ppeffconv_conv2d, "X", "Weight");

PD_BUILD_OP(ppeffconv_conv2d_bias)
    .Inputs({"X", "Weight", "Bias"})
    .Outputs({"Out"})
    .PPEFFCONV_CONV2D_ATTRIBUTES.SetKernelFn(PD_KERNEL(ppeffconv::Guarded<ppeffconv::bias_forward>::run))
    .SetInferShapeFn(PD_INFER_SHAPE(ppeffconv::bias_infer_shape))
    .SetInferDtypeFn(PD_INFER_DTYPE(ppeffconv::bias_infer_dtype));

PD_BUILD_GRAD_OP(ppeffconv_conv2d_bias)
    .Inputs({"X", "Weight", "Bias", paddle::Grad("Out")})
    .Outputs({paddle::Grad("X"), paddle::Grad("Weight"), paddle::Grad("Bias")})
    .PPEFFCONV_CONV2D_ATTRIBUTES.SetKernelFn(PD_KERNEL(ppeffconv::Guarded<ppeffconv::bias_backward>::run));

PPEFFCONV_NO_SECOND_DERIVATIVE(ppeffconv_conv2d_bias, "X", "Weight", "Bias");
