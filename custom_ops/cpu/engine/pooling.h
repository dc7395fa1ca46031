// Averages and maxima.
#pragma once

#include <limits>

#include "cpu/engine/maps.h"

namespace ppeffconv::engine {

template <typename T>
class Pool : public Operation<T> {
 public:
  explicit Pool(const Definition& d)
      : Operation<T>(d.step),
        windows_(d.step, d.step.pair("kernel", 0)[0], d.step.pair("kernel", 0)[1]),
        largest_(d.step.word("kind") == "max"),
        ceil_(d.step.number("ceil", 0) != 0) {
    this->check(largest_ || d.step.word("kind") == "avg", "the kind must be max or avg");
    this->check(windows_.kernel_h * windows_.kernel_w <= kWindow, "the window is too large");
    this->check(windows_.dilation_h * windows_.dilation_w == 1, "pooling is not dilated");
  }
  Dims infer(const std::vector<Dims>& in) const override {
    const Windows& w = windows_;
    return {in[0].batch, w.size(in[0].height, w.kernel_h, w.stride_h, w.padding_h, 1, ceil_),
            w.size(in[0].width, w.kernel_w, w.stride_w, w.padding_w, 1, ceil_), in[0].channels};
  }
  void bind(Binder<T>& b) const override {
    b.task([in = b.in[0], out = b.out, run = pick_map_functions<T>(), this](Piece piece) {
      const T* pixels[kWindow];
      for_each_pixel(out, piece, [&](int64_t i, int64_t image, int64_t y, int64_t x) {
        const int64_t count = find_window(in, image, y, x, windows_, pixels);
        if (count == 0) return fill_empty(out, out.pixel(i));
        run.pool(pixels, count, largest_, 1.0f / count, out.pitch, out.pixel(i));
      });
    });
  }

 private:
  // Of a window that lies in the padding alone Paddle makes the lowest number, or none at all.
  void fill_empty(const Map<T>& out, T* pixel) const {
    using Limits = std::numeric_limits<float>;
    std::fill(pixel, pixel + out.channels, to_element(largest_ ? Limits::lowest() : Limits::quiet_NaN(), T{}));
    std::fill(pixel + out.channels, pixel + out.pitch, T{});
  }

  Windows windows_;
  bool largest_, ceil_;
};

// Averages over the cells of a grid; mean is the grid of one.
template <typename T>
class Adaptive : public Operation<T> {
 public:
  Adaptive(const Definition& d, bool mean) : Operation<T>(d.step), size_{1, 1} {
    if (!mean) size_ = d.step.pair("size", 0);
    this->check(size_[0] > 0 && size_[1] > 0, "the size must be positive");
  }
  Dims infer(const std::vector<Dims>& in) const override { return {in[0].batch, size_[0], size_[1], in[0].channels}; }
  void bind(Binder<T>& b) const override {
    float* sums = b.template scratch<float>(b.threads * (b.out.pitch + kLanes));
    b.task([in = b.in[0], out = b.out, run = pick_map_functions<T>(), sums](Piece piece) {
      // by blocks of channels, as there may be one pixel only
      const int64_t parts = (out.pitch + kPanel - 1) / kPanel;
      float* mine = sums + piece.worker * (out.pitch + kLanes);
      const Share share = piece.share(out.pixels() * parts);
      for (int64_t k = share.begin; k < share.end; ++k) {
        const int64_t i = k / parts, first = k % parts * kPanel, last = std::min(first + kPanel, out.pitch);
        const int64_t image = i / out.plane(), y = i % out.plane() / out.width, x = i % out.width;
        const Share rows = cell(in.height, y, out.height), columns = cell(in.width, x, out.width);
        std::fill(mine + first, mine + last, 0.0f);
        for (int64_t r = rows.begin; r < rows.end; ++r) {
          const T* from = in.pixel((image * in.height + r) * in.width + columns.begin);
          run.sum(from, in.pitch, columns.size(), first, last, mine);
        }
        run.narrow(mine + first, 1.0f / (rows.size() * columns.size()), last - first, out.pixel(i) + first);
      }
    });
  }

 private:
  static Share cell(int64_t input, int64_t i, int64_t cells) {
    return {i * input / cells, ((i + 1) * input + cells - 1) / cells};
  }
  std::vector<int64_t> size_;
};

}  // namespace ppeffconv::engine
