// The inner loops of decoupled dynamic filtering, a row of pixels at a time. Compiled once per instruction set by
// for_each_target.h: no include guard, no standard headers.

template <typename T>
struct Vector {
  typedef T type __attribute__((vector_size(VECTOR_BYTES)));
  static constexpr int64_t kLanes = VECTOR_BYTES / sizeof(T);
};

template <typename T>
inline typename Vector<T>::type load(const T* from) {
  typename Vector<T>::type value;
  __builtin_memcpy(&value, from, VECTOR_BYTES);  // no alignment is promised
  return value;
}

template <typename T>
inline void store(T* to, typename Vector<T>::type value) {
  __builtin_memcpy(to, &value, VECTOR_BYTES);
}

// N vectors of one row in M channels, kept in registers over all taps, so that a spatial filter is loaded once for M.
template <int N, int M, bool kAdd, typename T>
inline void filter_block(const Tap* tap, const Tap* end, const Channels<T>& to, int64_t c, int64_t i, int64_t place,
                         const T* filter, int64_t count) {
  typedef typename Vector<T>::type V;
  constexpr int64_t kLanes = Vector<T>::kLanes;
  const T *image = to.image + c * to.image_size + i, *channel = to.channel + c * to.taps;
  V sum[M][N] = {};
  for (; tap != end; ++tap) {
    const T *x = image + tap->image, *f = filter + i + tap->filter, *w = channel + tap->index;
    for (int n = 0; n < N; ++n) {
      const V pixel = load(f + n * kLanes);
      for (int m = 0; m < M; ++m) {
        const T weight = w[m * to.taps];
        sum[m][n] += (kAdd ? pixel + weight : pixel * weight) * load(x + m * to.image_size + n * kLanes);
      }
    }
  }
  for (int m = 0; m < M; ++m) {
    T* y = to.y + (c + m) * to.y_size + place + i;
    for (int n = 0; n < N; ++n) {
      if (count >= (n + 1) * kLanes) {
        store(y + n * kLanes, sum[m][n]);
      } else {
        for (int64_t lane = n * kLanes; lane < count; ++lane) y[lane] = sum[m][n][lane - n * kLanes];
      }
    }
  }
}

template <int M, bool kAdd, typename T>
inline void filter_channels(const Plan& plan, int64_t width, const T* filter, const Channels<T>& to, int64_t c) {
  constexpr int64_t kLanes = Vector<T>::kLanes;
  const Tap* taps = plan.taps.data();
  for (const Row& row : plan.rows) {
    const Tap *first = taps + row.first, *last = taps + row.last;
    int64_t i = 0;
    for (; i + kLanes < width; i += 2 * kLanes) {
      filter_block<2, M, kAdd>(first, last, to, c, i, row.place, filter, width - i);
    }
    if (i < width) filter_block<1, M, kAdd>(first, last, to, c, i, row.place, filter, width - i);
  }
}

template <bool kAdd, typename T>
void filter_rows(const Plan& plan, int64_t width, const T* filter, const Channels<T>& to) {
  int64_t c = 0;
  for (; c + 3 < to.count; c += 4) filter_channels<4, kAdd>(plan, width, filter, to, c);
  for (; c < to.count; ++c) filter_channels<1, kAdd>(plan, width, filter, to, c);
}

// Adds M channels' share to the gradient of the spatial filter, laid out like the filter itself, and to `sums`, one
// vector per tap and channel, that of the channel filter. Beyond the width dy is zero: whole vectors are safe.
template <int M, bool kAdd, typename T>
inline void gradient_channels(const Plan& plan, int64_t width, const T* filter, const GradientChannels<T>& to,
                              int64_t c) {
  typedef typename Vector<T>::type V;
  constexpr int64_t kLanes = Vector<T>::kLanes;
  for (const Row& row : plan.rows) {
    const T* dy = to.dy + c * to.dy_size + row.place;
    for (int64_t t = row.first; t < row.last; ++t) {
      const Tap& tap = plan.taps[t];
      const T *x = to.image + c * to.image_size + tap.image, *f = filter + tap.filter;
      const T* weight = to.channel + c * to.taps + tap.index;
      T *df = to.filter_gradient + tap.filter, *sums = to.sums + tap.index * M * kLanes;
      V sum[M];
      for (int m = 0; m < M; ++m) sum[m] = load(sums + m * kLanes);
      for (int64_t i = 0; i < width; i += kLanes) {
        const V pixel = load(f + i);
        V gradient = load(df + i);
        for (int m = 0; m < M; ++m) {
          const V product = load(x + m * to.image_size + i) * load(dy + m * to.dy_size + i);
          gradient += kAdd ? product : product * weight[m * to.taps];
          sum[m] += kAdd ? product : product * pixel;
        }
        store(df + i, gradient);
      }
      for (int m = 0; m < M; ++m) store(sums + m * kLanes, sum[m]);
    }
  }
  for (int64_t t = 0; t < to.taps; ++t) {
    for (int m = 0; m < M; ++m) {
      T total = 0, *sums = to.sums + (t * M + m) * kLanes;
      for (int64_t lane = 0; lane < kLanes; ++lane) {
        total += sums[lane];
        sums[lane] = 0;
      }
      to.channel_gradient[(c + m) * to.taps + t] = total;
    }
  }
}

template <bool kAdd, typename T>
void gradient_rows(const Plan& plan, int64_t width, const T* filter, const GradientChannels<T>& to) {
  int64_t c = 0;
  for (; c + 3 < to.count; c += 4) gradient_channels<4, kAdd>(plan, width, filter, to, c);
  for (; c < to.count; ++c) gradient_channels<1, kAdd>(plan, width, filter, to, c);
}

template <typename T>
RowFunctions<T> row_functions(bool add) {
  if (add) return {filter_rows<true, T>, gradient_rows<true, T>};
  return {filter_rows<false, T>, gradient_rows<false, T>};
}
