// Convolution of images with tiny rows as one matrix product. oneDNN's direct kernels run along the rows of an image:
// on rows of two pixels they reach a tenth of their speed, and reordering large weights costs more than the product.
//
// Positions are the rows of `columns` [N * OH * OW, C * kh * kw]; weights [O, C * kh * kw] are used as they lie.
#pragma once

#include <algorithm>
#include <cstdint>

#include "cpu/conv2d_pointwise.h"

namespace ppeffconv {

struct ConvolutionShape {
  int64_t batch, channels, height, width, out_channels, kernel_h, kernel_w, out_h, out_w;
  int64_t stride_h, stride_w, padding_h, padding_w, dilation_h, dilation_w;

  int64_t pixels() const { return out_h * out_w; }
  int64_t rows() const { return batch * pixels(); }
  int64_t taps() const { return kernel_h * kernel_w; }
  int64_t depth() const { return channels * taps(); }
};

struct TinyConvolution : ConvolutionShape {
  size_t bytes() const { return rows() * (depth() + out_channels) * sizeof(float); }

  void forward(const float* x, const float* weight, const float* bias, float* out) const {
    float* columns = reserve();
    float* outputs = columns + rows() * depth();  // [O, N * OH * OW]
    gather(x, columns);
    product('N', 'T', out_channels, rows(), depth(), weight, depth(), columns, depth(), outputs, rows());
#pragma omp parallel for collapse(2)
    for (int64_t n = 0; n < batch; ++n)
      for (int64_t o = 0; o < out_channels; ++o) {
        const float* from = outputs + o * rows() + n * pixels();
        float* to = out + (n * out_channels + o) * pixels();
        const float shift = bias ? bias[o] : 0.0f;
        for (int64_t p = 0; p < pixels(); ++p) to[p] = from[p] + shift;
      }
  }

  void backward_data(const float* weight, const float* grad_out, float* grad_x) const {
    float* columns = reserve();
    float* gradient = columns + rows() * depth();
    channels_first(grad_out, gradient);
    product('T', 'N', rows(), depth(), out_channels, gradient, rows(), weight, depth(), columns, depth());
    scatter(columns, grad_x);
  }

  void backward_weights(const float* x, const float* grad_out, float* grad_weight, float* grad_bias) const {
    float* columns = reserve();
    float* gradient = columns + rows() * depth();
    gather(x, columns);
    channels_first(grad_out, gradient);
    product('N', 'N', out_channels, depth(), rows(), gradient, rows(), columns, depth(), grad_weight, depth());
    if (grad_bias) sum_channels(batch, out_channels, pixels(), grad_out, grad_bias);
  }

 private:
  float* reserve() const { return reinterpret_cast<float*>(Workspace::of_thread().reserve(bytes())); }

  // [N, O, OH, OW] -> [O, N * OH * OW]
  void channels_first(const float* from, float* to) const {
#pragma omp parallel for collapse(2)
    for (int64_t n = 0; n < batch; ++n)
      for (int64_t o = 0; o < out_channels; ++o)
        std::copy_n(from + (n * out_channels + o) * pixels(), pixels(), to + o * rows() + n * pixels());
  }

  // Calls visit(index in the columns, index in the image) for every tap of channel c of image n that lies inside.
  template <class Visit>
  void for_taps(int64_t n, int64_t c, const Visit& visit) const {
    for (int64_t oy = 0; oy < out_h; ++oy)
      for (int64_t ox = 0; ox < out_w; ++ox) {
        const int64_t row = (n * pixels() + oy * out_w + ox) * depth() + c * taps();
        for (int64_t i = 0; i < kernel_h; ++i)
          for (int64_t j = 0; j < kernel_w; ++j) {
            const int64_t y = oy * stride_h - padding_h + i * dilation_h;
            const int64_t x = ox * stride_w - padding_w + j * dilation_w;
            const bool inside = y >= 0 && y < height && x >= 0 && x < width;
            visit(row + i * kernel_w + j, inside ? y * width + x : -1);
          }
      }
  }

  void gather(const float* x, float* columns) const {
#pragma omp parallel for collapse(2)
    for (int64_t n = 0; n < batch; ++n)
      for (int64_t c = 0; c < channels; ++c) {
        const float* image = x + (n * channels + c) * height * width;
        for_taps(n, c, [&](int64_t at, int64_t pixel) { columns[at] = pixel < 0 ? 0.0f : image[pixel]; });
      }
  }

  void scatter(const float* columns, float* grad_x) const {
#pragma omp parallel for collapse(2)
    for (int64_t n = 0; n < batch; ++n)
      for (int64_t c = 0; c < channels; ++c) {
        float* image = grad_x + (n * channels + c) * height * width;
        std::fill_n(image, height * width, 0.0f);
        for_taps(n, c, [&](int64_t at, int64_t pixel) {
          if (pixel >= 0) image[pixel] += columns[at];
        });
      }
  }
};

}  // namespace ppeffconv
