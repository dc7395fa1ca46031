// The windows of convolutions and of pooling.
#pragma once

#include "cpu/engine/operation.h"

namespace ppeffconv::engine {

// The windows of a convolution.
struct Windows {
  int64_t kernel_h, kernel_w, stride_h, stride_w, padding_h, padding_w, dilation_h, dilation_w;

  Windows(const Step& step, int64_t kh, int64_t kw) : kernel_h(kh), kernel_w(kw) {
    const auto stride = step.pair("stride", 1), padding = step.pair("padding", 0), dilation = step.pair("dilation", 1);
    stride_h = stride[0], stride_w = stride[1], padding_h = padding[0], padding_w = padding[1];
    dilation_h = dilation[0], dilation_w = dilation[1];
    check(step);
  }
  // Square ones that keep the size at stride 1.
  Windows(const Step& step, int64_t kernel, int64_t stride, int64_t dilation)
      : kernel_h(kernel),
        kernel_w(kernel),
        stride_h(stride),
        stride_w(stride),
        dilation_h(dilation),
        dilation_w(dilation) {
    padding_h = padding_w = kernel / 2 * dilation;
    check(step);
  }
  void check(const Step& step) const {
    for (int64_t value : {kernel_h, kernel_w, stride_h, stride_w, dilation_h, dilation_w, padding_h + 1, padding_w + 1})
      PD_CHECK(value >= 1 && value < (1 << 20), "deployed: a window is out of range: ", step.text);
  }
  // As Paddle counts: one window may hang over the end of a map that is a little smaller than it. With `ceil` so may
  // the last one of any map. Zero of a map that is much smaller.
  static int64_t size(int64_t input, int64_t kernel, int64_t stride, int64_t padding, int64_t dilation,
                      bool ceil = false) {
    if (input == kUnknown) return kUnknown;
    const int64_t extent = input + 2 * padding - dilation * (kernel - 1) - 1;
    return std::max<int64_t>((extent + (ceil ? stride - 1 : 0)) / stride + 1, 0);
  }
  Dims output(const Dims& in, int64_t channels) const {
    return {in.batch, size(in.height, kernel_h, stride_h, padding_h, dilation_h),
            size(in.width, kernel_w, stride_w, padding_w, dilation_w), channels};
  }
  template <typename T>
  Source<T> over(const Map<T>& map) const {
    return {map, stride_h, stride_w, padding_h, padding_w};
  }
};

// The pixels of a window that exist.
template <typename T>
int64_t find_window(const Map<T>& in, int64_t image, int64_t y, int64_t x, const Windows& w, const T** pixels,
                    int64_t* taps = nullptr) {
  int64_t count = 0;
  for (int64_t i = 0; i < w.kernel_h; ++i) {
    const int64_t row = y * w.stride_h - w.padding_h + i * w.dilation_h;
    if (row < 0 || row >= in.height) continue;
    for (int64_t j = 0; j < w.kernel_w; ++j) {
      const int64_t column = x * w.stride_w - w.padding_w + j * w.dilation_w;
      if (column < 0 || column >= in.width) continue;
      if (taps) taps[count] = i * w.kernel_w + j;
      pixels[count++] = in.pixel((image * in.height + row) * in.width + column);
    }
  }
  return count;
}

constexpr int64_t kWindow = 1024;  // most pixels of one

// Calls what(pixel index, image, y, x, count) for a piece of the output's pixels, by runs of a row: at most
// kRun pixels, whose windows all lie between the input's left and right border, or a single one.
template <typename T, typename What>
void for_each_run(const Map<T>& in, const Map<T>& out, const Windows& w, Piece piece, const What& what) {
  const auto inside = [&](int64_t x) {
    const int64_t left = x * w.stride_w - w.padding_w;
    return left >= 0 && left + (w.kernel_w - 1) * w.dilation_w < in.width;
  };
  const Share share = piece.share(out.pixels());
  for (int64_t i = share.begin, count; i < share.end; i += count) {
    const int64_t x = i % out.width, row = i / out.width, most = std::min({out.width - x, share.end - i, kRun});
    for (count = 1; count < most && inside(x) && inside(x + count);) ++count;
    what(i, row / out.height, row % out.height, x, count);
  }
}

}  // namespace ppeffconv::engine
