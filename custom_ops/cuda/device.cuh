// What every kernel starts from: the CUDA runtime, or in tests its emulation on the CPU; half types as floats; launches
// and the shape of blocks.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <stdexcept>

#ifdef __CUDACC__
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#define SHARED_ARRAY(type, name, count) __shared__ __align__(16) type name[count]
#define SHARED_DYNAMIC(type, name)                                    \
  extern __shared__ __align__(16) unsigned char dynamic_memory[]; \
  type* const name = reinterpret_cast<type*>(dynamic_memory)

namespace ppeffconv::cuda {

template <typename... Parameters, typename... Arguments>
void launch(void (*kernel)(Parameters...), dim3 grid, dim3 block, size_t shared_bytes, cudaStream_t stream,
            Arguments... arguments) {
  kernel<<<grid, block, shared_bytes, stream>>>(arguments...);
  const cudaError_t error = cudaGetLastError();
  if (error != cudaSuccess) throw std::runtime_error(cudaGetErrorString(error));
}

}  // namespace ppeffconv::cuda
#else
#include "emulation.h"
#endif

namespace ppeffconv::cuda {

constexpr int kWarp = 32;
constexpr int64_t kSharedFloats = (48 << 10) / sizeof(float);  // what every device gives a block without being asked

__device__ __forceinline__ float to_float(float value) { return value; }
__device__ __forceinline__ float to_float(__half value) { return __half2float(value); }
__device__ __forceinline__ float to_float(__nv_bfloat16 value) { return __bfloat162float(value); }

__device__ __forceinline__ void assign(float& to, float value) { to = value; }
__device__ __forceinline__ void assign(__half& to, float value) { to = __float2half(value); }
__device__ __forceinline__ void assign(__nv_bfloat16& to, float value) { to = __float2bfloat16(value); }

// Elements that one instruction loads or stores; their address must be a multiple of its size.
template <typename T, int kCount>
struct alignas(sizeof(T) * kCount) Pack {
  T values[kCount];
};

template <int kCount, typename T>
__device__ __forceinline__ void load(const T* from, float* to) {
  const Pack<T, kCount> pack = *reinterpret_cast<const Pack<T, kCount>*>(from);
#pragma unroll
  for (int i = 0; i < kCount; ++i) to[i] = to_float(pack.values[i]);
}

template <int kCount, typename T>
__device__ __forceinline__ void store(const float* from, T* to) {
  Pack<T, kCount> pack;
#pragma unroll
  for (int i = 0; i < kCount; ++i) assign(pack.values[i], from[i]);
  *reinterpret_cast<Pack<T, kCount>*>(to) = pack;
}

// Whether rows of this width may be read in packs.
template <int kCount, typename T>
bool packs(int width, std::initializer_list<const T*> pointers) {
  return width % kCount == 0 && std::all_of(pointers.begin(), pointers.end(), [](const T* pointer) {
           return reinterpret_cast<uintptr_t>(pointer) % sizeof(Pack<T, kCount>) == 0;
         });
}

template <typename I>
__host__ __device__ constexpr I ceil_div(I a, I b) {
  return (a + b - 1) / b;
}

inline int next_power_of_two(int value) {
  int power = 1;
  while (power < value && power < 1 << 30) power *= 2;
  return power;
}

// All kernels count their blocks along x, where 2^31 - 1 fit; y and z end at 65535.
inline dim3 linear_grid(int64_t blocks) {
  if (blocks > std::numeric_limits<int32_t>::max()) throw std::runtime_error("the tensors are too large for a launch");
  return dim3(static_cast<unsigned>(blocks));
}

// Pixels of one plane are numbered in 32 bits, planes in 64.
inline int plane_size(int64_t height, int64_t width) {
  if (height * width > std::numeric_limits<int32_t>::max()) throw std::runtime_error("an image of 2^31 pixels or more");
  return static_cast<int>(height * width);
}

// Threads for a tile of pixels: rows of up to 32, whole warps, and no more of either than a small image has.
inline dim3 tile_block(int width, int height, int threads) {
  const int x = std::min(kWarp, next_power_of_two(width));
  return dim3(x, std::min(threads / x, std::max(next_power_of_two(height), kWarp / x)));
}

// Takes the index of a block apart, the fastest part first.
class BlockCoordinates {
 public:
  __device__ BlockCoordinates() : rest_(blockIdx.x) {}
  __device__ int next(int size) {
    const int coordinate = rest_ % size;
    rest_ /= size;
    return coordinate;
  }
  __device__ int last() const { return rest_; }

 private:
  unsigned rest_;
};

__device__ __forceinline__ int thread_number() {
  return threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
}
__device__ __forceinline__ int thread_count() { return blockDim.x * blockDim.y * blockDim.z; }

// result[i] = sum of parts[p][i], always in the same order.
template <typename T>
__global__ void __launch_bounds__(256) sum_parts(const float* __restrict__ parts, int64_t count, int64_t size,
                                                 T* __restrict__ result) {
  const int64_t i = int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= size) return;
  float sum = 0;
  for (int64_t p = 0; p < count; ++p) sum += parts[p * size + i];
  assign(result[i], sum);
}

template <typename T>
void launch_sum_parts(const float* parts, int64_t count, int64_t size, T* result, cudaStream_t stream) {
  launch(sum_parts<T>, linear_grid(ceil_div<int64_t>(size, 256)), dim3(256), 0, stream, parts, count, size, result);
}

}  // namespace ppeffconv::cuda
