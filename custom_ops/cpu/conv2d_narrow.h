// Convolution to very few channels (the logits of a mask). oneDNN computes at least a vector of output channels, one
// or two of which would be wanted; and it reorders the whole input first.
//
// Here each tap is a channel of its own: z = W x, with W [O * kh * kw, C] and x [C, H * W] as it lies, and an output
// is the sum of its taps' pixels in z. The gradients go the same way back: dz are the shifted copies of dy.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "cpu/conv2d_gemm.h"

namespace ppeffconv {

struct NarrowConvolution : ConvolutionShape {
  int64_t planes() const { return out_channels * taps(); }
  int64_t area() const { return height * width; }
  Pointwise by_tap() const { return {batch, channels, planes(), area()}; }

  void forward(const float* x, const float* weight, const float* bias, float* out) const {
    float* z = reserve();
    by_tap().forward(x, taps_first(weight).data(), nullptr, z);
#pragma omp parallel for collapse(3)
    for (int64_t n = 0; n < batch; ++n)
      for (int64_t o = 0; o < out_channels; ++o)
        for (int64_t oy = 0; oy < out_h; ++oy) {
          float* to = out + ((n * out_channels + o) * out_h + oy) * out_w;
          std::fill_n(to, out_w, bias ? bias[o] : 0.0f);
          for_taps(oy, [&](int64_t tap, int64_t from, int64_t first, int64_t last) {
            const float* plane = z + (n * planes() + o * taps() + tap) * area();
            for (int64_t ox = first; ox < last; ++ox) to[ox] += plane[from + ox * stride_w];
          });
        }
  }

  // A gradient that is null is not computed.
  void backward(const float* x, const float* weight, const float* grad_out, float* grad_x, float* grad_weight,
                float* grad_bias) const {
    float* dz = reserve();
    spread(grad_out, dz);
    if (grad_x) by_tap().backward_data(taps_first(weight).data(), dz, grad_x);
    if (grad_weight) {
      std::vector<float> gradient(planes() * channels);
      by_tap().backward_weights(x, dz, gradient.data());
      taps_last(gradient, grad_weight);
    }
    if (grad_bias) sum_channels(batch, out_channels, pixels(), grad_out, grad_bias);
  }

 private:
  float* reserve() const {
    const size_t floats = batch * planes() * area();
    return reinterpret_cast<float*>(Workspace::of_thread().reserve(floats * sizeof(float)));
  }

  // [O, C, kh * kw] -> [O * kh * kw, C]
  std::vector<float> taps_first(const float* weight) const {
    std::vector<float> to(planes() * channels);
    for (int64_t o = 0; o < out_channels; ++o)
      for (int64_t c = 0; c < channels; ++c)
        for (int64_t t = 0; t < taps(); ++t)
          to[(o * taps() + t) * channels + c] = weight[(o * channels + c) * taps() + t];
    return to;
  }

  void taps_last(const std::vector<float>& from, float* to) const {
    for (int64_t o = 0; o < out_channels; ++o)
      for (int64_t c = 0; c < channels; ++c)
        for (int64_t t = 0; t < taps(); ++t)
          to[(o * channels + c) * taps() + t] = from[(o * taps() + t) * channels + c];
  }

  // Calls visit(tap, start, first, last) for every tap that meets the image in output row oy: output columns
  // [first, last) take pixels start + ox * stride_w.
  template <class Visit>
  void for_taps(int64_t oy, const Visit& visit) const {
    for (int64_t i = 0; i < kernel_h; ++i) {
      const int64_t y = oy * stride_h - padding_h + i * dilation_h;
      if (y < 0 || y >= height) continue;
      for (int64_t j = 0; j < kernel_w; ++j) {
        const int64_t shift = j * dilation_w - padding_w;
        const int64_t first = shift < 0 ? (-shift + stride_w - 1) / stride_w : 0;
        const int64_t last = shift < width ? std::min((width - 1 - shift) / stride_w + 1, out_w) : 0;
        visit(i * kernel_w + j, y * width + shift, first, last);
      }
    }
  }

  void spread(const float* grad_out, float* dz) const {
#pragma omp parallel for collapse(2)
    for (int64_t n = 0; n < batch; ++n)
      for (int64_t o = 0; o < out_channels; ++o) {
        float* copies = dz + (n * planes() + o * taps()) * area();
        std::fill_n(copies, taps() * area(), 0.0f);
        for (int64_t oy = 0; oy < out_h; ++oy) {
          const float* from = grad_out + ((n * out_channels + o) * out_h + oy) * out_w;
          for_taps(oy, [&](int64_t tap, int64_t start, int64_t first, int64_t last) {
            float* to = copies + tap * area() + start;
            for (int64_t ox = first; ox < last; ++ox) to[ox * stride_w] = from[ox];
          });
        }
      }
  }
};

}  // namespace ppeffconv
