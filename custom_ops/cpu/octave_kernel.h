// Octave exchange on CPU: between planes [H, W] and planes of half the size, [ceil(H / 2), ceil(W / 2)]. Pooling and
// the gradient of nearest upsampling gather 2 x 2 values into one; upsampling and the gradient of pooling spread one.
#pragma once

#include <cstdint>

namespace ppeffconv::octave {

template <typename T>
struct PlaneFunctions {
  void (*pool)(const T* x, int64_t height, int64_t width, T* y);
  void (*pool_gradient)(const T* dy, int64_t height, int64_t width, T* dx);
  // y = nearest-x2(low), cropped, plus `high` unless that is null.
  void (*upsample)(const T* high, const T* low, int64_t height, int64_t width, T* y);
  // dlow sums 2 x 2 values of dy; `dhigh`, unless null, gets a copy of dy while that is at hand.
  void (*upsample_gradient)(const T* dy, int64_t height, int64_t width, T* dhigh, T* dlow);
};

#define KERNELS "octave_planes.h"
#include "for_each_target.h"
#undef KERNELS

template <typename T>
PlaneFunctions<T> functions() {
  return PICK(plane_functions<T>());
}

// `height` and `width` are those of the full resolution.
struct Planes {
  int64_t count, height, width;

  int64_t size() const { return height * width; }
  int64_t half_size() const { return (height + 1) / 2 * ((width + 1) / 2); }
};

template <typename T>
void pool(const Planes& p, const T* x, T* y) {
  const auto run = functions<T>().pool;
#pragma omp parallel for schedule(static)
  for (int64_t i = 0; i < p.count; ++i) run(x + i * p.size(), p.height, p.width, y + i * p.half_size());
}

template <typename T>
void pool_gradient(const Planes& p, const T* dy, T* dx) {
  const auto run = functions<T>().pool_gradient;
#pragma omp parallel for schedule(static)
  for (int64_t i = 0; i < p.count; ++i) run(dy + i * p.half_size(), p.height, p.width, dx + i * p.size());
}

template <typename T>
void upsample(const Planes& p, const T* high, const T* low, T* y) {
  const auto run = functions<T>().upsample;
#pragma omp parallel for schedule(static)
  for (int64_t i = 0; i < p.count; ++i)
    run(high ? high + i * p.size() : nullptr, low + i * p.half_size(), p.height, p.width, y + i * p.size());
}

template <typename T>
void upsample_gradient(const Planes& p, const T* dy, T* dhigh, T* dlow) {
  const auto run = functions<T>().upsample_gradient;
#pragma omp parallel for schedule(static)
  for (int64_t i = 0; i < p.count; ++i)
    run(dy + i * p.size(), p.height, p.width, dhigh ? dhigh + i * p.size() : nullptr, dlow + i * p.half_size());
}

}  // namespace ppeffconv::octave
