// An op that reads behind its input, or writes behind its output: the proof that the sanitizer would notice.
#include "paddle/phi/api/all.h"

std::vector<paddle::Tensor> forward(const paddle::Tensor& x, int read, int written) {
  paddle::Tensor y = paddle::empty(x.shape(), x.dtype(), x.place());
  y.data<float>()[written] = x.data<float>()[read];
  return {y};
}

PD_BUILD_OP(ppeffconv_out_of_bounds)
    .Inputs({"X"})
    .Outputs({"Out"})
    .Attrs({"read: int", "written: int"})
    .SetKernelFn(PD_KERNEL(forward));
