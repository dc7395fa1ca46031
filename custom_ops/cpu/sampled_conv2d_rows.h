// The inner loops of sampled_conv2d. Compiled once per instruction set by for_each_target.h: no include guard, no
// standard headers.
#include "vectors.h"

// The next channel's values are fetched meanwhile: planes lie too far apart for the processor to see it coming.
template <typename T>
void gather(const Sources& from, const T* x, int64_t plane, int64_t channels, int64_t taps, T* to) {
  constexpr int64_t kStep = 8;
  const int64_t count = taps * pixels<T>();
  const int64_t* offsets = from.offsets.data();
  for (int64_t c = 0; c < channels; ++c, x += plane, to += count) {
    for (int64_t i = 0; i < count; i += kStep) {
      __builtin_prefetch(x + plane + offsets[i]);
#pragma GCC unroll 8
      for (int64_t j = i; j < i + kStep; ++j) to[j] = x[offsets[j]];
    }
    for (int64_t i : from.outside) to[i] = 0;
  }
}

#if VECTOR_BYTES == 64
// The active lanes side by side, and back again; lanes not inside are neither read nor written.
inline Vector<float>::type compress(const float* from, int inside, int active) {
  const Vector<float>::type zeros = {};
  return __builtin_ia32_compresssf512_mask(__builtin_ia32_loadups512_mask(from, zeros, inside), zeros, active);
}
inline Vector<double>::type compress(const double* from, int inside, int active) {
  const Vector<double>::type zeros = {};
  return __builtin_ia32_compressdf512_mask(__builtin_ia32_loadupd512_mask(from, zeros, inside), zeros, active);
}
inline void expand(const float* from, float* to, int inside, int active) {
  const Vector<float>::type zeros = {};
  __builtin_ia32_storeups512_mask(to, __builtin_ia32_expandsf512_mask(load(from), zeros, active), inside);
}
inline void expand(const double* from, double* to, int inside, int active) {
  const Vector<double>::type zeros = {};
  __builtin_ia32_storeupd512_mask(to, __builtin_ia32_expanddf512_mask(load(from), zeros, active), inside);
}

// As gather, by whole vectors. What lies behind a chunk's values is overwritten by the next, or belongs to no position.
template <typename T>
void gather_chunks(const Sources& from, const T* x, int64_t plane, int64_t channels, int64_t taps, T* to) {
  for (int64_t c = 0; c < channels; ++c, x += plane, to += taps * pixels<T>()) {
    for (const Chunk& chunk : from.chunks) {
      __builtin_prefetch(x + plane + chunk.image);
      store(to + chunk.panel, compress(x + chunk.image, chunk.inside, chunk.active));
    }
  }
}

template <typename T>
void scatter_chunks(const std::vector<Chunk>& chunks, const T* sums, T* plane) {
  for (const Chunk& chunk : chunks) expand(sums + chunk.panel, plane + chunk.image, chunk.inside, chunk.active);
}
#endif

// R output channels times kVectors vectors of positions, in registers over the whole depth.
template <int R, typename T>
inline void multiply_block(int64_t depth, const T* weights, const T* panel, T* sums, int64_t pitch) {
  typedef typename Vector<T>::type V;
  constexpr int64_t kLanes = Vector<T>::kLanes;
  V sum[R][kVectors];
  for (int r = 0; r < R; ++r) {
    for (int n = 0; n < kVectors; ++n) sum[r][n] = V{};
  }
  for (int64_t k = 0; k < depth; ++k, weights += kRows, panel += pixels<T>()) {
    V pixel[kVectors];
    for (int n = 0; n < kVectors; ++n) pixel[n] = load(panel + n * kLanes);
    for (int r = 0; r < R; ++r) {
      for (int n = 0; n < kVectors; ++n) sum[r][n] += pixel[n] * weights[r];
    }
  }
  for (int r = 0; r < R; ++r, sums += pitch) {
    for (int n = 0; n < kVectors; ++n) store(sums + n * kLanes, load(sums + n * kLanes) + sum[r][n]);
  }
}

// AVX-512 has the 32 registers for all channels at once; the others take half of them, and fewer positions.
template <typename T>
void multiply(int64_t depth, const T* weights, const T* panel, T* sums, int64_t pitch) {
  constexpr int kBlock = VECTOR_BYTES == kAlign ? 8 : 4;
  for (int64_t i = 0; i < pixels<T>(); i += kVectors * Vector<T>::kLanes) {
    for (int64_t r = 0; r < kRows; r += kBlock) {
      multiply_block<kBlock>(depth, weights + r, panel + i, sums + r * pitch + i, pitch);
    }
  }
}

template <typename T>
RowFunctions<T> row_functions() {
#if VECTOR_BYTES == 64
  return {gather<T>, multiply<T>, gather_chunks<T>, scatter_chunks<T>};
#else
  return {gather<T>, multiply<T>, nullptr, nullptr};
#endif
}
