// What the ops do with tensors on a GPU; defined in cuda/*.cu, and there only where kWithCuda. Arguments are checked by
// the callers. Each returns what the op of this name does on the CPU, also for empty tensors.
#pragma once

#include <string>
#include <vector>

#include "paddle/phi/api/all.h"

namespace ppeffconv {

std::vector<paddle::Tensor> ddf_cuda_forward(const paddle::Tensor& x, const paddle::Tensor& channel,
                                             const paddle::Tensor& spatial, int kernel, int stride, int dilation,
                                             const std::string& mode);
std::vector<paddle::Tensor> ddf_cuda_backward(const paddle::Tensor& x, const paddle::Tensor& channel,
                                              const paddle::Tensor& spatial, const paddle::Tensor& dy, int kernel,
                                              int stride, int dilation, const std::string& mode);

// scale * (logits - mean) / (std + eps) over the taps, which lie on `axis`.
std::vector<paddle::Tensor> filter_norm_cuda_forward(const paddle::Tensor& logits, int axis, float scale, float eps);
std::vector<paddle::Tensor> filter_norm_cuda_backward(const paddle::Tensor& logits, const paddle::Tensor& dy, int axis,
                                                      float scale, float eps);

// Mask and sigma are float32 beside features of any type.
std::vector<paddle::Tensor> sample_interpolate_cuda_forward(const paddle::Tensor& features, const paddle::Tensor& mask,
                                                            const paddle::Tensor& sigma, int window);
std::vector<paddle::Tensor> sample_interpolate_cuda_backward(const paddle::Tensor& features,
                                                             const paddle::Tensor& mask, const paddle::Tensor& sigma,
                                                             const paddle::Tensor& dy, int window);
// The same output, in the form for inference, where masks are 0 or 1: it computes nothing where the mask is 1.
std::vector<paddle::Tensor> sample_interpolate_cuda_inactive(const paddle::Tensor& features,
                                                             const paddle::Tensor& mask, const paddle::Tensor& sigma,
                                                             int window);

// A convolution at the positions where `active`, a bool [N, 1, OH, OW], is true; zero elsewhere.
std::vector<paddle::Tensor> sampled_conv2d_cuda_forward(const paddle::Tensor& x, const paddle::Tensor& weight,
                                                        const paddle::Tensor& active,
                                                        const paddle::optional<paddle::Tensor>& bias,
                                                        const std::vector<int>& stride, const std::vector<int>& padding,
                                                        const std::vector<int>& dilation);

// 2x2 average pooling with ceil, and nearest upsampling cropped to height x width, alone or onto a sum.
std::vector<paddle::Tensor> octave_pool_cuda_forward(const paddle::Tensor& x);
std::vector<paddle::Tensor> octave_pool_cuda_backward(const paddle::Tensor& x, const paddle::Tensor& dy);
std::vector<paddle::Tensor> octave_upsample_cuda_forward(const paddle::Tensor& low, int height, int width);
std::vector<paddle::Tensor> octave_upsample_cuda_backward(const paddle::Tensor& dy);
std::vector<paddle::Tensor> octave_upsample_add_cuda_forward(const paddle::Tensor& high, const paddle::Tensor& low);
std::vector<paddle::Tensor> octave_upsample_add_cuda_backward(const paddle::Tensor& dy);  // of high and of low

}  // namespace ppeffconv
