// The inner loops of filter normalisation, a tile of filters at a time, one a lane. Compiled once per instruction set
// by for_each_target.h: no include guard, no standard headers.
#include "vectors.h"

template <typename T>
inline void gather_tile(const T* from, int64_t taps, const Strides& at, int64_t count, T* tile) {
  constexpr int64_t kLanes = Vector<T>::kLanes;
  for (int64_t t = 0; t < taps; ++t, tile += kLanes) {
    const T* row = from + t * at.tap;
    if (at.filter == 1 && count == kLanes) {
      store(tile, load(row));
      continue;
    }
    for (int64_t i = 0; i < kLanes; ++i) tile[i] = i < count ? row[i * at.filter] : T(0);
  }
}

template <typename T>
inline void scatter_tile(const T* tile, int64_t taps, const Strides& at, int64_t count, T* to) {
  constexpr int64_t kLanes = Vector<T>::kLanes;
  for (int64_t t = 0; t < taps; ++t, tile += kLanes) {
    T* row = to + t * at.tap;
    if (at.filter == 1 && count == kLanes) {
      store(row, load(tile));
      continue;
    }
    for (int64_t i = 0; i < count; ++i) row[i * at.filter] = tile[i];
  }
}

// Centres a tile in place. `inverse` becomes 1 / (std + eps) and `slope` 1 / ((taps - 1) std); both are 0 where all
// taps are equal, which the differences to the first tap tell without rounding.
template <typename T>
inline void centre_tile(T* tile, int64_t taps, T eps, T* inverse, T* slope) {
  typedef typename Vector<T>::type V;
  constexpr int64_t kLanes = Vector<T>::kLanes;
  const V first = load(tile);
  V mean = {}, squares = {};
  for (int64_t t = 0; t < taps; ++t) mean += load(tile + t * kLanes) - first;
  mean /= T(taps);
  for (int64_t t = 0; t < taps; ++t) {
    const V centred = load(tile + t * kLanes) - first - mean;
    store(tile + t * kLanes, centred);
    squares += centred * centred;
  }
  const T freedom = taps > 1 ? taps - 1 : 1;
  for (int64_t i = 0; i < kLanes; ++i) {
    const T std = __builtin_sqrt(squares[i] / freedom);
    inverse[i] = std > 0 ? 1 / (std + eps) : 0;
    slope[i] = std > 0 ? 1 / (freedom * std) : 0;
  }
}

// `scale` is a tile too; `work` holds a tile.
template <typename T>
void forward_tile(const T* x, int64_t taps, const Strides& at, int64_t count, T eps, const T* scale, T* work, T* y) {
  typedef typename Vector<T>::type V;
  constexpr int64_t kLanes = Vector<T>::kLanes;
  T inverse[kLanes], slope[kLanes];
  gather_tile(x, taps, at, count, work);
  centre_tile(work, taps, eps, inverse, slope);
  const V factor = load(inverse);
  for (int64_t t = 0; t < taps; ++t)
    store(work + t * kLanes, load(work + t * kLanes) * factor * load(scale + t * kLanes));
  scatter_tile(work, taps, at, count, y);
}

// With n = c / (std + eps) and dn = scale dy: dx = (dn - mean dn) / (std + eps) - n (sum n dn) / ((taps - 1) std).
// Adds n dy to `scale_gradient`, a tile, unless that is null. `work` holds two tiles.
template <typename T>
void backward_tile(const T* x, const T* dy, int64_t taps, const Strides& at, int64_t count, T eps, const T* scale,
                   T* work, T* dx, T* scale_gradient) {
  typedef typename Vector<T>::type V;
  constexpr int64_t kLanes = Vector<T>::kLanes;
  T inverse[kLanes], slope[kLanes], *gradient = work + taps * kLanes;
  gather_tile(x, taps, at, count, work);
  gather_tile(dy, taps, at, count, gradient);
  centre_tile(work, taps, eps, inverse, slope);
  const V factor = load(inverse);
  V total = {}, along = {};
  for (int64_t t = 0; t < taps * kLanes; t += kLanes) {
    const V normal = load(work + t) * factor, dn = load(gradient + t) * load(scale + t);
    if (scale_gradient) store(scale_gradient + t, load(scale_gradient + t) + normal * load(gradient + t));
    store(work + t, normal);
    store(gradient + t, dn);
    total += dn;
    along += normal * dn;
  }
  const V mean = total / T(taps), shrink = along * load(slope);
  for (int64_t t = 0; t < taps * kLanes; t += kLanes)
    store(work + t, (load(gradient + t) - mean) * factor - load(work + t) * shrink);
  scatter_tile(work, taps, at, count, dx);
}

template <typename T>
TileFunctions<T> tile_functions() {
  return {Vector<T>::kLanes, gather_tile<T>, scatter_tile<T>, forward_tile<T>, backward_tile<T>};
}
