// The inner loops of octave exchange, a plane at a time. Compiled once per instruction set by for_each_target.h: no
// include guard, no standard headers. The compiler vectorises the rows: pairs are told apart, and doubled, by
// permutations of two vectors. `height` and `width` are those of the full resolution; a last row or column may have no
// neighbour.
#include "vectors.h"

// to[i] = inner * (the 2 x 2 values above i); `edge` for a last column, whose two values are all there is.
template <typename T>
inline void gather_row(const T* __restrict upper, const T* __restrict lower, int64_t width, T inner, T edge,
                       T* __restrict to) {
  const int64_t pairs = width / 2;
  for (int64_t i = 0; i < pairs; ++i)
    to[i] = inner * ((upper[2 * i] + upper[2 * i + 1]) + (lower[2 * i] + lower[2 * i + 1]));
  if (width % 2) to[pairs] = edge * (upper[width - 1] + lower[width - 1]);
}

// to[2 i] = to[2 i + 1] = inner * from[i]; `edge` for a last column.
template <typename T>
inline void spread_row(const T* __restrict from, int64_t width, T inner, T edge, T* __restrict to) {
  const int64_t pairs = width / 2;
  for (int64_t i = 0; i < pairs; ++i) to[2 * i] = to[2 * i + 1] = inner * from[i];
  if (width % 2) to[width - 1] = edge * from[pairs];
}

// to = base + from, each of `from` twice.
template <typename T>
inline void spread_row_onto(const T* __restrict from, const T* __restrict base, int64_t width, T* __restrict to) {
  const int64_t pairs = width / 2;
  for (int64_t i = 0; i < pairs; ++i) {
    to[2 * i] = base[2 * i] + from[i];
    to[2 * i + 1] = base[2 * i + 1] + from[i];
  }
  if (width % 2) to[width - 1] = base[width - 1] + from[pairs];
}

// Averages of what the windows have: a last row stands in for the one below it.
template <typename T>
void pool(const T* x, int64_t height, int64_t width, T* y) {
  for (int64_t row = 0; row < height; row += 2, y += (width + 1) / 2) {
    const T* upper = x + row * width;
    gather_row(upper, row + 1 < height ? upper + width : upper, width, T(0.25), T(0.5), y);
  }
}

template <typename T>
void pool_gradient(const T* dy, int64_t height, int64_t width, T* dx) {
  for (int64_t row = 0; row < height; row += 2, dy += (width + 1) / 2) {
    const T share = row + 1 < height ? T(0.25) : T(0.5);
    spread_row(dy, width, share, 2 * share, dx + row * width);
    if (row + 1 < height) copy_row(dx + row * width, dx + (row + 1) * width, width);
  }
}

template <typename T>
void upsample(const T* high, const T* low, int64_t height, int64_t width, T* y) {
  for (int64_t row = 0; row < height; ++row) {
    const T* from = low + row / 2 * ((width + 1) / 2);
    if (high) {
      spread_row_onto(from, high + row * width, width, y + row * width);
    } else if (row % 2) {
      copy_row(y + (row - 1) * width, y + row * width, width);
    } else {
      spread_row(from, width, T(1), T(1), y + row * width);
    }
  }
}

template <typename T>
void upsample_gradient(const T* dy, int64_t height, int64_t width, T* dhigh, T* dlow) {
  for (int64_t row = 0; row < height; row += 2, dlow += (width + 1) / 2) {
    const T* upper = dy + row * width;
    const bool both = row + 1 < height;
    const T factor = both ? T(1) : T(0.5);
    gather_row(upper, both ? upper + width : upper, width, factor, factor, dlow);
    if (dhigh) copy_row(upper, dhigh + row * width, (both + 1) * width);
  }
}

template <typename T>
PlaneFunctions<T> plane_functions() {
  return {pool<T>, pool_gradient<T>, upsample<T>, upsample_gradient<T>};
}
