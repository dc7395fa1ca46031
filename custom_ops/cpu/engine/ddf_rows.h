// The inner loops of decoupled dynamic filters in NHWC. No include guard: see for_each_target.h.

// Channels [first, last) of one output pixel under one spatial filter: the sum over the taps that exist of (channel
// filter [tap][padded] op spatial filter) times x. `last` may lie within a vector, whose rest is the next head's.
template <bool kAdd, typename T>
inline void filter_channels(const Filtering& f, const T* const* x, const int64_t* taps, int64_t count,
                            const float* spatial, const T* add, int64_t first, int64_t last, T* y) {
  for (int64_t c = first; c < last; c += kLanes) {
    V16 sum = splat16(0);
    for (int64_t i = 0; i < count; ++i) {
      const V16 channel = load16(f.channel + taps[i] * f.padded + c), pixel = splat16(spatial[taps[i]]);
      sum = sum + (kAdd ? channel + pixel : channel * pixel) * load16(x[i] + c);
    }
    sum = sum * load16(f.scale + c) + load16(f.shift + c);
    if (add) sum = sum + load16(add + c);
    sum = activate(sum, f.act);
    if (c + kLanes <= last) {
      store16(y + c, sum);
      continue;
    }
    T rest[kLanes];
    store16(rest, sum);
    for (int64_t k = c; k < last; ++k) y[k] = rest[k - c];
  }
}

template <bool kAdd, typename T>
inline void filter_pixel(const Filtering& f, const T* const* x, const int64_t* taps, int64_t count,
                         const float* spatial, const T* add, T* y) {
  for (int64_t h = 0; h < f.heads; ++h) {
    const int64_t last = h + 1 < f.heads ? (h + 1) * f.head_width : f.padded;
    filter_channels<kAdd>(f, x, taps, count, spatial + h * f.taps, add, h * f.head_width, last, y);
  }
}

template <typename T>
void filter(const Filtering& f, const T* const* x, const int64_t* taps, int64_t count, const float* spatial,
            const T* add, T* y) {
  return f.add ? filter_pixel<true>(f, x, taps, count, spatial, add, y)
               : filter_pixel<false>(f, x, taps, count, spatial, add, y);
}

template <typename T>
FilterFunction<T> filter_function() {
  return filter<T>;
}
