// The inner loops of decoupled dynamic filters in NHWC. No include guard: see for_each_target.h.

// One pixel of the output: sum over the taps that exist of (channel filter [tap][pitch] op spatial filter) times x.
template <bool kAdd, typename T>
inline void filter_pixel(const Filtering& f, const T* const* x, const int64_t* taps, int64_t count,
                         const float* spatial, const T* add, T* y) {
  for (int64_t c = 0; c < f.padded; c += kLanes) {
    // heads change within a vector only where their widths are no multiple of it
    const int64_t head = smaller_of(c / f.head_width, f.heads - 1);
    const bool mixed = f.heads > 1 && smaller_of(c + kLanes, f.channels) > (head + 1) * f.head_width;
    V16 sum = splat16(0);
    for (int64_t i = 0; i < count; ++i) {
      V16 pixel = splat16(spatial[head * f.taps + taps[i]]);
      if (mixed) {
        float each[kLanes];
        for (int64_t k = 0; k < kLanes; ++k)
          each[k] = spatial[smaller_of((c + k) / f.head_width, f.heads - 1) * f.taps + taps[i]];
        pixel = load16(each);
      }
      const V16 channel = load16(f.channel + taps[i] * f.padded + c);
      sum = sum + (kAdd ? channel + pixel : channel * pixel) * load16(x[i] + c);
    }
    sum = sum * load16(f.scale + c) + load16(f.shift + c);
    if (add) sum = sum + load16(add + c);
    store16(y + c, activate(sum, f.act));
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
