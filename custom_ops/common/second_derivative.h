// The kernels are differentiable once. Where an op does not say what its second derivative is, Paddle takes it for 0.
#pragma once

#include <string>
#include <vector>

#include "paddle/common/enforce.h"
#include "paddle/phi/api/all.h"

namespace ppeffconv {

// The names of the gradients of gradients that reach a second derivative.
inline std::vector<std::string> of_gradients(const std::vector<std::string>& inputs) {
  std::vector<std::string> names;
  for (const std::string& input : inputs) names.push_back(paddle::Grad(paddle::Grad(input)));
  return names;
}

[[noreturn]] inline void fail_second_derivative(const char* op) {
  throw common::enforce::EnforceNotMet(
      common::errors::Unimplemented(
          "%s: its kernel has no second derivative, which a gradient penalty, for one, asks for. Set the environment "
          "variable PPEFFCONV_OPS=reference: plain Paddle then runs every op, and has most of them. What accelerate() "
          "has taken, accelerate(net, enable=False) gives back",
          op),
      "ppeffconv", 0);
}

}  // namespace ppeffconv

// An error in place of the second derivative of an op, whose gradient is in these inputs.
#define PPEFFCONV_NO_SECOND_DERIVATIVE(op, ...)           \
  PD_BUILD_DOUBLE_GRAD_OP(op)                             \
      .Inputs(ppeffconv::of_gradients({__VA_ARGS__}))     \
      .Outputs({paddle::Grad(paddle::Grad("Out"))})       \
      .SetKernelFn([](paddle::CustomOpKernelContext*) { ppeffconv::fail_second_derivative(#op); })
