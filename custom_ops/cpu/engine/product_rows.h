// The inner loops of the engine's matrix product: a block of at most kRows pixels times a panel of at most 64 columns.
// No include guard: see for_each_target.h.

template <bool kNative>
inline Floats multiply_add_pairs(Floats sum, WholeLanes a, WholeLanes b) {
#if VECTOR_BYTES == 64
  if (kNative) {
    asm("vdpbf16ps %2, %1, %0" : "+v"(sum) : "v"(a), "v"(b));
    return sum;
  }
#endif
  const WholeLanes high = splat_bits(0xffff0000);
  sum += (Floats)(a << 16) * (Floats)(b << 16);
  return sum + (Floats)(a & high) * (Floats)(b & high);
}

// Widely where it is worth the code: with the registers of AVX-512.
constexpr int kUnrolled = VECTOR_BYTES == 64 ? 8 : 2;

// Multiply-adds of a 4-byte unit: a float, or a pair of bfloat16.
template <typename T, bool kNative>
inline Floats multiply_add_unit(Floats sum, WholeLanes a, WholeLanes b) {
  if constexpr (sizeof(T) == 4) return sum + (Floats)a * (Floats)b;
  return multiply_add_pairs<kNative>(sum, a, b);
}

// The k-th unit of R pixels times N vectors.
template <typename T, bool kNative, int R, int N>
inline __attribute__((always_inline)) void multiply_unit(Floats (&sum)[R][N], const uint32_t* const (&a)[R], int64_t k,
                                                         const uint32_t* b) {
  WholeLanes columns[N];
#pragma GCC unroll 4
  for (int n = 0; n < N; ++n) __builtin_memcpy(&columns[n], b + n * kPartLanes, VECTOR_BYTES);
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
    const WholeLanes pixel = splat_bits(a[r][k]);
#pragma GCC unroll 4
    for (int n = 0; n < N; ++n) sum[r][n] = multiply_add_unit<T, kNative>(sum[r][n], pixel, columns[n]);
  }
}

template <bool kNative, typename T>
inline void store_finished(T* to, Floats value) {
#if VECTOR_BYTES == 64
  if constexpr (kNative && sizeof(T) == 2) {
    HalfLanes half;
    asm("vcvtneps2bf16 %1, %0" : "=v"(half) : "v"(value));
    __builtin_memcpy(to, &half, sizeof half);
    return;
  }
#endif
  store_part(to, value);
}
template <typename V>
inline V load_lanes(const float* from) {
  V value;
  __builtin_memcpy(&value, from, sizeof value);
  return value;
}
template <typename V>
inline V load_lanes(const bfloat16* from) {
  return load_part(from);
}

// The sums of a row, from registers to where they belong; the activation is a limit. V: whole or half vectors.
template <typename T, bool kNative, typename V, int N>
inline __attribute__((always_inline)) void deliver(const V (&sum)[N], const Result<T>& to, int row, int64_t channel) {
  const Places<T>& places = *to.places;
  const T *up = places.up[row], *add = places.add[row];
  const float *gate = places.gate[row], *scale = gate ? gate : to.finish->scale;
  const float* shift = gate ? gate + to.finish->gates : to.finish->shift;
  const Act act = to.finish->act;
  T* out = places.out[row] + channel;
#pragma GCC unroll 4
  for (int n = 0; n < N; ++n) {
    const int64_t c = n * int64_t(sizeof(V) / 4);
    V y = sum[n];
    if (scale) y *= load_lanes<V>(scale + channel + c);
    if (shift) y += load_lanes<V>(shift + channel + c);
    if (up) y += load_lanes<V>(up + channel + c);
    if (add) y += load_lanes<V>(add + channel + c);
    if (act != Act::kNone) y = y < 0 ? V{} : y;
    if (act == Act::kRelu6) y = y > 6 ? 6 - V{} : y;
    if constexpr (sizeof(V) == sizeof(Floats)) {
      store_finished<kNative>(out + c, y);
    } else {
      __builtin_memcpy(out + c, &y, sizeof y);
    }
  }
}

// What a row's sums go on from.
template <typename T, typename V, int N>
inline __attribute__((always_inline)) void begin(V (&sum)[N], const Result<T>& to, int row, int64_t column,
                                                 int64_t pitch) {
  const float* from = to.from ? to.from + column + row * pitch : nullptr;
  const float* ratio = to.gated ? to.places->gate[row] + 2 * to.finish->gates + to.channel + column : nullptr;
#pragma GCC unroll 4
  for (int n = 0; n < N; ++n) {
    const int64_t c = n * int64_t(sizeof(V) / 4);
    sum[n] = from ? load_lanes<V>(from + c) : V{};
    if (ratio) sum[n] *= load_lanes<V>(ratio + c);
  }
}

// R pixels times N vectors, in registers over the whole depth: the operands' units one after another.
template <typename T, bool kNative, int R, int N>
inline void multiply_block(const Operand* a, int64_t count, const uint32_t* b, int64_t columns, const Result<T>& to,
                           int64_t column) {
  const int64_t pitch = VECTOR_BYTES == 64 ? N * kLanes : columns;  // known where a block is a whole panel
  Floats sum[R][N];
  const char* ahead = to.ahead;
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) begin(sum[r], to, r, column, pitch);
  for (const Operand* end = a + count; a != end; ++a) {
    const uint32_t* pixels[R];
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) pixels[r] = a->rows[r];
    int64_t k = 0;
    for (; k + kUnrolled <= a->units; k += kUnrolled, b += kUnrolled * pitch) {
#pragma GCC unroll kUnrolled
      for (int i = 0; i < kUnrolled; ++i) {
        multiply_unit<T, kNative, R, N>(sum, pixels, k + i, b + i * pitch);
      }
#pragma GCC unroll kUnrolled
      for (int i = 0; i < kUnrolled; ++i) __builtin_prefetch(ahead + i * kAlign, 0, 2);
      ahead += to.ahead_step * kUnrolled;
    }
    for (; k < a->units; ++k, b += pitch) multiply_unit<T, kNative, R, N>(sum, pixels, k, b);
  }
  if (to.tile) {
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
#pragma GCC unroll 4
      for (int n = 0; n < N; ++n) store(to.tile + column + r * pitch + n * kPartLanes, sum[r][n]);
    }
  }
  if (!to.delivers) return;
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) deliver<T, kNative>(sum[r], to, r, to.channel + column);
}

typedef float HalfFloats __attribute__((vector_size(4 * kHalf)));

// R pixels times half a vector of columns, whose tile is as wide as a whole one. Two sums of each, so that one need not
// wait for the other.
template <int R>
inline void multiply_half(const Operand* a, int64_t count, const float* b, const Result<float>& to) {
  HalfFloats sum[R][1], other[R];
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) begin(sum[r], to, r, 0, kLanes), other[r] = HalfFloats{};
  for (const Operand* end = a + count; a != end; ++a) {
    const float* pixels[R];
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) pixels[r] = reinterpret_cast<const float*>(a->rows[r]);
    int64_t k = 0;
    for (; k + 4 <= a->units; k += 4, b += 4 * kHalf) {
#pragma GCC unroll 4
      for (int i = 0; i < 4; ++i) {
        const HalfFloats columns = load_lanes<HalfFloats>(b + i * kHalf);
#pragma GCC unroll 8
        for (int r = 0; r < R; ++r) (i % 2 ? other[r] : sum[r][0]) += columns * pixels[r][k + i];
      }
    }
    for (; k < a->units; ++k, b += kHalf) {
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r) sum[r][0] += load_lanes<HalfFloats>(b) * pixels[r][k];
    }
  }
  const Finish& finish = *to.finish;
  const HalfFloats zeros{};
  const bool pads = to.channel + kHalf >= finish.channels && to.channel + kHalf < finish.pitch;
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
    sum[r][0] += other[r];
    if (to.tile) {
      __builtin_memcpy(to.tile + r * kLanes, &sum[r][0], sizeof zeros);
      __builtin_memcpy(to.tile + r * kLanes + kHalf, &zeros, sizeof zeros);
    }
    if (!to.delivers) continue;
    deliver<float, false>(sum[r], to, r, to.channel);
    if (pads) __builtin_memcpy(to.places->out[r] + to.channel + kHalf, &zeros, sizeof zeros);
  }
}

template <typename T, bool kNative, int R>
void multiply_rows(const Operand* a, int64_t count, const void* b, int64_t columns, const Result<T>& to) {
  const auto* panel = static_cast<const uint32_t*>(b);
  if constexpr (sizeof(T) == 4) {
    if (columns == kHalf) return multiply_half<R>(a, count, static_cast<const float*>(b), to);
  }
#if VECTOR_BYTES == 64
  switch (columns / kLanes) {
    case 1:
      return multiply_block<T, kNative, R, 1>(a, count, panel, columns, to, 0);
    case 2:
      return multiply_block<T, kNative, R, 2>(a, count, panel, columns, to, 0);
    case 3:
      return multiply_block<T, kNative, R, 3>(a, count, panel, columns, to, 0);
    default:
      return multiply_block<T, kNative, R, 4>(a, count, panel, columns, to, 0);
  }
#else
  // sixteen registers: two vectors at a time
  for (int64_t c = 0; c < columns; c += 2 * kPartLanes) {
    multiply_block<T, kNative, R, 2>(a, count, panel + c, columns, to, c);
  }
#endif
}

template <typename T, bool kNative>
void multiply(int rows, const Operand* a, int64_t count, const void* b, int64_t columns, const Result<T>& to) {
  switch (rows) {
    case 1:
      return multiply_rows<T, kNative, 1>(a, count, b, columns, to);
    case 2:
      return multiply_rows<T, kNative, 2>(a, count, b, columns, to);
    case 3:
      return multiply_rows<T, kNative, 3>(a, count, b, columns, to);
    case 4:
      return multiply_rows<T, kNative, 4>(a, count, b, columns, to);
    case 5:
      return multiply_rows<T, kNative, 5>(a, count, b, columns, to);
    default:
      return multiply_rows<T, kNative, 6>(a, count, b, columns, to);
  }
}

template <typename T>
inline __attribute__((always_inline)) V16 finished(const float* scale, const float* shift, Act act, const float* tile,
                                                   const T* up, const T* add, int64_t channel, int64_t c) {
  V16 sum = load16(tile + c);
  if (scale) sum = sum * load16(scale + channel + c);
  if (shift) sum = sum + load16(shift + channel + c);
  if (up) sum = sum + load16(up + channel + c);
  if (add) sum = sum + load16(add + channel + c);
  return activate(sum, act);
}

// A tile to its places, for `count` channels from `channel` on.
template <typename T>
void finish(const Finish& f, const float* tile, int64_t pitch, int rows, const Places<T>& places, int64_t channel,
            int64_t count) {
  const bool last = channel + count == f.channels;
  // a last vector that fits is whole: what is beyond the channels is zero in tile, scale and shift
  const int64_t whole = last && channel % kLanes == 0 ? round_up(count, kLanes) : count / kLanes * kLanes;
  for (int r = 0; r < rows; ++r, tile += pitch) {
    const T *up = places.up[r], *add = places.add[r];
    const float *gate = places.gate[r], *scale = gate ? gate : f.scale, *shift = gate ? gate + f.gates : f.shift;
    T* y = places.out[r] + channel;
    for (int64_t c = 0; c < whole; c += kLanes)
      store16(y + c, finished(scale, shift, f.act, tile, up, add, channel, c));
    if (whole < count) {
      T rest[kLanes];
      store16(rest, finished(scale, shift, f.act, tile, up, add, channel, whole));
      copy_some(rest, count - whole, y + whole);
    }
    if (last) {
      for (int64_t c = whole < count ? count : whole; c < f.pitch - channel; ++c) y[c] = T{};
    }
  }
}

// SPConv: the gates of images, a row each, from their branches' means.
inline void open(const float* heavy, const float* light, int64_t columns, int rows, float* const* to, const Gates& g) {
  const V16 most = splat16(0x1p60f);  // b is one there, and 1 - b a number that can be divided by
  for (int r = 0; r < rows; ++r, heavy += columns, light += columns) {
    for (int64_t c = 0; c < columns; c += kLanes) {
      const V16 shift3 = load16(g.shift3 + c), shift1 = load16(g.shift1 + c);
      V16 ratio = (load16(heavy + c) + shift3 - load16(light + c) - shift1) * load16(g.logits + c), scale;
      for (Floats& part : ratio.part) part = exponential(part);
      ratio = smaller(ratio, most);
      for (int i = 0; i < kParts; ++i) scale.part[i] = splat(1) / (splat(1) + ratio.part[i]);
      store16(to[r] + c, scale);
      store16(to[r] + g.pitch + c, (ratio * shift3 + shift1) * scale);
      store16(to[r] + 2 * g.pitch + c, ratio);
    }
  }
}

// kNative: this CPU multiplies bfloat16 by itself.
template <typename T>
RowFunctions<T> row_functions() {
  return {advance, locate<T>, multiply<T, false>, finish<T>, open};
}
template <typename T>
RowFunctions<T> native_row_functions() {
  return {advance, locate<T>, multiply<T, true>, finish<T>, open};
}
