// The loops of batch normalisation over one channel. Compiled once per instruction set by for_each_target.h: no include
// guard, no standard headers.
#include "norm_rows.h"

// What ReLU sees: forward and backward compute it alike.
template <bool kResidual, typename T, typename At>
inline auto normalised(At at, const Affine<T>& f, const T* x, const T* residual) {
  auto value = at(x) * f.scale + f.shift;
  if constexpr (kResidual) value += at(residual);
  return value;
}

template <bool kRelu, bool kResidual, typename T>
void apply(const Channel& c, const Affine<T>& f, const T* x, const T* residual, T* y) {
  for (int64_t n = 0; n < c.planes; ++n, x += c.stride, y += c.stride) {
    for_each<T>(c.size, [=](auto at) {
      const auto value = normalised<kResidual>(at, f, x, residual);
      at.put(y, kRelu ? where_positive(value, value) : value);
    });
    if (kResidual) residual += c.stride;
  }
}

// The gradient of what ReLU sees.
template <bool kRelu, bool kResidual, typename T, typename At>
inline auto gradient(At at, const Affine<T>& f, const T* x, const T* residual, const T* dy) {
  const auto value = at(dy);
  if constexpr (kRelu) return where_positive(normalised<kResidual>(at, f, x, residual), value);
  return value;
}

// totals: sum of g and of g (x - mean)
template <bool kRelu, bool kResidual, typename T>
void gradient_sums(const Channel& c, const Affine<T>& f, const T* x, const T* residual, const T* dy, T mean,
                   double (&totals)[2]) {
  for (int64_t n = 0; n < c.planes; ++n, x += c.stride, dy += c.stride) {
    sum_over<T>(c.size, totals, [=](auto at, auto& sums) {
      const auto g = gradient<kRelu, kResidual>(at, f, x, residual, dy);
      sums[0] += g;
      sums[1] += g * (at(x) - mean);
    });
    if (kResidual) residual += c.stride;
  }
}

// dx = scale g + slope x + offset, dresidual = g
template <bool kRelu, bool kResidual, typename T>
void input_gradient(const Channel& c, const Affine<T>& f, const T* x, const T* residual, const T* dy, T slope, T offset,
                    T* dx, T* dresidual) {
  for (int64_t n = 0; n < c.planes; ++n, x += c.stride, dy += c.stride, dx += c.stride) {
    for_each<T>(c.size, [=](auto at) {
      const auto g = gradient<kRelu, kResidual>(at, f, x, residual, dy);
      at.put(dx, g * f.scale + (at(x) * slope + offset));
      if constexpr (kResidual) at.put(dresidual, g);
    });
    if (kResidual) residual += c.stride, dresidual += c.stride;
  }
}

template <bool kRelu, bool kResidual, typename T>
Loops<T> loops_for() {
  return {statistics<T>, apply<kRelu, kResidual, T>, gradient_sums<kRelu, kResidual, T>,
          input_gradient<kRelu, kResidual, T>};
}

template <typename T>
Loops<T> loops(bool relu, bool residual) {
  if (relu) return residual ? loops_for<true, true, T>() : loops_for<true, false, T>();
  return residual ? loops_for<false, true, T>() : loops_for<false, false, T>();
}
