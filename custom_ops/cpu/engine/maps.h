// Steps without products: pooling, sums, and moving values between maps.
#pragma once

#include <cmath>

#include "cpu/engine/operation.h"

namespace ppeffconv::engine {

inline float to_float(float value) { return value; }
inline float to_float(bfloat16 value) {
  const uint32_t bits = uint32_t{value.bits} << 16;
  float result;
  std::memcpy(&result, &bits, 4);
  return result;
}

// NCHW float32 to a map with margins of zeros. `in` has the images' size.
template <typename T>
void interleave(const float* images, const Map<T>& in, const Map<T>& to, int64_t top, int64_t left, Team team) {
  const Share rows = team.share(to.batch * to.height);
  for (int64_t r = rows.begin; r < rows.end; ++r) {
    T* row = to.pixel(r * to.width);
    const int64_t image = r / to.height, y = r % to.height - top;
    std::memset(static_cast<void*>(row), 0, to.width * to.pitch * sizeof(T));
    if (y < 0 || y >= in.height) continue;
    for (int64_t c = 0; c < in.channels; ++c) {
      const float* from = images + ((image * in.channels + c) * in.height + y) * in.width;
      T* at = row + left * to.pitch + c;
      for (int64_t x = 0; x < in.width; ++x, at += to.pitch) *at = to_element(from[x], T{});
    }
  }
}

// A map to NCHW float32.
template <typename T>
void separate(const Map<T>& from, float* to, Team team) {
  constexpr int64_t kBlock = 16;  // channels whose planes are written side by side
  const int64_t parts = (from.channels + kBlock - 1) / kBlock;
  const Share share = team.share(from.batch * parts);
  for (int64_t i = share.begin; i < share.end; ++i) {
    const int64_t image = i / parts, first = i % parts * kBlock, last = std::min(first + kBlock, from.channels);
    for (int64_t p = 0; p < from.plane(); ++p) {
      const T* pixel = from.pixel(image * from.plane() + p);
      for (int64_t c = first; c < last; ++c) to[(image * from.channels + c) * from.plane() + p] = to_float(pixel[c]);
    }
  }
}

// Calls what(pixel index, image, y, x) for a thread's share of a map's pixels.
template <typename T, typename What>
void for_each_pixel(const Map<T>& map, Team team, const What& what) {
  const Share share = team.share(map.pixels());
  if (share.size() == 0) return;
  int64_t image = share.begin / map.plane(), y = share.begin % map.plane() / map.width, x = share.begin % map.width;
  for (int64_t i = share.begin; i < share.end; ++i) {
    what(i, image, y, x);
    if (++x < map.width) continue;
    x = 0;
    if (++y == map.height) y = 0, ++image;
  }
}

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
    this->check(windows_.padding_h < windows_.kernel_h && windows_.padding_w < windows_.kernel_w,
                "a window must not lie in the padding alone");
    this->check(windows_.dilation_h * windows_.dilation_w == 1, "pooling is not dilated");
  }
  Dims infer(const std::vector<Dims>& in) const override {
    const Windows& w = windows_;
    return {in[0].batch, size(in[0].height, w.kernel_h, w.stride_h, w.padding_h),
            size(in[0].width, w.kernel_w, w.stride_w, w.padding_w), in[0].channels};
  }
  void bind(Binder<T>& b) const override {
    b.task([in = b.in[0], out = b.out, run = pick_map_functions<T>(), this](Team team) {
      const T* pixels[kWindow];
      for_each_pixel(out, team, [&](int64_t i, int64_t image, int64_t y, int64_t x) {
        const int64_t count = find_window(in, image, y, x, windows_, pixels);
        run.pool(pixels, count, largest_, 1.0f / count, out.pitch, out.pixel(i));
      });
    });
  }

 private:
  // With ceil a last window may hang over the end.
  int64_t size(int64_t input, int64_t kernel, int64_t stride, int64_t padding) const {
    const int64_t extent = input + 2 * padding - kernel;
    this->check(extent >= 0 || ceil_, "the map is smaller than the window");
    const int64_t count = (extent + (ceil_ ? stride - 1 : 0)) / stride + 1;
    this->check((count - 1) * stride < input + padding, "a window lies in the padding alone");
    return count;
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
    b.task([in = b.in[0], out = b.out, run = pick_map_functions<T>(), sums](Team team) {
      // by blocks of channels, as there may be one pixel only
      const int64_t parts = (out.pitch + kPanel - 1) / kPanel;
      float* mine = sums + team.rank * (out.pitch + kLanes);
      const Share share = team.share(out.pixels() * parts);
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

// affine, add and act: y = act(x * scale + shift + add).
template <typename T>
class Affine : public Operation<T> {
 public:
  Affine(const Definition& d, int64_t channels, int64_t maps) : Operation<T>(d.step), act_(d.step.act()), maps_(maps) {
    if (d.step.has("scale")) scale_ = d.vector("scale", channels);
    if (d.step.has("shift")) shift_ = d.vector("shift", channels);
    this->in_place = 0;
  }
  Dims infer(const std::vector<Dims>& in) const override {
    this->check(maps_ == 1 || (same_size(in[0], in[1]) && in[0].channels == in[1].channels), "the maps differ");
    return in[0];
  }
  void bind(Binder<T>& b) const override {
    const Map<T> add = maps_ == 2 ? b.in[1] : Map<T>{};
    b.task([in = b.in[0], add, out = b.out, run = pick_map_functions<T>(), this](Team team) {
      const Share share = team.share(out.pixels());
      for (int64_t i = share.begin; i < share.end; ++i) {
        run.affine(in.pixel(i), scale_.empty() ? nullptr : scale_.data(), shift_.empty() ? nullptr : shift_.data(),
                   add.data ? add.pixel(i) : nullptr, act_, out.pitch, out.pixel(i));
      }
    });
  }

 private:
  Act act_;
  int64_t maps_;
  std::vector<float> scale_, shift_;
};

template <typename T>
class Multiply : public Operation<T> {
 public:
  explicit Multiply(const Definition& d) : Operation<T>(d.step), act_(d.step.act()) { this->in_place = 0; }
  Dims infer(const std::vector<Dims>& in) const override {
    const bool pixel = in[1].height == 1 && in[1].width == 1 && in[1].batch == in[0].batch;
    this->check((pixel || same_size(in[0], in[1])) && (in[1].channels == in[0].channels || in[1].channels == 1),
                "the factors do not fit");
    return in[0];
  }
  void bind(Binder<T>& b) const override {
    b.task([a = b.in[0], f = b.in[1], out = b.out, run = pick_map_functions<T>(), this](Team team) {
      for_each_pixel(out, team, [&](int64_t i, int64_t image, int64_t, int64_t) {
        const T* factor = f.pixel(f.plane() == 1 ? image : i);
        run.multiply(a.pixel(i), factor, f.channels == 1 && a.channels != 1, act_, out.pitch, out.pixel(i));
      });
    });
  }

 private:
  Act act_;
};

// concat and slice: runs of channels.
template <typename T>
class Copy : public Operation<T> {
 public:
  Copy(const Definition& d, int64_t channels, bool slice) : Operation<T>(d.step) {
    if (!slice) return;
    first_ = d.step.required("first"), count_ = d.step.required("count");
    this->check(first_ >= 0 && count_ > 0 && first_ + count_ <= channels, "the channels do not exist");
  }
  Dims infer(const std::vector<Dims>& in) const override {
    Dims out = in[0];
    out.channels = count_;
    if (count_ < 0) {
      out.channels = 0;
      for (const Dims& each : in) {
        this->check(same_size(each, in[0]), "the maps differ in size");
        out.channels += each.channels;
      }
    }
    return out;
  }
  void bind(Binder<T>& b) const override {
    b.task([in = b.in, out = b.out, this](Team team) {
      const Share share = team.share(out.pixels());
      for (int64_t i = share.begin; i < share.end; ++i) {
        T* to = out.pixel(i);
        for (const Map<T>& map : in) {
          const int64_t count = count_ < 0 ? map.channels : count_;
          std::memcpy(static_cast<void*>(to), map.pixel(i) + first_, count * sizeof(T));
          to += count;
        }
        std::fill(to, out.pixel(i) + out.pitch, T{});
      }
    });
  }

 private:
  int64_t first_ = 0, count_ = -1;  // all of every map
};

// Nearest, by two; cropped to the size of the second input.
template <typename T>
class Upsample : public Operation<T> {
 public:
  using Operation<T>::Operation;
  Dims infer(const std::vector<Dims>& in) const override {
    if (in.size() == 1) return {in[0].batch, 2 * in[0].height, 2 * in[0].width, in[0].channels};
    const Dims &low = in[0], &like = in[1];
    this->check(low.batch == like.batch && low.height == (like.height + 1) / 2 && low.width == (like.width + 1) / 2,
                "the map must have half of the size that is asked for");
    return {low.batch, like.height, like.width, low.channels};
  }
  void bind(Binder<T>& b) const override {
    b.task([in = b.in[0], out = b.out](Team team) {
      for_each_pixel(out, team, [&](int64_t i, int64_t image, int64_t y, int64_t x) {
        std::memcpy(static_cast<void*>(out.pixel(i)), in.pixel((image * in.height + y / 2) * in.width + x / 2),
                    out.pitch * sizeof(T));
      });
    });
  }
};

// Bilinear, align_corners False, by a factor.
template <typename T>
class Resize : public Operation<T> {
 public:
  explicit Resize(const Definition& d) : Operation<T>(d.step), scale_(d.step.real("scale", 0)) {
    this->check(scale_ > 0 && scale_ < 64, "the scale is out of range");
  }
  Dims infer(const std::vector<Dims>& in) const override {
    return {in[0].batch, int64_t(in[0].height * scale_), int64_t(in[0].width * scale_), in[0].channels};
  }
  void bind(Binder<T>& b) const override {
    b.task([in = b.in[0], out = b.out, scale = scale_, run = pick_map_functions<T>()](Team team) {
      for_each_pixel(out, team, [&](int64_t i, int64_t image, int64_t y, int64_t x) {
        const auto [top, bottom, v] = place(y, scale, in.height);
        const auto [left, right, u] = place(x, scale, in.width);
        const float weights[4] = {(1 - v) * (1 - u), (1 - v) * u, v * (1 - u), v * u};
        const float* each[4] = {weights, weights + 1, weights + 2, weights + 3};
        const T* row = in.pixel((image * in.height + top) * in.width);
        const T* below = in.pixel((image * in.height + bottom) * in.width);
        const T* from[4] = {row + left * in.pitch, row + right * in.pitch, below + left * in.pitch,
                            below + right * in.pitch};
        run.weigh(from, each, 4, 0, nullptr, nullptr, Act::kNone, out.pitch, out.pixel(i));
      });
    });
  }

 private:
  struct Place {
    int64_t before, after;
    float share;
  };
  static Place place(int64_t i, double scale, int64_t size) {
    const float at = std::max(float((i + 0.5) / scale - 0.5), 0.0f);
    const int64_t before = std::min(int64_t(at), size - 1);
    return {before, std::min(before + 1, size - 1), at - before};
  }
  double scale_;
};

// A convolution of each channel by itself.
template <typename T>
class Depthwise : public Operation<T> {
 public:
  Depthwise(const Definition& d, int64_t channels)
      : Operation<T>(d.step),
        windows_(d.step, d.weight("weight", 4).shape[2], d.weight("weight", 4).shape[3]),
        act_(d.step.act()),
        channels_(channels) {
    this->check(windows_.kernel_h * windows_.kernel_w <= kWindow, "the window is too large");
    d.step.number("groups", 1);
    if (d.step.has("bias")) bias_ = d.vector("bias", channels);
    if (!d.weight("weight", 4).data) return;
    const int64_t taps = windows_.kernel_h * windows_.kernel_w, pitch = round_up(channels, kPanel);
    weights_.resize(taps * pitch);
    for (int64_t c = 0; c < channels; ++c) {
      for (int64_t t = 0; t < taps; ++t) weights_[t * pitch + c] = d.weight("weight", 4).data[c * taps + t];
    }
  }
  bool add = false;
  static bool fits(const Definition& d, int64_t channels) {
    const Weight& w = d.weight("weight", 4);
    return d.step.number("groups", 1) == channels && w.shape[0] == channels && w.shape[1] == 1 && channels > 1 &&
           !d.step.has("mask") && !d.step.has("up");
  }
  Dims infer(const std::vector<Dims>& in) const override {
    const Dims out = windows_.output(in[0], channels_);
    this->check(!add || (same_size(in[1], out) && in[1].channels == channels_), "'add' does not fit the output");
    return out;
  }
  void bind(Binder<T>& b) const override {
    b.task(
        [in = b.in[0], extra = add ? b.in[1] : Map<T>{}, out = b.out, run = pick_map_functions<T>(), this](Team team) {
          const T* pixels[kWindow];
          int64_t taps[kWindow];
          const float* weights[kWindow];
          for_each_pixel(out, team, [&](int64_t i, int64_t image, int64_t y, int64_t x) {
            const int64_t count = find_window(in, image, y, x, windows_, pixels, taps);
            for (int64_t k = 0; k < count; ++k) weights[k] = weights_.data() + taps[k] * round_up(channels_, kPanel);
            run.weigh(pixels, weights, count, 1, bias_.empty() ? nullptr : bias_.data(),
                      extra.data ? extra.pixel(i) : nullptr, act_, out.pitch, out.pixel(i));
          });
        });
  }

 private:
  Windows windows_;
  Act act_;
  int64_t channels_;
  std::vector<float> bias_, weights_;
};

}  // namespace ppeffconv::engine
