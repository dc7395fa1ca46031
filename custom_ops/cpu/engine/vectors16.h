// Sixteen channels at a time, whichever vectors this CPU has: float32 in registers, T in memory. For the kernels that
// for_each_target.h compiles: no include guard.
#include "cpu/vectors.h"

constexpr int kPartLanes = VECTOR_BYTES / 4, kParts = kLanes / kPartLanes;
typedef Vector<float>::type Floats;
typedef uint16_t HalfLanes __attribute__((vector_size(VECTOR_BYTES / 2)));
typedef uint32_t WholeLanes __attribute__((vector_size(VECTOR_BYTES)));

// Taps of a 3x3 window, whose filters stay in AVX-512's registers for a run of pixels; others have too few registers.
constexpr int kHeldTaps = VECTOR_BYTES == 64 ? 9 : 0;

struct V16 {
  Floats part[kParts];
};

inline Floats splat(float value) { return value - Floats{}; }
inline WholeLanes splat_bits(uint32_t value) { return value - WholeLanes{}; }

inline Floats load_part(const float* from) { return load(from); }
inline Floats load_part(const bfloat16* from) {
  HalfLanes half;
  __builtin_memcpy(&half, from, sizeof half);
  return (Floats)(__builtin_convertvector(half, WholeLanes) << 16);
}

inline void store_part(float* to, Floats value) { store(to, value); }
// Rounds to the nearest, ties to even; a NaN stays one.
inline void store_part(bfloat16* to, Floats value) {
  const WholeLanes bits = (WholeLanes)value, quiet = (bits >> 16) | 0x40;
  const WholeLanes rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
  const HalfLanes half = __builtin_convertvector(value == value ? rounded : quiet, HalfLanes);
  __builtin_memcpy(to, &half, sizeof half);
}

template <typename T>
inline V16 load16(const T* from) {
  V16 value;
  for (int i = 0; i < kParts; ++i) value.part[i] = load_part(from + i * kPartLanes);
  return value;
}
template <typename T>
inline void store16(T* to, const V16& value) {
  for (int i = 0; i < kParts; ++i) store_part(to + i * kPartLanes, value.part[i]);
}

inline V16 operator+(V16 a, const V16& b) {
  for (int i = 0; i < kParts; ++i) a.part[i] += b.part[i];
  return a;
}
inline V16 operator-(V16 a, const V16& b) {
  for (int i = 0; i < kParts; ++i) a.part[i] -= b.part[i];
  return a;
}
inline V16 operator*(V16 a, const V16& b) {
  for (int i = 0; i < kParts; ++i) a.part[i] *= b.part[i];
  return a;
}
inline V16 larger(V16 a, const V16& b) {  // a NaN in a passes
  for (int i = 0; i < kParts; ++i) a.part[i] = a.part[i] < b.part[i] ? b.part[i] : a.part[i];
  return a;
}
inline V16 smaller(V16 a, const V16& b) {
  for (int i = 0; i < kParts; ++i) a.part[i] = a.part[i] > b.part[i] ? b.part[i] : a.part[i];
  return a;
}
inline V16 splat16(float value) {
  V16 result;
  for (int i = 0; i < kParts; ++i) result.part[i] = splat(value);
  return result;
}

// Fewer than a whole vector's elements.
template <typename T>
inline void copy_some(const T* from, int64_t count, T* to) {
#pragma GCC unroll 4
  for (int64_t part = kLanes / 2; part > 0; part /= 2) {
    if ((count & part) == 0) continue;
    __builtin_memcpy(to, from, part * sizeof(T));
    from += part, to += part;
  }
}

// GCC takes a loop of them apart, lane by lane.
inline Floats square_root(Floats x) {
#if VECTOR_BYTES > 16
  asm("vsqrtps %1, %0" : "=v"(x) : "v"(x));
#else
  for (int i = 0; i < kPartLanes; ++i) x[i] = __builtin_sqrtf(x[i]);
#endif
  return x;
}

// e^x to a rounding or two: 2^n times a polynomial of the rest r of x, |r| <= ln(2) / 2 (Cephes' coefficients).
inline Floats exponential(Floats x) {
  x = x < -87 ? splat(-87) : x;
  const Floats rounds = splat(0x1.8p23f), shifted = x * splat(0x1.715476p0f) + rounds, n = shifted - rounds;
  const Floats r = x - n * splat(0.693359375f) - n * splat(-2.12194440e-4f);
  Floats y = splat(1.9875691500e-4f);
  for (float next : {1.3981999507e-3f, 8.3334519073e-3f, 4.1665795894e-2f, 1.6666665459e-1f, 5.0000001201e-1f}) {
    y = y * r + splat(next);
  }
  y = (y * r * r + r + splat(1)) * (Floats)(((WholeLanes)shifted + 127) << 23);  // its lowest bits are n
  return x > 88 ? splat(__builtin_inff()) : y;
}

// See Paddle's functions of these names. By itself, so that the loops of the other activations stay small.
__attribute__((noinline)) inline V16 curve(V16 x, Act act) {
  for (Floats& value : x.part) {
    Floats gate;
    if (act == Act::kSigmoid || act == Act::kSwish) {
      gate = splat(1) / (splat(1) + exponential(-value));
    } else {
      gate = value * splat(1 / 6.0f) + splat(0.5f);
      gate = gate < 0 ? Floats{} : gate;
      gate = gate > 1 ? splat(1) : gate;
    }
    value = act == Act::kSwish || act == Act::kHardswish ? value * gate : gate;
  }
  return x;
}

inline V16 limit(const V16& x, Act act) {
  if (act == Act::kNone) return x;
  const V16 positive = larger(x, splat16(0));
  return act == Act::kRelu ? positive : smaller(positive, splat16(6));
}

inline V16 activate(const V16& x, Act act) { return is_limit(act) ? limit(x, act) : curve(x, act); }
