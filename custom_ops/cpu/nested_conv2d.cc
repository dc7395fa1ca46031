// nested_conv2d: the outputs of a kernel and of its centre crops, and their gradients, by oneDNN. NCHW, float32.
//
// The input and the gradients are converted to oneDNN's layout once for all crops; each crop writes its own channels.

#include "common/checks.h"
#include "common/second_derivative.h"
#include "common/convolution.h"
#include "cpu/nested_pointwise.h"

namespace ppeffconv {
namespace {

using dnnl::convolution_backward_data;
using dnnl::convolution_backward_weights;
using dnnl::convolution_forward;
using dnnl::memory;

// The window of one crop: where the kernel and, if the crop leaves padding behind, the input begin.
struct Crop {
  Shape x, w, x_offset, w_offset;
  memory::dims padding;
};

struct Geometry {
  Shape x, w, out;  // w: [F, C / groups, kh, kw]
  Ints stride, padding, dilation;
  int64_t groups, crops;

  Geometry(const Shape& x_shape, const Shape& w_shape, const Ints& strides, const Ints& paddings, const Ints& dilations,
           int group_count)
      : x(x_shape),
        w(w_shape),
        out(output_shape(x_shape, w_shape, strides, paddings, dilations)),
        stride(strides),
        padding(paddings),
        dilation(dilations),
        groups(group_count),
        crops((std::min(w[2], w[3]) + 1) / 2) {
    out[1] *= crops;
  }

  Crop crop(int64_t i) const {
    Crop c{x, w, {0, 0, 0, 0}, {0, 0, i, i}, {0, 0}};
    for (int axis = 0; axis < 2; ++axis) {
      const int64_t margin = padding[axis] - i * dilation[axis], inside = std::max<int64_t>(-margin, 0);
      c.padding[axis] = std::max<int64_t>(margin, 0);
      c.x_offset[axis + 2] = inside;
      c.x[axis + 2] -= 2 * inside;
      c.w[axis + 2] -= 2 * i;
    }
    return c;
  }

  // Whether the innermost crop is a 1x1 convolution of the input as it lies, and the image large enough that a product
  // without conversions beats oneDNN's kernel, which finds x converted for the other crops. Measured with AVX-512.
  bool has_pointwise() const {
    constexpr int64_t kLargeImage = 257;
    const memory::dims zeros = {0, 0};
    const Crop inner = crop(crops - 1);
    const bool plain_1x1 = inner.w[2] * inner.w[3] == 1 && inner.padding == zeros && inner.x == x;
    return plain_1x1 && crops > 1 && groups == 1 && stride == Ints{1, 1} && x[2] * x[3] >= kLargeImage;
  }
  NestedPointwise pointwise() const { return {x[0], x[1], w[0], x[2] * x[3], out[1], w[2] * w[3]}; }
  int64_t centre_tap() const { return w[2] * w[3] / 2; }
  int64_t pointwise_channels() const { return (crops - 1) * w[0] * out[2] * out[3]; }
  // The crops that are left to oneDNN's convolutions.
  int64_t convolved() const { return crops - has_pointwise(); }

  // oneDNN counts groups in a dimension of their own.
  Shape grouped(const Shape& weight) const {
    return groups > 1 ? Shape{groups, weight[0] / groups, weight[1], weight[2], weight[3]} : weight;
  }
  Shape grouped_offset(const Shape& offset) const {
    return groups > 1 ? Shape{0, 0, 0, offset[2], offset[3]} : offset;
  }

  PlanCache::Key key() const {
    PlanCache::Key key = x;
    key.insert(key.end(), w.begin(), w.end());
    for (const Ints& part : {stride, padding, dilation}) key.insert(key.end(), part.begin(), part.end());
    key.push_back(groups);
    return key;
  }
};

// The convolution of one crop, over the buffers it shares with the others.
struct CropPlan {
  const Geometry& g;
  Plan& plan;
  Crop crop;
  int64_t index;
  Shape weight, out;
  memory::dims stride, dilation;
  convolution_forward::primitive_desc forward;

  CropPlan(const Geometry& geometry, Plan& shared, int64_t i)
      : g(geometry),
        plan(shared),
        crop(g.crop(i)),
        index(i),
        weight(g.grouped(crop.w)),
        out{g.out[0], g.w[0], g.out[2], g.out[3]},
        stride(g.stride.begin(), g.stride.end()),
        dilation{g.dilation[0] - 1, g.dilation[1] - 1},  // oneDNN counts the gaps
        forward(cpu_engine(), dnnl::prop_kind::forward_training, dnnl::algorithm::convolution_direct, any(crop.x),
                any(weight), any(out), stride, dilation, crop.padding, crop.padding, attributes()) {}

  // The crop's part of the whole tensors.
  memory::desc x_part() const { return plain(g.x, Layout::nchw).submemory_desc(crop.x, crop.x_offset); }
  memory::desc weight_part() const {
    const Layout layout = g.groups > 1 ? Layout::goihw : Layout::oihw;
    return plain(g.grouped(g.w), layout).submemory_desc(weight, g.grouped_offset(crop.w_offset));
  }
  memory::desc out_part() const { return plain(g.out, Layout::nchw).submemory_desc(out, {0, index * g.w[0], 0, 0}); }

  void add_forward(int x, int w, int y) {
    const int inner = plan.output(y, forward.dst_desc());
    plan.add_step(forward, convolution_forward(forward),
                  {{DNNL_ARG_SRC, plan.input(x, forward.src_desc())},
                   {DNNL_ARG_WEIGHTS, plan.input(w, forward.weights_desc())},
                   {DNNL_ARG_DST, inner}});
    plan.finish(inner, y);
  }

  void add_backward_data(int w, int dy, int dx) {
    const convolution_backward_data::primitive_desc pd(cpu_engine(), dnnl::algorithm::convolution_direct, any(crop.x),
                                                       any(weight), any(out), stride, dilation, crop.padding,
                                                       crop.padding, forward, attributes());
    const int inner = plan.scratch(pd.diff_src_desc());
    plan.add_step(pd, convolution_backward_data(pd),
                  {{DNNL_ARG_DIFF_DST, plan.input(dy, pd.diff_dst_desc())},
                   {DNNL_ARG_WEIGHTS, plan.input(w, pd.weights_desc())},
                   {DNNL_ARG_DIFF_SRC, inner}});
    add_share(inner, dx);
  }

  void add_backward_weights(int x, int dy, int dw) {
    const convolution_backward_weights::primitive_desc pd(cpu_engine(), dnnl::algorithm::convolution_direct,
                                                          any(crop.x), any(weight), any(out), stride, dilation,
                                                          crop.padding, crop.padding, forward, attributes());
    const int inner = plan.scratch(pd.diff_weights_desc());
    plan.add_step(pd, convolution_backward_weights(pd),
                  {{DNNL_ARG_DIFF_DST, plan.input(dy, pd.diff_dst_desc())},
                   {DNNL_ARG_SRC, plan.input(x, pd.src_desc())},
                   {DNNL_ARG_DIFF_WEIGHTS, inner}});
    add_share(inner, dw);
  }

  // The outermost crop is the whole kernel and writes every gradient; the inner ones add to it.
  void add_share(int inner, int gradient) {
    if (index == 0)
      plan.finish(inner, gradient);
    else
      plan.accumulate(inner, gradient);
  }
};

// One buffer per distinct part of a tensor, so that crops which see the same part share its conversion.
int part(Plan& plan, const memory::desc& layout, int user, std::vector<std::pair<memory::desc, int>>& known) {
  for (const auto& [existing, buffer] : known)
    if (existing == layout) return buffer;
  known.emplace_back(layout, plan.user(layout, user));
  return known.back().second;
}

// users: x, weight, out
Plan make_forward(const Geometry& g) {
  Plan plan;
  std::vector<std::pair<memory::desc, int>> inputs;
  for (int64_t i = 0; i < g.convolved(); ++i) {
    CropPlan crop(g, plan, i);
    crop.add_forward(part(plan, crop.x_part(), 0, inputs), plan.user(crop.weight_part(), 1),
                     plan.user(crop.out_part(), 2));
  }
  return plan;
}

// users: x, weight, gradient of out, gradients of x and weight
Plan make_backward(const Geometry& g, bool need_x, bool need_weight) {
  Plan plan;
  std::vector<std::pair<memory::desc, int>> inputs;
  for (int64_t i = 0; i < g.convolved(); ++i) {
    CropPlan crop(g, plan, i);
    const int dy = plan.user(crop.out_part(), 2);
    if (need_x) crop.add_backward_data(plan.user(crop.weight_part(), 1), dy, plan.user(crop.x_part(), 3));
    if (need_weight)
      crop.add_backward_weights(part(plan, crop.x_part(), 0, inputs), dy, plan.user(crop.weight_part(), 4));
  }
  return plan;
}

std::shared_ptr<const Plan> plan_for(const Geometry& g, Kind kind, bool need_x = false, bool need_weight = false) {
  static PlanCache cache;
  PlanCache::Key key = g.key();
  key.insert(key.end(), {kind, need_x, need_weight});
  return cache.get(key, [&] { return kind == kForward ? make_forward(g) : make_backward(g, need_x, need_weight); });
}

Geometry check(const paddle::Tensor& x, const paddle::Tensor& w, const Ints& stride, const Ints& padding,
               const Ints& dilation, int groups) {
  check_float_tensor(x, 4, "nested_conv2d: x");
  check_float_tensor(w, 4, "nested_conv2d: weight");
  check_positive(stride, 2, "nested_conv2d: stride");
  check_positive(dilation, 2, "nested_conv2d: dilation");
  PD_CHECK(padding.size() == 2 && padding[0] >= 0 && padding[1] >= 0,
           "nested_conv2d: padding must hold 2 numbers >= 0");
  const Shape xs = x.shape(), ws = w.shape();
  PD_CHECK(groups > 0 && ws[0] % groups == 0 && xs[1] == ws[1] * groups && w.numel() > 0,
           "nested_conv2d: weight and groups do not fit x");
  PD_CHECK(xs[2] > 0 && xs[3] > 0, "nested_conv2d: the images are empty");
  Geometry g(xs, ws, stride, padding, dilation, groups);
  PD_CHECK(g.out[2] > 0 && g.out[3] > 0, "nested_conv2d: the kernel is larger than the padded input");
  check_size(g.out, "nested_conv2d: the output");
  return g;
}

std::vector<paddle::Tensor> forward(const paddle::Tensor& x, const paddle::Tensor& w, const Ints& stride,
                                    const Ints& padding, const Ints& dilation, int groups, bool, bool) {
  const Geometry g = check(x, w, stride, padding, dilation, groups);
  paddle::Tensor out = paddle::empty(g.out, paddle::DataType::FLOAT32, x.place());
  if (g.x[0] == 0) return {out};
  plan_for(g, kForward)->run({floats(x), floats(w), floats(out)});
  if (g.has_pointwise())
    g.pointwise().forward(floats(x), floats(w) + g.centre_tap(), floats(out) + g.pointwise_channels());
  return {out};
}

std::vector<paddle::Tensor> backward(const paddle::Tensor& x, const paddle::Tensor& w, const paddle::Tensor& grad_out,
                                     const Ints& stride, const Ints& padding, const Ints& dilation, int groups,
                                     bool need_x, bool need_weight) {
  const Geometry g = check(x, w, stride, padding, dilation, groups);
  check_float_tensor(grad_out, 4, "nested_conv2d: the output's gradient");
  PD_CHECK(grad_out.shape() == g.out, "nested_conv2d: the output's gradient must be like the output");
  if (g.x[0] == 0) return {paddle::experimental::zeros_like(x), paddle::experimental::zeros_like(w)};
  std::vector<paddle::Tensor> gradients = {paddle::experimental::empty_like(x), paddle::experimental::empty_like(w)};
  if (need_x || need_weight)
    plan_for(g, kBackward, need_x, need_weight)
        ->run({floats(x), floats(w), floats(grad_out), floats(gradients[0]), floats(gradients[1])});
  if (g.has_pointwise()) {
    const float *centre = floats(w) + g.centre_tap(), *dy = floats(grad_out) + g.pointwise_channels();
    if (need_x) g.pointwise().add_backward_data(centre, dy, floats(gradients[0]));
    if (need_weight) g.pointwise().add_backward_weights(floats(x), dy, floats(gradients[1]) + g.centre_tap());
  }
  return gradients;
}

std::vector<Shape> infer_shape(const Shape& x, const Shape& w, const Ints& stride, const Ints& padding,
                               const Ints& dilation, int groups, bool, bool) {
  return {Geometry(x, w, stride, padding, dilation, groups).out};
}

std::vector<paddle::DataType> infer_dtype(const paddle::DataType& x, const paddle::DataType&) { return {x}; }

}  // namespace
}  // namespace ppeffconv

// need_x, need_weight: which gradients will be asked for; the others are left as they are allocated.
#define PPEFFCONV_NESTED_ATTRIBUTES                                                                             \
  Attrs({"stride: std::vector<int>", "padding: std::vector<int>", "dilation: std::vector<int>", "groups: int", \
         "need_x: bool", "need_weight: bool"})

PD_BUILD_OP(ppeffconv_nested_conv2d)
    .Inputs({"X", "Weight"})
    .Outputs({"Out"})
    .PPEFFCONV_NESTED_ATTRIBUTES.SetKernelFn(PD_KERNEL(ppeffconv::Guarded<ppeffconv::forward>::run))
    .SetInferShapeFn(PD_INFER_SHAPE(ppeffconv::infer_shape))
    .SetInferDtypeFn(PD_INFER_DTYPE(ppeffconv::infer_dtype));

PD_BUILD_GRAD_OP(ppeffconv_nested_conv2d)
    .Inputs({"X", "Weight", paddle::Grad("Out")})
    .Outputs({paddle::Grad("X"), paddle::Grad("Weight")})
    .PPEFFCONV_NESTED_ATTRIBUTES.SetKernelFn(PD_KERNEL(ppeffconv::Guarded<ppeffconv::backward>::run));

PPEFFCONV_NO_SECOND_DERIVATIVE(ppeffconv_nested_conv2d, "X", "Weight");
