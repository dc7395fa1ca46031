// Sums and loops over the planes of one channel, for the kernels that normalise. Compiled once per instruction set by
// for_each_target.h: no include guard, no standard headers.
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
