// The inner loops of sample_interpolate, a row at a time. Compiled once per instruction set by for_each_target.h: no
// include guard, no standard headers. Rows are padded with zeros up to a whole vector, and beyond by the radius.
#include "vectors.h"

// Sum over the window's rows. `a` is the row in the middle.
template <typename T>
inline void vertical(const T* weights, int64_t radius, const T* a, int64_t pitch, T* to, int64_t width) {
  for (int64_t i = 0; i < width; i += Vector<T>::kLanes) {
    typename Vector<T>::type sum = load(a + i) * weights[0];
    for (int64_t d = 1; d <= radius; ++d) {
      sum += (load(a + i - d * pitch) + load(a + i + d * pitch)) * weights[d];
    }
    store(to + i, sum);
  }
}

// Sum over the window's columns of one vector.
template <typename T>
inline typename Vector<T>::type horizontal(const T* weights, int64_t radius, const T* row) {
  typename Vector<T>::type sum = load(row) * weights[0];
  for (int64_t d = 1; d <= radius; ++d) sum += (load(row - d) + load(row + d)) * weights[d];
  return sum;
}

template <typename T>
void multiply_row(const T* a, const T* b, T* to, int64_t width) {
  constexpr int64_t kLanes = Vector<T>::kLanes;
  if (width < kLanes) {
    for (int64_t i = 0; i < width; ++i) to[i] = a[i] * b[i];
    return;
  }
  for (int64_t i = 0; i < width; i += kLanes) {
    const int64_t at = i < width - kLanes ? i : width - kLanes;
    store(to + at, load(a + at) * load(b + at));
  }
}

// 1 / (K * M + eps) of a row of the mask.
template <typename T>
void normalise_row(const Gaussian<T>& k, const T* mask, int64_t pitch, T* line, T* inverse, int64_t width) {
  vertical(k.weights, k.radius, mask, pitch, line, width);
  for (int64_t i = 0; i < width; i += Vector<T>::kLanes) {
    store(inverse + i, T(1) / (horizontal(k.weights, k.radius, line + i) + T(kEps)));
  }
}

// M F + share (K * M F), share = (1 - M) / (K * M + eps), of a row of M F.
template <typename T>
void interpolate_row(const Gaussian<T>& k, const T* sampled, int64_t pitch, const T* share, T* line, T* y,
                     int64_t width) {
  constexpr int64_t kLanes = Vector<T>::kLanes;
  vertical(k.weights, k.radius, sampled, pitch, line, width);
  if (width < kLanes) {
    T buffer[kLanes];
    store(buffer, load(sampled) + load(share) * horizontal(k.weights, k.radius, line));
    return copy_row(buffer, y, width);
  }
  for (int64_t i = 0; i < width; i += kLanes) {
    const int64_t at = i < width - kLanes ? i : width - kLanes;
    store(y + at, load(sampled + at) + load(share + at) * horizontal(k.weights, k.radius, line + at));
  }
}

// With h = share dy and u = K * h: dx = M (dy + u), and what the channel adds to the sums of F (dy + u) and of
// dy (K * M F). Returns what it adds to sigma's gradient, the sum of h (K' * M F).
template <typename T>
T gradient_row(const Gaussian<T>& k, const GradientRow<T>& r, int64_t pitch, int64_t width) {
  typedef typename Vector<T>::type V;
  vertical(k.weights, k.radius, r.sampled, pitch, r.lines[0], width);
  vertical(k.slopes, k.radius, r.sampled, pitch, r.lines[1], width);
  vertical(k.weights, k.radius, r.shared, pitch, r.lines[2], width);
  V slope = {};
  for (int64_t i = 0; i < width; i += Vector<T>::kLanes) {
    const V sum = horizontal(k.weights, k.radius, r.lines[0] + i);
    const V derivative =
        horizontal(k.weights, k.radius, r.lines[1] + i) + horizontal(k.slopes, k.radius, r.lines[0] + i);
    const V dy = load(r.dy + i), total = dy + horizontal(k.weights, k.radius, r.lines[2] + i);
    store(r.dx + i, load(r.mask + i) * total);
    store(r.feature_sum + i, load(r.feature_sum + i) + load(r.features + i) * total);
    store(r.share_gradient + i, load(r.share_gradient + i) + dy * sum);
    slope += load(r.shared + i) * derivative;
  }
  return lane_sum<T>(slope);
}

template <typename T>
RowFunctions<T> row_functions() {
  return {copy_row<T>, multiply_row<T>, normalise_row<T>, interpolate_row<T>, gradient_row<T>};
}
