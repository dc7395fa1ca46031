// Steps to another size.
#pragma once

#include "cpu/engine/maps.h"

namespace ppeffconv::engine {

// Nearest, by two; cropped to the size of the second input.
template <typename T>
class Upsample : public Operation<T> {
 public:
  using Operation<T>::Operation;
  Dims infer(const std::vector<Dims>& in) const override {
    const Dims& low = in[0];
    if (in.size() == 1) return {low.batch, times(low.height, 2), times(low.width, 2), low.channels};
    const Dims& like = in[1];
    this->check(has_half(low, like), "the map must have half of the size that is asked for");
    return {low.batch, like.height, like.width, low.channels};
  }
  void bind(Binder<T>& b) const override {
    b.task([in = b.in[0], out = b.out](Piece piece) {
      for_each_pixel(out, piece, [&](int64_t i, int64_t image, int64_t y, int64_t x) {
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
    return {in[0].batch, times(in[0].height, scale_), times(in[0].width, scale_), in[0].channels};
  }
  void bind(Binder<T>& b) const override {
    b.task([in = b.in[0], out = b.out, scale = scale_, run = pick_map_functions<T>()](Piece piece) {
      for_each_pixel(out, piece, [&](int64_t i, int64_t image, int64_t y, int64_t x) {
        const auto [top, bottom, v] = place(y, scale, in.height);
        const auto [left, right, u] = place(x, scale, in.width);
        const float weights[4] = {(1 - v) * (1 - u), (1 - v) * u, v * (1 - u), v * u};
        const T* row = in.pixel((image * in.height + top) * in.width);
        const T* below = in.pixel((image * in.height + bottom) * in.width);
        const T* from[4] = {row + left * in.pitch, row + right * in.pitch, below + left * in.pitch,
                            below + right * in.pitch};
        run.weigh(from, weights, 4, nullptr, nullptr, Act::kNone, out.pitch, out.pixel(i));
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

}  // namespace ppeffconv::engine
