// Decoupled dynamic filtering: the forward pass, and the input's gradient for ddf_backward_kernels.cuh.
#pragma once

#include "device.cuh"

namespace ppeffconv::cuda::ddf {

struct Geometry {
  int64_t batch, channels;
  int height, width, out_height, out_width;
  int kernel, stride, dilation;

  __host__ __device__ int taps() const { return kernel * kernel; }
  __host__ __device__ int padding() const { return kernel / 2 * dilation; }
  __host__ __device__ int plane() const { return height * width; }
  __host__ __device__ int out_plane() const { return out_height * out_width; }
};

template <bool kAdd>
__device__ __forceinline__ float combine(float channel, float spatial) {
  return kAdd ? channel + spatial : channel * spatial;
}

// k = 3, stride and dilation 1, rows of whole packs. A thread keeps the filters of four pixels in registers and goes
// through a chunk of channels; the pixels beside its own come from the first-level cache.
constexpr int kRowChannels = 32, kRowPixels = 4, kRowPitch = 12;

template <typename T, bool kAdd>
__global__ void __launch_bounds__(128) rows(Geometry g, int tiles_x, int tiles_y, int chunks, const T* __restrict__ x,
                                            const T* __restrict__ channel, const T* __restrict__ spatial,
                                            T* __restrict__ y) {
  SHARED_ARRAY(float, weights, kRowChannels * kRowPitch);
  BlockCoordinates block;
  const int first = block.next(chunks) * kRowChannels;
  const int column = (block.next(tiles_x) * blockDim.x + threadIdx.x) * kRowPixels;
  const int row = block.next(tiles_y) * blockDim.y + threadIdx.y;
  const int64_t b = block.last();
  const int count = min(kRowChannels, int(g.channels - first));
  const int plane = g.plane();
  for (int i = thread_number(); i < count * 9; i += thread_count()) {
    weights[i / 9 * kRowPitch + i % 9] = to_float(channel[(b * g.channels + first) * 9 + i]);
  }
  __syncthreads();
  if (column >= g.width || row >= g.height) return;

  const int pixel = row * g.width + column;
  float f[9][kRowPixels];
#pragma unroll
  for (int t = 0; t < 9; ++t) load<kRowPixels>(spatial + (b * 9 + t) * plane + pixel, f[t]);
  for (int c = threadIdx.z; c < count; c += blockDim.z) {
    const int64_t base = (b * g.channels + first + c) * plane + pixel;
    float sum[kRowPixels] = {};
#pragma unroll
    for (int i = 0; i < 3; ++i) {
      float line[kRowPixels + 2] = {};
      if (unsigned(row + i - 1) < unsigned(g.height)) {
        const T* from = x + base + (i - 1) * g.width;
        load<kRowPixels>(from, line + 1);
        if (column > 0) line[0] = to_float(from[-1]);
        if (column + kRowPixels < g.width) line[kRowPixels + 1] = to_float(from[kRowPixels]);
      }
#pragma unroll
      for (int j = 0; j < 3; ++j) {
        const float w = weights[c * kRowPitch + i * 3 + j];
#pragma unroll
        for (int p = 0; p < kRowPixels; ++p) sum[p] += combine<kAdd>(w, f[i * 3 + j][p]) * line[p + j];
      }
    }
    store<kRowPixels>(sum, y + base);
  }
}

// Any k, stride and dilation: a thread sums the taps of one pixel for eight channels, which share the reads of the
// spatial filter. kGradient: dx from dy, gathered from the outputs that used the pixel.
constexpr int kTapChannels = 8, kTapStage = 256;

template <typename T, bool kAdd, bool kGradient>
__global__ void __launch_bounds__(256) taps(Geometry g, int tiles_x, int tiles_y, int chunks,
                                            const T* __restrict__ source, const T* __restrict__ channel,
                                            const T* __restrict__ spatial, T* __restrict__ result) {
  SHARED_ARRAY(float, weights, kTapStage * kTapChannels);
  BlockCoordinates block;
  const int first = block.next(chunks) * kTapChannels;
  const int column = block.next(tiles_x) * blockDim.x + threadIdx.x;
  const int row = block.next(tiles_y) * blockDim.y + threadIdx.y;
  const int64_t b = block.last();
  const int count = min(kTapChannels, int(g.channels - first));
  const int height = kGradient ? g.height : g.out_height, width = kGradient ? g.width : g.out_width;
  const bool inside = column < width && row < height;
  const int64_t source_plane = kGradient ? g.out_plane() : g.plane();
  const T* const from = source + (b * g.channels + first) * source_plane;

  float sum[kTapChannels] = {};
  for (int base = 0; base < g.taps(); base += kTapStage) {
    const int staged = min(kTapStage, g.taps() - base);
    __syncthreads();
    for (int i = thread_number(); i < staged * kTapChannels; i += thread_count()) {
      const int r = i % kTapChannels, tap = base + i / kTapChannels;
      weights[i] = r < count ? to_float(channel[(b * g.channels + first + r) * g.taps() + tap]) : 0.f;
    }
    __syncthreads();
    for (int tap = 0; inside && tap < staged; ++tap) {
      const int i = (base + tap) / g.kernel, j = (base + tap) % g.kernel;
      int offset, filter;  // of the pixel under the tap, and of the pixel whose filter it is
      if (kGradient) {
        const int top = row + g.padding() - i * g.dilation, left = column + g.padding() - j * g.dilation;
        if (top < 0 || left < 0 || top % g.stride || left % g.stride) continue;
        if (top / g.stride >= g.out_height || left / g.stride >= g.out_width) continue;
        offset = filter = top / g.stride * g.out_width + left / g.stride;
      } else {
        const int top = row * g.stride - g.padding() + i * g.dilation;
        const int left = column * g.stride - g.padding() + j * g.dilation;
        if (unsigned(top) >= unsigned(g.height) || unsigned(left) >= unsigned(g.width)) continue;
        offset = top * g.width + left;
        filter = row * g.out_width + column;
      }
      const float f = to_float(spatial[(b * g.taps() + base + tap) * g.out_plane() + filter]);
#pragma unroll
      for (int r = 0; r < kTapChannels; ++r) {
        if (r < count) {
          const float value = to_float(from[r * source_plane + offset]);
          sum[r] += combine<kAdd>(weights[tap * kTapChannels + r], f) * value;
        }
      }
    }
  }
  if (!inside) return;
#pragma unroll
  for (int r = 0; r < kTapChannels; ++r) {
    const int64_t plane = int64_t(height) * width;
    if (r < count) assign(result[(b * g.channels + first + r) * plane + row * width + column], sum[r]);
  }
}

// The numbers of pixels must fit 32 bits, also with the padding around.
inline void check(const Geometry& g) {
  plane_size(int64_t(g.height) + int64_t(g.kernel) * g.dilation, 1);
  plane_size(int64_t(g.width) + int64_t(g.kernel) * g.dilation, 1);
  plane_size(g.height, g.width);
  plane_size(g.kernel, g.kernel);
}

template <bool kGradient, typename T>
void launch_taps(const Geometry& g, bool add, const T* source, const T* channel, const T* spatial, T* result,
                 cudaStream_t stream) {
  const int height = kGradient ? g.height : g.out_height, width = kGradient ? g.width : g.out_width;
  const dim3 block = tile_block(width, height, 256);
  const int tiles_x = ceil_div<int>(width, block.x), tiles_y = ceil_div<int>(height, block.y);
  const int chunks = ceil_div<int>(g.channels, kTapChannels);
  launch(add ? taps<T, true, kGradient> : taps<T, false, kGradient>,
         linear_grid(g.batch * tiles_y * tiles_x * chunks), block, 0, stream, g, tiles_x, tiles_y, chunks, source,
         channel, spatial, result);
}

template <typename T>
void forward(const Geometry& g, bool add, const T* x, const T* channel, const T* spatial, T* y, cudaStream_t stream) {
  check(g);
  if (g.kernel != 3 || g.stride != 1 || g.dilation != 1 || !packs<kRowPixels, T>(g.width, {x, spatial, y})) {
    return launch_taps<false>(g, add, x, channel, spatial, y, stream);
  }
  dim3 block(std::min(16, next_power_of_two(g.width / kRowPixels)));
  block.y = std::min<int>(128 / block.x, next_power_of_two(g.height));
  block.z = std::min<int>(128 / block.x / block.y, kRowChannels);
  const int tiles_x = ceil_div<int>(g.width / kRowPixels, block.x), tiles_y = ceil_div<int>(g.height, block.y);
  const int chunks = ceil_div<int>(g.channels, kRowChannels);
  launch(add ? rows<T, true> : rows<T, false>, linear_grid(g.batch * tiles_y * tiles_x * chunks), block, 0, stream, g,
         tiles_x, tiles_y, chunks, x, channel, spatial, y);
}

}  // namespace ppeffconv::cuda::ddf
