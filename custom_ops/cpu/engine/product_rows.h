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
constexpr int kUnrolled = VECTOR_BYTES == 64 ? 16 : 2;

// Multiply-adds of a 4-byte unit: a float, or a pair of bfloat16.
template <typename T, bool kNative>
inline Floats multiply_add_unit(Floats sum, WholeLanes a, WholeLanes b) {
  if constexpr (sizeof(T) == 4) return sum + (Floats)a * (Floats)b;
  return multiply_add_pairs<kNative>(sum, a, b);
}

// The k-th unit of R pixels times N vectors.
template <typename T, bool kNative, int R, int N>
inline __attribute__((always_inline)) void multiply_unit(Floats (&sum)[R][N], const uint32_t* a,
                                                         int64_t row, const uint32_t* b) {
  WholeLanes columns[N];
  for (int n = 0; n < N; ++n) __builtin_memcpy(&columns[n], b + n * kPartLanes, VECTOR_BYTES);
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
    const WholeLanes pixel = splat_bits(a[r * row]);
    for (int n = 0; n < N; ++n) sum[r][n] = multiply_add_unit<T, kNative>(sum[r][n], pixel, columns[n]);
  }
}

// The sums of a row, from registers to where they belong: y = act(sum + shift + up + add).
template <typename T, int N>
inline __attribute__((always_inline)) void deliver(const Floats (&sum)[N], const Delivery<T>& to, int row) {
  const T *up = to.up[row], *add = to.add[row];
  for (int n = 0; n < N; ++n) {
    const int64_t c = n * kPartLanes;
    Floats y = sum[n];
    if (to.shift) y += load_part(to.shift + c);
    if (up) y += load_part(up + c);
    if (add) y += load_part(add + c);
    if (to.act != Act::kNone) y = y < 0 ? Floats{} : y;
    if (to.act == Act::kRelu6) y = y > 6 ? splat(6) : y;
    store_part(to.out[row] + c, y);
  }
}

// R pixels times N vectors, in registers over the whole depth.
template <typename T, bool kNative, int R, int N>
inline void multiply_block(const Factor& a, int64_t units, const uint32_t* b, int64_t pitch, const Result<T>& to,
                           int64_t column) {
  Floats sum[R][N];
  float* tile = to.tile + column;
  for (int r = 0; r < R; ++r) {
    for (int n = 0; n < N; ++n) sum[r][n] = to.add ? load(tile + r * pitch + n * kPartLanes) : Floats{};
  }
  const uint32_t* pixels = a.units;
  for (; units >= 16; units -= 16, pixels += a.chunk, b += 16 * pitch) {
#pragma GCC unroll kUnrolled
    for (int k = 0; k < 16; ++k) multiply_unit<T, kNative, R, N>(sum, pixels + k, a.row, b + k * pitch);
  }
  for (int k = 0; k < units; ++k) multiply_unit<T, kNative, R, N>(sum, pixels + k, a.row, b + k * pitch);
  if (to.delivery) {
    Delivery<T> part = *to.delivery;
    part.move(column);
    for (int r = 0; r < R; ++r) deliver<T, N>(sum[r], part, r);
    return;
  }
  for (int r = 0; r < R; ++r) {
    for (int n = 0; n < N; ++n) store(tile + r * pitch + n * kPartLanes, sum[r][n]);
  }
}

template <typename T, bool kNative, int R>
void multiply_rows(const Factor& a, int64_t units, const void* b, int64_t columns, const Result<T>& to) {
  const auto* panel = static_cast<const uint32_t*>(b);
#if VECTOR_BYTES == 64
  switch (columns / kLanes) {
    case 1: return multiply_block<T, kNative, R, 1>(a, units, panel, columns, to, 0);
    case 2: return multiply_block<T, kNative, R, 2>(a, units, panel, columns, to, 0);
    case 3: return multiply_block<T, kNative, R, 3>(a, units, panel, columns, to, 0);
    default: return multiply_block<T, kNative, R, 4>(a, units, panel, columns, to, 0);
  }
#else
  // sixteen registers: two vectors at a time
  for (int64_t c = 0; c < columns; c += 2 * kPartLanes) {
    multiply_block<T, kNative, R, 2>(a, units, panel + c, columns, to, c);
  }
#endif
}

template <typename T, bool kNative>
void multiply(int rows, const Factor& a, int64_t units, const void* b, int64_t columns, const Result<T>& to) {
  switch (rows) {
    case 1: return multiply_rows<T, kNative, 1>(a, units, b, columns, to);
    case 2: return multiply_rows<T, kNative, 2>(a, units, b, columns, to);
    case 3: return multiply_rows<T, kNative, 3>(a, units, b, columns, to);
    case 4: return multiply_rows<T, kNative, 4>(a, units, b, columns, to);
    case 5: return multiply_rows<T, kNative, 5>(a, units, b, columns, to);
    default: return multiply_rows<T, kNative, 6>(a, units, b, columns, to);
  }
}

inline void copy64(const void* from, void* to) {
  typedef uint8_t Bytes __attribute__((vector_size(VECTOR_BYTES)));
  for (int i = 0; i < kAlign; i += VECTOR_BYTES) {
    Bytes bytes;
    __builtin_memcpy(&bytes, static_cast<const char*>(from) + i, VECTOR_BYTES);
    __builtin_memcpy(static_cast<char*>(to) + i, &bytes, VECTOR_BYTES);
  }
}

// The values under the segments of a block of pixels, side by side. Aligned: every segment is whole units.
template <typename T>
void pack_aligned(const Segments<T>& from, const Pixel* pixels, int rows, T* to) {
  for (const Segment& s : *from.segments) {
    const T* place[kRows];
    for (int r = 0; r < rows; ++r) place[r] = from.find(s, pixels[r]);
    for (int64_t c = 0; c < s.count; c += unit<T>(), to += kRows * unit<T>()) {
#pragma GCC unroll 8
      for (int r = 0; r < rows; ++r) copy64(place[r] + c, to + r * unit<T>());
    }
  }
}

// Segments of any length: each is copied by whole vectors into a row, where the next one overwrites what was too much.
template <typename T>
void pack_ragged(const Segments<T>& from, const Pixel* pixels, int rows, T* row, T* to) {
  for (int r = 0; r < rows; ++r) {
    T* end = row;
    for (const Segment& s : *from.segments) {
      const T* place = from.find(s, pixels[r]);
      for (int64_t c = 0; c < s.count; c += unit<T>()) copy64(place + c, end + c);
      end += s.count;
    }
    for (int i = 0; i < 2; ++i) end[i] = T{};  // a pair may be half filled
    for (int64_t k = 0; row + k < end; k += unit<T>()) copy64(row + k, to + kRows * k + r * unit<T>());
  }
}

template <typename T>
inline __attribute__((always_inline)) V16 finished(const Finish<T>& f, const float* tile, const T* up, const T* add,
                                                   int64_t channel, int64_t c) {
  V16 sum = load16(tile + c);
  if (f.scale) sum = sum * load16(f.scale + channel + c);
  if (f.shift) sum = sum + load16(f.shift + channel + c);
  if (up) sum = sum + load16(up + c);
  if (add) sum = sum + load16(add + c);
  return activate(sum, f.act);
}

// y = act(tile * scale + shift + up + add), for `count` channels from `channel` on.
template <typename T>
void finish(const Finish<T>& f, const float* tile, int64_t pitch, int rows, const Places& at, int64_t channel,
            int64_t count) {
  const bool last = channel + count == f.out.channels;
  // a last vector that fits is whole: what is beyond the channels is zero in tile, scale and shift
  const int64_t whole = last && channel % kLanes == 0 ? round_up(count, kLanes) : count / kLanes * kLanes;
  for (int r = 0; r < rows; ++r, tile += pitch) {
    const T* add = f.add.data ? f.add.pixel(at.out[r]) + channel : nullptr;
    const T* up = f.up.data ? f.up.pixel(at.up[r]) + channel : nullptr;
    T* y = f.out.pixel(at.out[r]) + channel;
    for (int64_t c = 0; c < whole; c += kLanes) store16(y + c, finished(f, tile, up, add, channel, c));
    if (whole < count) {
      T rest[kLanes];
      store16(rest, finished(f, tile, up, add, channel, whole));
      for (int64_t c = whole; c < count; ++c) y[c] = rest[c - whole];
    }
    if (last) {
      for (int64_t c = whole < count ? count : whole; c < f.out.pitch - channel; ++c) y[c] = T{};
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
      store16(gates[r] + c, difference * load16(blend.logits + column + c));
      for (int64_t i = c; i < c + kLanes; ++i) gates[r][i] = 1 / (1 + __builtin_expf(-gates[r][i]));
    }
  }
}

// kNative: this CPU multiplies bfloat16 by itself.
template <typename T>
RowFunctions<T> row_functions() {
  return {multiply<T, false>, pack_aligned<T>, pack_ragged<T>, finish<T>, blend};
}
template <typename T>
RowFunctions<T> native_row_functions() {
  return {multiply<T, true>, pack_aligned<T>, pack_ragged<T>, finish<T>, blend};
}
