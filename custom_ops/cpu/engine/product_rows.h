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

// The sums of a row, from registers to where they belong; the activation is a limit.
template <typename T, bool kNative, int N>
inline __attribute__((always_inline)) void deliver(const Floats (&sum)[N], const Result<T>& to, int row,
                                                   int64_t channel) {
  const Places<T>& places = *to.places;
  const T *up = places.up[row], *add = places.add[row];
  const float *scale = to.finish->scale, *shift = to.finish->shift;
  const Act act = to.finish->act;
  T* out = places.out[row] + channel;
#pragma GCC unroll 4
  for (int n = 0; n < N; ++n) {
    const int64_t c = n * kPartLanes;
    Floats y = sum[n];
    if (scale) y *= load_part(scale + channel + c);
    if (shift) y += load_part(shift + channel + c);
    if (up) y += load_part(up + channel + c);
    if (add) y += load_part(add + channel + c);
    if (act != Act::kNone) y = y < 0 ? Floats{} : y;
    if (act == Act::kRelu6) y = y > 6 ? splat(6) : y;
    store_finished<kNative>(out + c, y);
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
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 4
    for (int n = 0; n < N; ++n) sum[r][n] = to.from ? load(to.from + column + r * pitch + n * kPartLanes) : Floats{};
  }
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
  if (to.places) {
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) deliver<T, kNative, N>(sum[r], to, r, to.channel + column);
    return;
  }
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 4
    for (int n = 0; n < N; ++n) store(to.tile + column + r * pitch + n * kPartLanes, sum[r][n]);
  }
}

template <typename T, bool kNative, int R>
void multiply_rows(const Operand* a, int64_t count, const void* b, int64_t columns, const Result<T>& to) {
  const auto* panel = static_cast<const uint32_t*>(b);
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
inline __attribute__((always_inline)) V16 finished(const Finish& f, const float* tile, const T* up, const T* add,
                                                   int64_t channel, int64_t c) {
  V16 sum = load16(tile + c);
  if (f.scale) sum = sum * load16(f.scale + channel + c);
  if (f.shift) sum = sum + load16(f.shift + channel + c);
  if (up) sum = sum + load16(up + channel + c);
  if (add) sum = sum + load16(add + channel + c);
  return activate(sum, f.act);
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
    T* y = places.out[r] + channel;
    for (int64_t c = 0; c < whole; c += kLanes) store16(y + c, finished(f, tile, up, add, channel, c));
    if (whole < count) {
      T rest[kLanes];
      store16(rest, finished(f, tile, up, add, channel, whole));
      for (int64_t c = whole; c < count; ++c) y[c] = rest[c - whole];
    }
    if (last) {
      for (int64_t c = whole < count ? count : whole; c < f.pitch - channel; ++c) y[c] = T{};
    }
  }
}

// SPConv: the gates from the branches' means, or the fusion b V3 + (1 - b) V1 = V1 + b (V3 - V1) in the first tile.
inline void blend(float* heavy, const float* light, int64_t columns, int rows, float* const* gates, const Blend& blend,
                  int64_t column) {
  for (int r = 0; r < rows; ++r, heavy += columns, light += columns) {
    for (int64_t c = 0; c < columns; c += kLanes) {
      const V16 one = load16(light + c) + load16(blend.shift1 + column + c);
      const V16 difference = load16(heavy + c) + load16(blend.shift3 + column + c) - one;
      if (blend.logits == nullptr) {
        store16(heavy + c, one + load16(gates[r] + c) * difference);
        continue;
      }
      store16(gates[r] + c, activate(difference * load16(blend.logits + column + c), Act::kSigmoid));
    }
  }
}

// kNative: this CPU multiplies bfloat16 by itself.
template <typename T>
RowFunctions<T> row_functions() {
  return {advance, locate<T>, multiply<T, false>, finish<T>, blend};
}
template <typename T>
RowFunctions<T> native_row_functions() {
  return {advance, locate<T>, multiply<T, true>, finish<T>, blend};
}
