// The loops of the blend over one channel. Compiled once per instruction set by for_each_target.h: no include guard, no
// standard headers.
#include "norm_rows.h"

// Sums of x and y over one plane each.
template <typename T>
void plane_sums(int64_t size, const T* x, const T* y, double (&sums)[2]) {
  sum_over<T>(size, sums, [=](auto at, auto& to) {
    to[0] += at(x);
    to[1] += at(y);
  });
}

// Sums of dy, dy x', dy y', x' and y', where x' and y' are x and y less their means.
template <typename T>
void gradient_sums(int64_t size, const T* x, const T* y, const T* dy, T mean_x, T mean_y, double (&sums)[5]) {
  sum_over<T>(size, sums, [=](auto at, auto& to) {
    const auto g = at(dy);
    const auto a = at(x) - mean_x, b = at(y) - mean_y;
    to[0] += g;
    to[1] += g * a;
    to[2] += g * b;
    to[3] += a;
    to[4] += b;
  });
}

// to = scale_x x + scale_y y + shift
template <typename T>
void combine(int64_t size, const T* x, const T* y, T scale_x, T scale_y, T shift, T* to) {
  for_each<T>(size, [=](auto at) { at.put(to, at(x) * scale_x + (at(y) * scale_y + shift)); });
}

template <typename T>
Loops<T> loops() {
  return {statistics<T>, plane_sums<T>, gradient_sums<T>, combine<T>};
}
