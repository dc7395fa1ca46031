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
  static constexpr int64_t kColumns = 2048;  // of one product: enough work for a thread, and still in its cache

  int64_t rows() const { return out_channels * taps(); }
  int64_t area() const { return height * width; }
  int64_t blocks() const { return (area() + kColumns - 1) / kColumns; }

  void forward(const float* x, const float* weight, const float* bias, float* out) const {
    float* z = reserve(batch * rows() * area());
    const std::vector<float> w = taps_first(weight);
    for_blocks([&](int64_t n, int64_t, int64_t at, int64_t columns) {
      product('N', 'N', rows(), columns, channels, w.data(), channels, x + n * channels * area() + at, area(),
              z + n * rows() * area() + at, area());
    });
#pragma omp parallel for collapse(3)
    for (int64_t n = 0; n < batch; ++n)
      for (int64_t o = 0; o < out_channels; ++o)
        for (int64_t oy = 0; oy < out_h; ++oy) {
          float* to = out + ((n * out_channels + o) * out_h + oy) * out_w;
          std::fill_n(to, out_w, bias ? bias[o] : 0.0f);
          for_taps(oy, [&](int64_t tap, int64_t from, int64_t first, int64_t last) {
            const float* plane = z + (n * rows() + o * taps() + tap) * area();
            for (int64_t ox = first; ox < last; ++ox) to[ox] += plane[from + ox * stride_w];
          });
        }
  }

  // A gradient that is null is not computed.
  void backward(const float* x, const float* weight, const float* grad_out, float* grad_x, float* grad_weight,
                float* grad_bias) const {
    float* dz = reserve(batch * rows() * area());
    spread(grad_out, dz);
    const std::vector<float> w = taps_first(weight);
    const int64_t size = rows() * channels;
    std::vector<float> partial(grad_weight ? batch * blocks() * size : 0);  // summed in order: the same every run
    for_blocks([&](int64_t n, int64_t block, int64_t at, int64_t columns) {
      const float* columns_of_dz = dz + n * rows() * area() + at;
      const int64_t pixels = n * channels * area() + at;
      if (grad_x)
        product('T', 'N', channels, columns, rows(), w.data(), channels, columns_of_dz, area(), grad_x + pixels, area());
      if (grad_weight)
        product('N', 'T', rows(), channels, columns, columns_of_dz, area(), x + pixels, area(),
                &partial[(n * blocks() + block) * size], channels);
    });
    if (grad_weight) sum_weights(partial, grad_weight);
    if (grad_bias) sum_bias(grad_out, grad_bias);
  }

 private:
  static float* reserve(int64_t floats) {
    return reinterpret_cast<float*>(Workspace::of_thread().reserve(floats * sizeof(float)));
  }

  // [O, C, kh * kw] -> [O * kh * kw, C]
  std::vector<float> taps_first(const float* weight) const {
    std::vector<float> to(rows() * channels);
    for (int64_t o = 0; o < out_channels; ++o)
      for (int64_t c = 0; c < channels; ++c)
        for (int64_t t = 0; t < taps(); ++t)
          to[(o * taps() + t) * channels + c] = weight[(o * channels + c) * taps() + t];
    return to;
  }

  template <class Work>
  void for_blocks(const Work& work) const {
#pragma omp parallel for collapse(2)
    for (int64_t n = 0; n < batch; ++n)
      for (int64_t block = 0; block < blocks(); ++block)
        work(n, block, block * kColumns, std::min(kColumns, area() - block * kColumns));
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
        float* planes = dz + (n * rows() + o * taps()) * area();
        std::fill_n(planes, taps() * area(), 0.0f);
        for (int64_t oy = 0; oy < out_h; ++oy) {
          const float* from = grad_out + ((n * out_channels + o) * out_h + oy) * out_w;
          for_taps(oy, [&](int64_t tap, int64_t start, int64_t first, int64_t last) {
            float* to = planes + tap * area() + start;
            for (int64_t ox = first; ox < last; ++ox) to[ox * stride_w] = from[ox];
          });
        }
      }
  }

  void sum_weights(const std::vector<float>& partial, float* grad_weight) const {
    const int64_t size = rows() * channels;
    for (int64_t o = 0; o < out_channels; ++o)
      for (int64_t c = 0; c < channels; ++c)
        for (int64_t t = 0; t < taps(); ++t) {
          double sum = 0;
          for (int64_t part = 0; part < batch * blocks(); ++part)
            sum += partial[part * size + (o * taps() + t) * channels + c];
          grad_weight[(o * channels + c) * taps() + t] = static_cast<float>(sum);
        }
  }

  void sum_bias(const float* grad_out, float* grad_bias) const {
    for (int64_t o = 0; o < out_channels; ++o) {
      double sum = 0;
      for (int64_t n = 0; n < batch; ++n) {
        const float* plane = grad_out + (n * out_channels + o) * pixels();
        for (int64_t p = 0; p < pixels(); ++p) sum += plane[p];
      }
      grad_bias[o] = static_cast<float>(sum);
    }
  }
};

}  // namespace ppeffconv
