// The inner loops of decoupled dynamic filtering, a row of pixels at a time. Compiled once per instruction set by
// for_each_target.h: no include guard, no standard headers.
#include "vectors.h"

// Stages `count` successive planes. Zeros around the copies are left from the allocation: whatever the tile, rows lie
// at multiples of the same pitch, so that every copy fills the same columns.
template <typename T>
void stage(const T* planes, int64_t count, int64_t height, int64_t width, const Staging& to, T* scratch) {
  for (int64_t c = 0; c < count; ++c, planes += height * width, scratch += to.size()) {
    for (int64_t row = to.first; row < to.last; ++row) {
      const T* from = planes + row * width;
      if (to.phases == 1) {
        copy_row(from, scratch + to.offset(row, to.left), width);
        continue;
      }
      for (int64_t phase = 0; phase < to.phases; ++phase) {
        T* row_to = scratch + to.offset(row, to.left + phase);
        for (int64_t x = phase; x < width; x += to.phases) *row_to++ = from[x];
      }
    }
  }
}

// N vectors of one row, at the columns `at`, in M channels: the sums stay in registers over all taps, and a spatial
// filter is loaded once for M.
template <int N, int M, bool kAdd, typename T>
inline void filter_block(const Tap* tap, const Tap* end, const Channels<T>& to, int64_t c, const T* filter,
                         const int64_t (&at)[N], T* y, int64_t y_size) {
  typedef typename Vector<T>::type V;
  const T *image = to.image + c * to.image_size, *channel = to.channel + c * to.taps;
  V sum[M][N];
  for (int m = 0; m < M; ++m) {
    for (int n = 0; n < N; ++n) sum[m][n] = V{};
  }
  for (; tap != end; ++tap) {
    const T *x = image + tap->image, *f = filter + tap->filter, *w = channel + tap->index;
    for (int n = 0; n < N; ++n) {
      const V pixel = load(f + at[n]);
      for (int m = 0; m < M; ++m) {
        const T weight = w[m * to.taps];
        sum[m][n] += (kAdd ? pixel + weight : pixel * weight) * load(x + m * to.image_size + at[n]);
      }
    }
  }
  for (int m = 0; m < M; ++m) {
    for (int n = 0; n < N; ++n) store(y + m * y_size + at[n], sum[m][n]);
  }
}

// As in copy_row the last vectors overlap; a row of less than one goes by way of a buffer.
template <int M, bool kAdd, typename T>
inline void filter_channels(const Plan& plan, int64_t width, const T* filter, const Channels<T>& to, int64_t c) {
  constexpr int64_t kLanes = Vector<T>::kLanes;
  const Tap* taps = plan.taps.data();
  for (const Row& row : plan.rows) {
    const Tap *first = taps + row.first, *last = taps + row.last;
    T* y = to.y + c * to.y_size + row.place;
    if (width <= kLanes) {
      T buffer[M * kLanes];
      filter_block<1, M, kAdd>(first, last, to, c, filter, {0}, buffer, kLanes);
      for (int m = 0; m < M; ++m) copy_row(buffer + m * kLanes, y + m * to.y_size, width);
      continue;
    }
    for (int64_t i = 0; i < width; i += 2 * kLanes) {
      const int64_t end = width - kLanes;
      filter_block<2, M, kAdd>(first, last, to, c, filter, {i < end ? i : end, i + kLanes < end ? i + kLanes : end}, y,
                               to.y_size);
    }
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
      T* sums = to.sums + (t * M + m) * kLanes;
      to.channel_gradient[(c + m) * to.taps + t] = lane_sum<T>(load(sums));
      store(sums, V{});
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
  if (add) return {stage<T>, filter_rows<true, T>, gradient_rows<true, T>};
  return {stage<T>, filter_rows<false, T>, gradient_rows<false, T>};
}
