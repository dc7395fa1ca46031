// Maps into the engine and out of it, and the steps on each pixel by itself.
#pragma once

#include "cpu/engine/windows.h"

namespace ppeffconv::engine {

// NCHW float32 to a map with margins of zeros. `in` has the images' size.
template <typename T>
void interleave(const float* images, const Map<T>& in, const Map<T>& to, int64_t top, int64_t left, Piece piece) {
  const Share rows = piece.share(to.batch * to.height);
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
void separate(const Map<T>& from, float* to, Piece piece) {
  constexpr int64_t kBlock = 16;  // channels whose planes are written side by side
  const int64_t parts = (from.channels + kBlock - 1) / kBlock;
  const Share share = piece.share(from.batch * parts);
  for (int64_t i = share.begin; i < share.end; ++i) {
    const int64_t image = i / parts, first = i % parts * kBlock, last = std::min(first + kBlock, from.channels);
    for (int64_t p = 0; p < from.plane(); ++p) {
      const T* pixel = from.pixel(image * from.plane() + p);
      for (int64_t c = first; c < last; ++c) to[(image * from.channels + c) * from.plane() + p] = to_float(pixel[c]);
    }
  }
}

// Calls what(pixel index, image, y, x) for a piece of a map's pixels.
template <typename T, typename What>
void for_each_pixel(const Map<T>& map, Piece piece, const What& what) {
  const Share share = piece.share(map.pixels());
  if (share.size() == 0) return;
  int64_t image = share.begin / map.plane(), y = share.begin % map.plane() / map.width, x = share.begin % map.width;
  for (int64_t i = share.begin; i < share.end; ++i) {
    what(i, image, y, x);
    if (++x < map.width) continue;
    x = 0;
    if (++y == map.height) y = 0, ++image;
  }
}

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
    b.task([in = b.in[0], add, out = b.out, run = pick_map_functions<T>(), this](Piece piece) {
      const Share share = piece.share(out.pixels());
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
    const bool pixel = in[1].height == 1 && in[1].width == 1 && same_side(in[1].batch, in[0].batch);
    this->check((pixel || same_size(in[0], in[1])) && (in[1].channels == in[0].channels || in[1].channels == 1),
                "the factors do not fit");
    return in[0];
  }
  void bind(Binder<T>& b) const override {
    b.task([a = b.in[0], f = b.in[1], out = b.out, run = pick_map_functions<T>(), this](Piece piece) {
      for_each_pixel(out, piece, [&](int64_t i, int64_t image, int64_t, int64_t) {
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
    b.task([in = b.in, out = b.out, this](Piece piece) {
      const Share share = piece.share(out.pixels());
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

}  // namespace ppeffconv::engine
