// Kernels that are right or wrong on purpose: they test the emulation itself.
#pragma once

#include "device.cuh"

namespace toys {

using namespace ppeffconv::cuda;

// Every thread takes its neighbour's number; without the barrier what it finds depends on who came first.
template <bool kBarrier>
__global__ void neighbour(float* data) {
  SHARED_ARRAY(float, shared, 64);
  const int me = threadIdx.x;
  shared[me] = 0.5f;
  __syncthreads();
  shared[me] = data[me];
  if (kBarrier) __syncthreads();
  data[me] = shared[(me + 1) % 64];
}

// All blocks write one number.
__global__ void blocks_race(float* data) { data[0] = blockIdx.x; }

__global__ void butterfly(float* data) {
  float sum = data[threadIdx.x];
  for (int mask = 16; mask > 0; mask /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, mask);
  data[threadIdx.x] = sum;
}

__global__ void uninitialised(float* data) {
  SHARED_ARRAY(float, shared, 64);
  data[threadIdx.x] = shared[threadIdx.x];
}

__global__ void deadlock(float*) {
  if (threadIdx.x) __syncthreads();
}

__global__ void divergence(float*) {
  if (threadIdx.x) {
    __syncthreads();
  } else {
    __syncthreads();
  }
}

__global__ void out_of_bounds(float* data) { data[threadIdx.x + 1] = 0; }

__global__ void out_of_shared(float* data) {
  SHARED_ARRAY(float, shared, 64);
  shared[threadIdx.x + 1] = 0;
  data[threadIdx.x] = 0;
}

__global__ void misaligned(float* data) { store<2>(data, data + 1); }

// `data` holds 64 numbers.
inline void run(int64_t which, float* data) {
  const auto start = [&](void (*kernel)(float*), unsigned blocks = 1, unsigned threads = 64, size_t shared = 0) {
    launch(kernel, dim3(blocks), dim3(threads), shared, nullptr, data);
  };
  switch (which) {
    case 0: return start(neighbour<true>);
    case 1: return start(neighbour<false>);
    case 2: return start(blocks_race, 5, 1);
    case 3: return start(butterfly);
    case 4: return start(uninitialised);
    case 5: return start(deadlock);
    case 6: return start(divergence);
    case 7: return start(out_of_bounds);
    case 8: return start(out_of_shared);
    case 9: return start(misaligned, 1, 1);
    case 10: return start(butterfly, 1, 2048);
    case 11: return start(butterfly, 1, 64, 49 << 10);
    case 12: return start(butterfly, 0);
  }
}

}  // namespace toys
