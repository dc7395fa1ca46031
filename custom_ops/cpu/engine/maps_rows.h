// Inner loops over feature maps, sixteen channels at a time. No include guard: see for_each_target.h.

// y = act(x * scale + shift + add) of one pixel; null: none. `padded` channels, of which the last may be padding.
template <typename T>
void affine_pixel(const T* x, const float* scale, const float* shift, const T* add, Act act, int64_t padded, T* y) {
  for (int64_t c = 0; c < padded; c += kLanes) {
    V16 sum = load16(x + c);
    if (scale) sum = sum * load16(scale + c);
    if (shift) sum = sum + load16(shift + c);
    if (add) sum = sum + load16(add + c);
    store16(y + c, activate(sum, act));
  }
}

// y = act(a * b) of one pixel; with `one` b is a single number.
template <typename T>
void multiply_pixel(const T* a, const T* b, bool one, Act act, int64_t padded, T* y) {
  const V16 factor = splat16(load16(b).part[0][0]);
  for (int64_t c = 0; c < padded; c += kLanes) {
    store16(y + c, activate(load16(a + c) * (one ? factor : load16(b + c)), act));
  }
}

// Maximum, or sum times `factor`, of `count` pixels.
template <typename T>
void pool_pixel(const T* const* from, int64_t count, bool largest, float factor, int64_t padded, T* y) {
  for (int64_t c = 0; c < padded; c += kLanes) {
    V16 value = load16(from[0] + c);
    if (largest) {
      for (int64_t i = 1; i < count; ++i) value = larger(load16(from[i] + c), value);
    } else {
      for (int64_t i = 1; i < count; ++i) value = value + load16(from[i] + c);
      value = value * splat16(factor);
    }
    store16(y + c, value);
  }
}

// Adds up `count` pixels that lie `pitch` apart, in channels [first, last), onto `sums`.
template <typename T>
void sum_pixels(const T* x, int64_t pitch, int64_t count, int64_t first, int64_t last, float* sums) {
  for (int64_t c = first; c < last; c += kLanes) {
    V16 sum = load16(sums + c), other = splat16(0);
    const T* from = x + c;
    int64_t i = 0;
    for (; i + 1 < count; i += 2, from += 2 * pitch) sum = sum + load16(from), other = other + load16(from + pitch);
    if (i < count) sum = sum + load16(from);
    store16(sums + c, sum + other);
  }
}

// y = act(sum of weight * pixel + shift + add): interpolation.
template <typename T>
void weigh_pixels(const T* const* from, const float* weights, int64_t count, const float* shift, const T* add, Act act,
                  int64_t padded, T* y) {
  for (int64_t c = 0; c < padded; c += kLanes) {
    V16 sum = shift ? load16(shift + c) : splat16(0);
    for (int64_t i = 0; i < count; ++i) sum = sum + load16(from[i] + c) * splat16(weights[i]);
    if (add) sum = sum + load16(add + c);
    store16(y + c, activate(sum, act));
  }
}

// A depthwise window of neighbouring pixels. kTaps: that many are held, see kHeldTaps; or 0.
template <int kTaps, typename T>
inline void depthwise_channels(const T* const* from, const float* const* weights, int64_t taps, const Stretch<T>& to,
                               int64_t c) {
  V16 weight[kTaps > 0 ? kTaps : 1];
#pragma GCC unroll 9
  for (int i = 0; i < kTaps; ++i) weight[i] = load16(weights[i] + c);
  const V16 shift = to.shift ? load16(to.shift + c) : splat16(0);
  for (int64_t p = 0; p < to.count; ++p) {
    V16 sum = shift;
#pragma GCC unroll 9
    for (int i = 0; i < kTaps; ++i) sum = sum + load16(from[i] + p * to.step + c) * weight[i];
    for (int64_t i = kTaps; i < taps; ++i) sum = sum + load16(from[i] + p * to.step + c) * load16(weights[i] + c);
    if (to.add) sum = sum + load16(to.add + p * to.pitch + c);
    store16(to.y + p * to.pitch + c, activate(sum, to.act));
  }
}
template <typename T>
void depthwise(const T* const* from, const float* const* weights, int64_t taps, const Stretch<T>& to, int64_t padded) {
  for (int64_t c = 0; c < padded; c += kLanes) {
    if (kHeldTaps > 0 && taps == kHeldTaps) {
      depthwise_channels<kHeldTaps>(from, weights, taps, to, c);
    } else {
      depthwise_channels<0>(from, weights, taps, to, c);
    }
  }
}

// From float32.
template <typename T>
void narrow(const float* from, float factor, int64_t padded, T* to) {
  for (int64_t c = 0; c < padded; c += kLanes) store16(to + c, load16(from + c) * splat16(factor));
}

template <typename T>
MapFunctions<T> map_functions() {
  return {affine_pixel<T>, multiply_pixel<T>, pool_pixel<T>, sum_pixels<T>, weigh_pixels<T>, depthwise<T>, narrow<T>};
}
