// What the ops do with tensors on a GPU, as ops of their own for tensors on the CPU: cuda/*.cu over the emulation.
#define EMULATION_MAIN
#include "emulation.h"

#include "cuda/ddf.cu"
#include "cuda/filter_norm.cu"
#include "cuda/octave.cu"
#include "cuda/sample_interpolate.cu"
#include "cuda/sampled_conv2d.cu"

#define OP(name) PD_BUILD_OP(emulated_##name).SetKernelFn(PD_KERNEL(ppeffconv::name))

OP(ddf_cuda_forward)
    .Inputs({"X", "C", "F"})
    .Outputs({"Y"})
    .Attrs({"kernel_size: int", "stride: int", "dilation: int", "mode: std::string"});
OP(ddf_cuda_backward)
    .Inputs({"X", "C", "F", "DY"})
    .Outputs({"DX", "DC", "DF"})
    .Attrs({"kernel_size: int", "stride: int", "dilation: int", "mode: std::string"});
OP(filter_norm_cuda_forward).Inputs({"X"}).Outputs({"Y"}).Attrs({"axis: int", "scale: float", "eps: float"});
OP(filter_norm_cuda_backward).Inputs({"X", "DY"}).Outputs({"DX"}).Attrs({"axis: int", "scale: float", "eps: float"});
OP(sample_interpolate_cuda_forward).Inputs({"F", "M", "S"}).Outputs({"Y"}).Attrs({"window: int"});
OP(sample_interpolate_cuda_inactive).Inputs({"F", "M", "S"}).Outputs({"Y"}).Attrs({"window: int"});
OP(sample_interpolate_cuda_backward)
    .Inputs({"F", "M", "S", "DY"})
    .Outputs({"DF", "DM", "DS"})
    .Attrs({"window: int"});
OP(sampled_conv2d_cuda_forward)
    .Inputs({"X", "Weight", "Active", paddle::Optional("Bias")})
    .Outputs({"Y"})
    .Attrs({"stride: std::vector<int>", "padding: std::vector<int>", "dilation: std::vector<int>"});
OP(octave_pool_cuda_forward).Inputs({"X"}).Outputs({"Y"});
OP(octave_pool_cuda_backward).Inputs({"X", "DY"}).Outputs({"DX"});
OP(octave_upsample_cuda_forward).Inputs({"Low"}).Outputs({"Y"}).Attrs({"height: int", "width: int"});
OP(octave_upsample_cuda_backward).Inputs({"DY"}).Outputs({"DLow"});
OP(octave_upsample_add_cuda_forward).Inputs({"High", "Low"}).Outputs({"Y"});
OP(octave_upsample_add_cuda_backward).Inputs({"DY"}).Outputs({"DHigh", "DLow"});
