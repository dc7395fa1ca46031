// The innermost crop of an odd kernel, a 1x1 convolution at stride 1, as matrix products on the tensors as they lie:
// nothing is converted, and the gradient of x is added where that of the larger crops already stands.
#pragma once

#include <omp.h>

#include <algorithm>
#include <cstdint>
#include <vector>

#include "cpu/conv2d_pointwise.h"

namespace ppeffconv {

// The crop reads x [N, C, pixels] and owns `filters` of the output's channels; its weights lie `taps` apart.
struct NestedPointwise {
  int64_t batch, channels, filters, pixels, out_channels, taps;

  // `weight`, `out` and the like point at the centre tap and the first channel of the crop.
  void forward(const float* x, const float* weight, float* out) const {
    const std::vector<float> w = centre(weight);
    for_images([&](int64_t n) {
      product('N', 'N', filters, pixels, channels, w.data(), channels, x + n * x_size(), pixels, out + n * out_size(),
              pixels);
    });
  }

  void add_backward_data(const float* weight, const float* dy, float* dx) const {
    const std::vector<float> w = centre(weight);
    for_images([&](int64_t n) {
      product('T', 'N', channels, pixels, filters, w.data(), channels, dy + n * out_size(), pixels, dx + n * x_size(),
              pixels, 1);
    });
  }

  // Each thread sums over images of its own; then the threads' sums are added in order.
  void add_backward_weights(const float* x, const float* dy, float* dw) const {
    const int64_t size = filters * channels, parts = std::min<int64_t>(batch, omp_get_max_threads());
    std::vector<float> sums(parts * size);
#pragma omp parallel for schedule(static) if (parts > 1)
    for (int64_t part = 0; part < parts; ++part)
      for (int64_t n = part * batch / parts; n < (part + 1) * batch / parts; ++n)
        product('N', 'T', filters, channels, pixels, dy + n * out_size(), pixels, x + n * x_size(), pixels,
                &sums[part * size], channels, 1);
    for (int64_t i = 0; i < size; ++i)
      for (int64_t part = 0; part < parts; ++part) dw[i * taps] += sums[part * size + i];
  }

 private:
  int64_t x_size() const { return channels * pixels; }
  int64_t out_size() const { return out_channels * pixels; }

  std::vector<float> centre(const float* weight) const {
    std::vector<float> w(filters * channels);
    for (size_t i = 0; i < w.size(); ++i) w[i] = weight[i * taps];
    return w;
  }

  // Images in parallel; the product of a single one is shared by the threads inside oneDNN.
  template <class Run>
  void for_images(const Run& run) const {
#pragma omp parallel for schedule(static) if (batch > 1)
    for (int64_t n = 0; n < batch; ++n) run(n);
  }
};

}  // namespace ppeffconv
