// 1x1 convolution as matrix products over the tensors as they lie: y = W x for each image, with W [O, C] and x
// [C, H * W]. On planes that are not tiny this is nearly at the machine's peak, where oneDNN's convolution would first
// reorder its operands and the result.
#pragma once

#include <omp.h>

#include <algorithm>
#include <cstdint>
#include <vector>

#include "common/onednn.h"

namespace ppeffconv {

// c = op(a) op(b) + beta c, row-major: op(a) is m x k, op(b) is k x n; lda, ldb, ldc: the rows' distances in memory
inline void product(char op_a, char op_b, int64_t m, int64_t n, int64_t k, const float* a, int64_t lda, const float* b,
                    int64_t ldb, float* c, int64_t ldc, float beta = 0) {
  dnnl::error::wrap_c_api(dnnl_sgemm(op_a, op_b, m, n, k, 1.0f, a, lda, b, ldb, beta, c, ldc), "a product failed");
}

// x: [batch, in, area], weight: [out, in], y: [batch, out, area]
struct Pointwise {
  int64_t batch, in, out, area;

  void forward(const float* x, const float* weight, const float* bias, float* y) const {
#pragma omp parallel for
    for (int64_t i = 0; i < blocks(); ++i) {
      const Block b = block(i);
      float* to = y + b.image * out * area + b.first;
      product('N', 'N', out, b.columns, in, weight, in, x + b.image * in * area + b.first, area, to, area);
      if (bias == nullptr) continue;
      for (int64_t o = 0; o < out; ++o)
        for (int64_t p = 0; p < b.columns; ++p) to[o * area + p] += bias[o];
    }
  }

  void backward_data(const float* weight, const float* dy, float* dx) const {
#pragma omp parallel for
    for (int64_t i = 0; i < blocks(); ++i) {
      const Block b = block(i);
      product('T', 'N', in, b.columns, out, weight, in, dy + b.image * out * area + b.first, area,
              dx + b.image * in * area + b.first, area);
    }
  }

  // Each thread sums blocks of its own; the sums of the threads are added in order, so that every run gives the same.
  void backward_weights(const float* x, const float* dy, float* dweight) const {
    const int64_t parts = std::min<int64_t>(omp_get_max_threads(), blocks()), size = out * in;
    std::vector<float> sums((parts - 1) * size);
#pragma omp parallel for schedule(static, 1)
    for (int64_t part = 0; part < parts; ++part) {
      const int64_t first = part * blocks() / parts, last = (part + 1) * blocks() / parts;
      for (int64_t i = first; i < last; ++i) {
        const Block b = block(i);
        product('N', 'T', out, in, b.columns, dy + b.image * out * area + b.first, area,
                x + b.image * in * area + b.first, area, part ? &sums[(part - 1) * size] : dweight, in, i > first);
      }
    }
    for (int64_t part = 1; part < parts; ++part)
      for (int64_t i = 0; i < size; ++i) dweight[i] += sums[(part - 1) * size + i];
  }

 private:
  struct Block {
    int64_t image, first, columns;
  };
  // Columns of one product: at most what stays in the cache, and few enough that every thread has some.
  int64_t columns() const {
    constexpr int64_t kMost = 2048, kVector = 16;
    const int64_t share = (batch * area + omp_get_max_threads() - 1) / omp_get_max_threads();
    return std::min(kMost, (share + kVector - 1) / kVector * kVector);
  }
  int64_t blocks_per_image() const { return (area + columns() - 1) / columns(); }
  int64_t blocks() const { return batch * blocks_per_image(); }
  Block block(int64_t index) const {
    const int64_t first = index % blocks_per_image() * columns();
    return {index / blocks_per_image(), first, std::min(columns(), area - first)};
  }
};

// dbias[o] = sum of dy[:, o]
inline void sum_channels(int64_t batch, int64_t channels, int64_t area, const float* dy, float* dbias) {
#pragma omp parallel for
  for (int64_t o = 0; o < channels; ++o) {
    double total = 0;
    for (int64_t n = 0; n < batch; ++n) {
      const float* plane = dy + (n * channels + o) * area;
      float sums[16] = {};  // lanes, which the compiler makes vectors of
      int64_t p = 0;
      for (; p + 16 <= area; p += 16)
        for (int64_t lane = 0; lane < 16; ++lane) sums[lane] += plane[p + lane];
      for (; p < area; ++p) total += plane[p];
      for (float sum : sums) total += sum;
    }
    dbias[o] = static_cast<float>(total);
  }
}

}  // namespace ppeffconv
