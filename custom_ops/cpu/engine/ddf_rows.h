// The inner loops of decoupled dynamic filters in NHWC. No include guard: see for_each_target.h.

// `count` filters, `pitch` apart and at most kRun, to [tap][kRun]: (v - mean) / (std + 1e-10) * factor, std with n - 1;
// exactly 0 where all are equal.
template <typename T>
void standardise(const T* from, int64_t pitch, int64_t count, int64_t taps, float factor, float* to) {
  for (int64_t k = 0; k < count; ++k) {
    for (int64_t t = 0; t < taps; ++t) to[t * kRun + k] = to_float(from[k * pitch + t]);
  }
  const float divisor = taps > 1 ? taps - 1 : 1;
  for (int64_t k = 0; k < count; k += kPartLanes) {
    float* at = to + k;
    const Floats first = load(at);
    Floats mean{}, squares{};
    for (int64_t t = 1; t < taps; ++t) mean += load(at + t * kRun) - first;
    mean /= splat(taps);
    for (int64_t t = 0; t < taps; ++t) {
      const Floats value = load(at + t * kRun) - first - mean;
      squares += value * value;
      store(at + t * kRun, value);
    }
    const Floats scale = splat(factor) / (square_root(squares / splat(divisor)) + splat(1e-10f));
    for (int64_t t = 0; t < taps; ++t) store(at + t * kRun, load(at + t * kRun) * scale);
  }
}

// Channels [c, last), at most a vector, of a stretch of pixels under one head's filters: the sums over the taps that
// exist of (channel filter op spatial filter) times x. kTaps: that many are held, see kHeldTaps; or 0.
template <bool kAdd, int kTaps, typename T>
inline void filter_channels(const Filtering& f, const T* const* x, const int64_t* taps, int64_t count, int64_t head,
                            const Stretch<T>& to, int64_t c, int64_t last) {
  V16 channel[kTaps > 0 ? kTaps : 1];
#pragma GCC unroll 9
  for (int i = 0; i < kTaps; ++i) channel[i] = load16(f.channel + i * f.padded + c);
  const V16 scale = load16(to.scale + c), shift = load16(to.shift + c);
  for (int64_t p = 0; p < to.count; ++p) {
    const float* spatial = f.spatial + head * f.taps * kRun + p;
    V16 sum = splat16(0);
    const auto add_tap = [&](const V16& filter, int64_t i, int64_t tap) __attribute__((always_inline)) {
      const V16 pixel = splat16(spatial[tap * kRun]);
      sum = sum + (kAdd ? filter + pixel : filter * pixel) * load16(x[i] + p * to.step + c);
    };
#pragma GCC unroll 9
    for (int i = 0; i < kTaps; ++i) add_tap(channel[i], i, i);
    for (int64_t i = kTaps; i < count; ++i) add_tap(load16(f.channel + taps[i] * f.padded + c), i, taps[i]);
    sum = sum * scale + shift;
    if (to.add) sum = sum + load16(to.add + p * to.pitch + c);
    sum = activate(sum, to.act);
    T* y = to.y + p * to.pitch + c;
    if (c + kLanes <= last) {
      store16(y, sum);
    } else {
      T rest[kLanes];
      store16(rest, sum);
      copy_some(rest, last - c, y);
    }
  }
}

template <bool kAdd, typename T>
inline void filter_stretch(const Filtering& f, const T* const* x, const int64_t* taps, int64_t count,
                           const Stretch<T>& to) {
  const bool held = kHeldTaps > 0 && count == kHeldTaps && f.taps == count;
  for (int64_t h = 0; h < f.heads; ++h) {
    const int64_t last = h + 1 < f.heads ? (h + 1) * f.head_width : f.padded;
    for (int64_t c = h * f.head_width; c < last; c += kLanes) {
      if (held) {
        filter_channels<kAdd, kHeldTaps>(f, x, taps, count, h, to, c, last);
      } else {
        filter_channels<kAdd, 0>(f, x, taps, count, h, to, c, last);
      }
    }
  }
}

template <typename T>
void filter(const Filtering& f, const T* const* x, const int64_t* taps, int64_t count, const Stretch<T>& to) {
  return f.add ? filter_stretch<true>(f, x, taps, count, to) : filter_stretch<false>(f, x, taps, count, to);
}

template <typename T>
FilterFunctions<T> filter_functions() {
  return {standardise<T>, filter<T>};
}
