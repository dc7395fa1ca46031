// ppeffconv_blend: SPConv's two BatchNorms and the fusion of their branches in one pass, CPU.
#include "paddle/phi/api/all.h"

#include "blend_kernel.h"
#include "common/checks.h"
#include "common/second_derivative.h"

namespace {

using paddle::DataType;
using paddle::Tensor;
using paddle::experimental::empty;
using paddle::experimental::empty_like;
using ppeffconv::check_like;
using ppeffconv::blend::Blend;
using Shape = std::vector<int64_t>;

void check(const Tensor& x, const Tensor& y, const std::vector<const Tensor*>& of_channels) {
  ppeffconv::check_plain(x, "blend: x");
  ppeffconv::check_rank(x, 4, "blend: x");
  PD_CHECK(x.numel() > 0, "blend: x is empty");
  PD_CHECK(x.dtype() == DataType::FLOAT32 || x.dtype() == DataType::FLOAT64, "blend: x must be float32 or float64");
  check_like(y, x, x.shape(), "blend: y");
  for (const Tensor* tensor : of_channels) check_like(*tensor, x, {x.shape()[1]}, "blend: a parameter or statistic");
}

// statistics: [4, C], mean and inverse deviation of x, then of y; gate: [N, C]
template <typename T>
Blend<T> bind(const Tensor& x, const Tensor& weight_x, const Tensor& bias_x, const Tensor& y, const Tensor& weight_y,
              const Tensor& bias_y, const Tensor& statistics, const Tensor& gate) {
  const Shape s = x.shape();
  T* rows = const_cast<T*>(statistics.data<T>());
  return {s[0], s[1], s[2] * s[3],
          {x.data<T>(), weight_x.data<T>(), bias_x.data<T>(), rows, rows + s[1]},
          {y.data<T>(), weight_y.data<T>(), bias_y.data<T>(), rows + 2 * s[1], rows + 3 * s[1]},
          const_cast<T*>(gate.data<T>())};
}

std::vector<Tensor> forward(const Tensor& x, const Tensor& weight_x, const Tensor& bias_x, const Tensor& y,
                            const Tensor& weight_y, const Tensor& bias_y, const Tensor& mean_x,
                            const Tensor& variance_x, const Tensor& mean_y, const Tensor& variance_y, float momentum,
                            float epsilon, bool training) {
  check(x, y, {&weight_x, &bias_x, &weight_y, &bias_y, &mean_x, &variance_x, &mean_y, &variance_y});
  const Shape shape = x.shape();
  Tensor z = empty_like(x), statistics = empty({4, shape[1]}, x.dtype(), x.place());
  Tensor gate = empty({shape[0], shape[1]}, x.dtype(), x.place());
  PD_DISPATCH_FLOATING_TYPES(x.dtype(), "ppeffconv_blend", ([&] {
    // the running statistics are buffers of the layers, which move as a side effect like those of Paddle's own op
    const auto buffer = [](const Tensor& tensor) { return const_cast<data_t*>(tensor.data<data_t>()); };
    bind<data_t>(x, weight_x, bias_x, y, weight_y, bias_y, statistics, gate)
        .forward(training, momentum, epsilon, {buffer(mean_x), buffer(variance_x), buffer(mean_y), buffer(variance_y)},
                 z.data<data_t>());
  }));
  return {z, statistics, gate};
}

std::vector<Tensor> backward(const Tensor& x, const Tensor& weight_x, const Tensor& bias_x, const Tensor& y,
                             const Tensor& weight_y, const Tensor& bias_y, const Tensor& statistics, const Tensor& gate,
                             const Tensor& dz, float, float, bool training) {
  check(x, y, {&weight_x, &bias_x, &weight_y, &bias_y});
  check_like(statistics, x, {4, x.shape()[1]}, "blend: the saved statistics");
  check_like(gate, x, {x.shape()[0], x.shape()[1]}, "blend: the saved gate");
  check_like(dz, x, x.shape(), "blend: the output's gradient");
  std::vector<Tensor> d;
  for (const Tensor* of : {&x, &weight_x, &bias_x, &y, &weight_y, &bias_y}) d.push_back(empty_like(*of));
  PD_DISPATCH_FLOATING_TYPES(x.dtype(), "ppeffconv_blend_grad", ([&] {
    bind<data_t>(x, weight_x, bias_x, y, weight_y, bias_y, statistics, gate)
        .backward(training, dz.data<data_t>(), {d[0].data<data_t>(), d[1].data<data_t>(), d[2].data<data_t>()},
                  {d[3].data<data_t>(), d[4].data<data_t>(), d[5].data<data_t>()});
  }));
  return d;
}

std::vector<Shape> infer_shape(const Shape& x, const Shape&, const Shape&, const Shape&, const Shape&, const Shape&,
                               const Shape&, const Shape&, const Shape&, const Shape&) {
  return {x, {4, x[1]}, {x[0], x[1]}};
}
std::vector<DataType> infer_dtype(DataType x, DataType, DataType, DataType, DataType, DataType, DataType, DataType,
                                  DataType, DataType) {
  return {x, x, x};
}

}  // namespace

#define PPEFFCONV_BLEND_ATTRIBUTES Attrs({"momentum: float", "epsilon: float", "training: bool"})

PD_BUILD_OP(ppeffconv_blend)
    .Inputs({"X", "WeightX", "BiasX", "Y", "WeightY", "BiasY", "MeanX", "VarianceX", "MeanY", "VarianceY"})
    .Outputs({"Out", "Statistics", "Gate"})
    .PPEFFCONV_BLEND_ATTRIBUTES.SetKernelFn(PD_KERNEL(ppeffconv::Guarded<forward>::run))
    .SetInferShapeFn(PD_INFER_SHAPE(infer_shape))
    .SetInferDtypeFn(PD_INFER_DTYPE(infer_dtype));

PD_BUILD_GRAD_OP(ppeffconv_blend)
    .Inputs({"X", "WeightX", "BiasX", "Y", "WeightY", "BiasY", "Statistics", "Gate", paddle::Grad("Out")})
    .Outputs({paddle::Grad("X"), paddle::Grad("WeightX"), paddle::Grad("BiasX"), paddle::Grad("Y"),
              paddle::Grad("WeightY"), paddle::Grad("BiasY")})
    .PPEFFCONV_BLEND_ATTRIBUTES.SetKernelFn(PD_KERNEL(ppeffconv::Guarded<backward>::run));

PPEFFCONV_NO_SECOND_DERIVATIVE(ppeffconv_blend, "X", "WeightX", "BiasX", "Y", "WeightY", "BiasY");
