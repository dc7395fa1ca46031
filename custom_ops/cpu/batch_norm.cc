// ppeffconv_batch_norm: batch normalisation, an optional residual sum and an optional ReLU in one pass, CPU.
#include "paddle/phi/api/all.h"

#include "batch_norm_kernel.h"
#include "common/checks.h"
#include "common/second_derivative.h"

namespace {

using paddle::DataType;
using paddle::Tensor;
using paddle::experimental::empty_like;
using ppeffconv::check_like;
using ppeffconv::batch_norm::BatchNorm;
using Shape = std::vector<int64_t>;

template <typename T>
BatchNorm<T> bind(const Tensor& x, const Tensor& weight, const Tensor& bias, const Tensor* residual, float epsilon,
                  bool relu) {
  const Shape shape = x.shape();
  const int64_t size = x.numel() / (shape[0] * shape[1]);
  return {shape[0], shape[1], size, epsilon, relu, x.data<T>(), weight.data<T>(), bias.data<T>(),
          residual ? residual->data<T>() : nullptr};
}

void check(const Tensor& x, const Tensor& weight, const Tensor& bias, const Tensor* residual) {
  ppeffconv::check_plain(x, "batch_norm: x");
  PD_CHECK(x.shape().size() >= 2 && x.numel() > 0, "batch_norm: x must be [N, C, ...] and not empty");
  PD_CHECK(x.dtype() == DataType::FLOAT32 || x.dtype() == DataType::FLOAT64,
           "batch_norm: x must be float32 or float64");
  const Shape channels = {x.shape()[1]};
  check_like(weight, x, channels, "batch_norm: weight");
  check_like(bias, x, channels, "batch_norm: bias");
  if (residual) check_like(*residual, x, x.shape(), "batch_norm: residual");
}

std::vector<Tensor> run_forward(const Tensor& x, const Tensor& weight, const Tensor& bias, const Tensor& running_mean,
                                const Tensor& running_variance, const Tensor* residual, float momentum, float epsilon,
                                bool training, bool relu) {
  check(x, weight, bias, residual);
  check_like(running_mean, x, weight.shape(), "batch_norm: running_mean");
  check_like(running_variance, x, weight.shape(), "batch_norm: running_variance");
  Tensor y = empty_like(x), mean = empty_like(weight), inverse = empty_like(weight);
  PD_DISPATCH_FLOATING_TYPES(x.dtype(), "ppeffconv_batch_norm", ([&] {
    // the running statistics are buffers of the layer, which move as a side effect like those of Paddle's own op
    bind<data_t>(x, weight, bias, residual, epsilon, relu)
        .forward(training, momentum, const_cast<data_t*>(running_mean.data<data_t>()),
                 const_cast<data_t*>(running_variance.data<data_t>()), y.data<data_t>(), mean.data<data_t>(),
                 inverse.data<data_t>());
  }));
  return {y, mean, inverse};
}

std::vector<Tensor> run_backward(const Tensor& x, const Tensor& weight, const Tensor& bias, const Tensor* residual,
                                 const Tensor& mean, const Tensor& inverse, const Tensor& dy, float epsilon,
                                 bool training, bool relu) {
  check(x, weight, bias, residual);
  check_like(mean, x, weight.shape(), "batch_norm: the saved mean");
  check_like(inverse, x, weight.shape(), "batch_norm: the saved deviation");
  check_like(dy, x, x.shape(), "batch_norm: the output's gradient");
  std::vector<Tensor> gradients = {empty_like(x), empty_like(weight), empty_like(bias)};
  if (residual) gradients.push_back(empty_like(x));
  PD_DISPATCH_FLOATING_TYPES(x.dtype(), "ppeffconv_batch_norm_grad", ([&] {
    bind<data_t>(x, weight, bias, residual, epsilon, relu)
        .backward(training, mean.data<data_t>(), inverse.data<data_t>(), dy.data<data_t>(),
                  gradients[0].data<data_t>(), gradients[1].data<data_t>(), gradients[2].data<data_t>(),
                  residual ? gradients[3].data<data_t>() : nullptr);
  }));
  return gradients;
}

// Paddle numbers the gradients of optional inputs wrongly, so the sum with a residual is an op of its own.

std::vector<Tensor> forward(const Tensor& x, const Tensor& weight, const Tensor& bias, const Tensor& running_mean,
                            const Tensor& running_variance, float momentum, float epsilon, bool training, bool relu) {
  return run_forward(x, weight, bias, running_mean, running_variance, nullptr, momentum, epsilon, training, relu);
}

std::vector<Tensor> backward(const Tensor& x, const Tensor& weight, const Tensor& bias, const Tensor& mean,
                             const Tensor& inverse, const Tensor& dy, float, float epsilon, bool training, bool relu) {
  return run_backward(x, weight, bias, nullptr, mean, inverse, dy, epsilon, training, relu);
}

std::vector<Tensor> add_forward(const Tensor& x, const Tensor& weight, const Tensor& bias, const Tensor& residual,
                                const Tensor& running_mean, const Tensor& running_variance, float momentum,
                                float epsilon, bool training, bool relu) {
  return run_forward(x, weight, bias, running_mean, running_variance, &residual, momentum, epsilon, training, relu);
}

std::vector<Tensor> add_backward(const Tensor& x, const Tensor& weight, const Tensor& bias, const Tensor& residual,
                                 const Tensor& mean, const Tensor& inverse, const Tensor& dy, float, float epsilon,
                                 bool training, bool relu) {
  return run_backward(x, weight, bias, &residual, mean, inverse, dy, epsilon, training, relu);
}

std::vector<Shape> infer_shape(const Shape& x, const Shape& weight, const Shape&, const Shape&, const Shape&) {
  return {x, weight, weight};
}
std::vector<Shape> add_infer_shape(const Shape& x, const Shape& weight, const Shape&, const Shape&, const Shape&,
                                   const Shape&) {
  return {x, weight, weight};
}
std::vector<DataType> infer_dtype(DataType x, DataType, DataType, DataType, DataType) { return {x, x, x}; }
std::vector<DataType> add_infer_dtype(DataType x, DataType, DataType, DataType, DataType, DataType) {
  return {x, x, x};
}

}  // namespace

#define PPEFFCONV_BATCH_NORM_ATTRIBUTES Attrs({"momentum: float", "epsilon: float", "training: bool", "relu: bool"})

PD_BUILD_OP(ppeffconv_batch_norm)
    .Inputs({"X", "Weight", "Bias", "RunningMean", "RunningVariance"})
    .Outputs({"Out", "Mean", "Inverse"})
    .PPEFFCONV_BATCH_NORM_ATTRIBUTES.SetKernelFn(PD_KERNEL(ppeffconv::Guarded<forward>::run))
    .SetInferShapeFn(PD_INFER_SHAPE(infer_shape))
    .SetInferDtypeFn(PD_INFER_DTYPE(infer_dtype));

PD_BUILD_GRAD_OP(ppeffconv_batch_norm)
    .Inputs({"X", "Weight", "Bias", "Mean", "Inverse", paddle::Grad("Out")})
    .Outputs({paddle::Grad("X"), paddle::Grad("Weight"), paddle::Grad("Bias")})
    .PPEFFCONV_BATCH_NORM_ATTRIBUTES.SetKernelFn(PD_KERNEL(ppeffconv::Guarded<backward>::run));

PPEFFCONV_NO_SECOND_DERIVATIVE(ppeffconv_batch_norm, "X", "Weight", "Bias");

PD_BUILD_OP(ppeffconv_batch_norm_add)
    .Inputs({"X", "Weight", "Bias", "Residual", "RunningMean", "RunningVariance"})
    .Outputs({"Out", "Mean", "Inverse"})
    .PPEFFCONV_BATCH_NORM_ATTRIBUTES.SetKernelFn(PD_KERNEL(ppeffconv::Guarded<add_forward>::run))
    .SetInferShapeFn(PD_INFER_SHAPE(add_infer_shape))
    .SetInferDtypeFn(PD_INFER_DTYPE(add_infer_dtype));

PD_BUILD_GRAD_OP(ppeffconv_batch_norm_add)
    .Inputs({"X", "Weight", "Bias", "Residual", "Mean", "Inverse", paddle::Grad("Out")})
    .Outputs({paddle::Grad("X"), paddle::Grad("Weight"), paddle::Grad("Bias"), paddle::Grad("Residual")})
    .PPEFFCONV_BATCH_NORM_ATTRIBUTES.SetKernelFn(PD_KERNEL(ppeffconv::Guarded<add_backward>::run));

PPEFFCONV_NO_SECOND_DERIVATIVE(ppeffconv_batch_norm_add, "X", "Weight", "Bias", "Residual");
