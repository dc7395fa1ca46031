// The loops of batch normalisation over one channel. Compiled once per instruction set by for_each_target.h: no include
// guard, no standard headers.
//
// Each loop's body is written once, for whole vectors and for the numbers left over, by what it is handed to read with.
#include "vectors.h"

template <typename T>
struct VectorAt {
  int64_t i;
  typename Vector<T>::type operator()(const T* from) const { return load(from + i); }
  void put(T* to, typename Vector<T>::type value) const { store(to + i, value); }
};

template <typename T>
struct NumberAt {
  int64_t i;
  T operator()(const T* from) const { return from[i]; }
  void put(T* to, T value) const { to[i] = value; }
};

// `value` where gate > 0, else 0.
template <typename V>
inline V where_positive(V gate, V value) {
  return gate > 0 ? value : V{};
}

template <typename T, typename Body>
inline void for_each(int64_t count, const Body& body) {
  constexpr int64_t kLanes = Vector<T>::kLanes;
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) body(VectorAt<T>{i});
  for (; i < count; ++i) body(NumberAt<T>{i});
}

// Adds to `totals` the N sums that the body collects; two chains hide the latency of an addition.
template <typename T, int N, typename Body>
inline void sum_over(int64_t count, double (&totals)[N], const Body& body) {
  constexpr int64_t kLanes = Vector<T>::kLanes;
  typename Vector<T>::type even[N] = {}, odd[N] = {};
  T rest[N] = {};
  int64_t i = 0;
  for (; i + 2 * kLanes <= count; i += 2 * kLanes) {
    body(VectorAt<T>{i}, even);
    body(VectorAt<T>{i + kLanes}, odd);
  }
  for (; i + kLanes <= count; i += kLanes) body(VectorAt<T>{i}, even);
  for (; i < count; ++i) body(NumberAt<T>{i}, rest);
  for (int k = 0; k < N; ++k) totals[k] += lane_sum<T>(even[k] + odd[k]) + rest[k];
}

template <typename T>
void statistics(const Channel& c, const T* x, double* mean, double* variance) {
  double sum[1] = {}, squares[1] = {};
  for (int64_t n = 0; n < c.planes; ++n) {
    const T* plane = x + n * c.stride;
    sum_over<T>(c.size, sum, [=](auto at, auto& sums) { sums[0] += at(plane); });
  }
  *mean = sum[0] / c.numbers();
  const T centre = T(*mean);
  for (int64_t n = 0; n < c.planes; ++n) {
    const T* plane = x + n * c.stride;
    sum_over<T>(c.size, squares, [=](auto at, auto& sums) {
      const auto difference = at(plane) - centre;
      sums[0] += difference * difference;
    });
  }
  *variance = squares[0] / c.numbers();
}

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
