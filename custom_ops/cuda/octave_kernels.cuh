// The exchange between octaves: 2x2 sums and means of planes with an odd last row or column cut, and their opposites.
#pragma once

#include "device.cuh"

namespace ppeffconv::cuda::octave {

// Planes [H, W] beside planes of half the size, rounded up.
struct Geometry {
  int64_t planes;
  int height, width;

  __host__ __device__ int half_height() const { return (height + 1) / 2; }
  __host__ __device__ int half_width() const { return (width + 1) / 2; }
};

// A thread's place: a plane, and `kWide` pixels of its larger image from an even column.
template <int kWide>
struct Place {
  int64_t plane;
  int row, column;

  __device__ Place(int columns, int tiles) {
    BlockCoordinates block;
    const int item = block.next(tiles) * blockDim.x + threadIdx.x, per_row = ceil_div(columns, kWide);
    plane = int64_t(block.last()) * blockDim.y + threadIdx.y;
    row = item / per_row;
    column = item % per_row * kWide;
  }
};

// small = the sum of four, or with kMean the mean of those that exist. kWide: 2, or 4 in packs.
template <typename T, bool kMean, int kWide>
__global__ void __launch_bounds__(128) reduce(Geometry g, int tiles, const T* __restrict__ large,
                                              T* __restrict__ small) {
  const Place<kWide> at(g.width, tiles);
  if (at.plane >= g.planes || at.row >= g.half_height()) return;
  const int rows = min(2, g.height - 2 * at.row), columns = min(kWide, g.width - at.column);
  const T* const from = large + (at.plane * g.height + 2 * at.row) * g.width + at.column;
  float sum[kWide / 2] = {};
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    float line[kWide] = {};
    if (i < rows) {
      if constexpr (kWide == 4) {
        load<kWide>(from + i * g.width, line);
      } else {
#pragma unroll
        for (int j = 0; j < kWide; ++j) line[j] = j < columns ? to_float(from[i * g.width + j]) : 0.f;
      }
    }
#pragma unroll
    for (int j = 0; j < kWide; ++j) sum[j / 2] += line[j];
  }
  T* const to = small + (at.plane * g.half_height() + at.row) * g.half_width() + at.column / 2;
#pragma unroll
  for (int j = 0; j < kWide / 2; ++j) {
    if (kMean) sum[j] /= rows * min(2, columns - 2 * j);
  }
  if constexpr (kWide == 4) {
    store<kWide / 2>(sum, to);
  } else {
    assign(*to, sum[0]);
  }
}

// large = the value of small above it, plus `addend` if there is one; with kMean only that pixel's share in the mean.
template <typename T, bool kMean, int kWide>
__global__ void __launch_bounds__(128) expand(Geometry g, int tiles, const T* __restrict__ addend,
                                              const T* __restrict__ small, T* __restrict__ large) {
  const Place<kWide> at(g.width, tiles);
  if (at.plane >= g.planes || at.row >= g.height) return;
  const int columns = min(kWide, g.width - at.column), rows = min(2, g.height - at.row / 2 * 2);
  const int64_t offset = (at.plane * g.height + at.row) * g.width + at.column;
  const T* const from = small + (at.plane * g.half_height() + at.row / 2) * g.half_width() + at.column / 2;
  float line[kWide] = {};
  if (!kMean && addend) {
    if constexpr (kWide == 4) {
      load<kWide>(addend + offset, line);
    } else {
#pragma unroll
      for (int j = 0; j < kWide; ++j) line[j] = j < columns ? to_float(addend[offset + j]) : 0.f;
    }
  }
#pragma unroll
  for (int j = 0; j < kWide; ++j) {
    if (j < columns) line[j] += to_float(from[j / 2]) / (kMean ? rows * min(2, columns - j / 2 * 2) : 1);
  }
  if constexpr (kWide == 4) {
    store<kWide>(line, large + offset);
  } else {
#pragma unroll
    for (int j = 0; j < kWide; ++j) {
      if (j < columns) assign(large[offset + j], line[j]);
    }
  }
}

struct Grid {
  dim3 grid, block;
  int tiles;

  Grid(int64_t planes, int rows, int columns, int wide) {
    const int items = plane_size(rows, ceil_div(columns, wide));
    block.x = std::min(128, next_power_of_two(items));
    block.y = 128 / block.x;
    tiles = ceil_div<int>(items, block.x);
    grid = linear_grid(tiles * ceil_div<int64_t>(planes, block.y));
  }
};

template <bool kMean, typename T>
void launch_reduce(const Geometry& g, const T* large, T* small, cudaStream_t stream) {
  plane_size(g.height, g.width);
  const bool wide = packs<4, T>(g.width, {large}) && packs<2, T>(g.half_width(), {small});
  const Grid grid(g.planes, g.half_height(), g.width, wide ? 4 : 2);
  launch(wide ? reduce<T, kMean, 4> : reduce<T, kMean, 2>, grid.grid, grid.block, 0, stream, g, grid.tiles, large,
         small);
}

template <bool kMean, typename T>
void launch_expand(const Geometry& g, const T* addend, const T* small, T* large, cudaStream_t stream) {
  plane_size(g.height, g.width);
  const bool wide = packs<4, T>(g.width, {large, addend});
  const Grid grid(g.planes, g.height, g.width, wide ? 4 : 2);
  launch(wide ? expand<T, kMean, 4> : expand<T, kMean, 2>, grid.grid, grid.block, 0, stream, g, grid.tiles, addend,
         small, large);
}

// Average pooling 2x2 with ceil: a window at the border averages what it has.
template <typename T>
void pool_forward(const Geometry& g, const T* x, T* y, cudaStream_t stream) {
  launch_reduce<true>(g, x, y, stream);
}

template <typename T>
void pool_backward(const Geometry& g, const T* dy, T* dx, cudaStream_t stream) {
  launch_expand<true>(g, static_cast<const T*>(nullptr), dy, dx, stream);
}

// y = nearest-upsampled b, plus a unless it is null; a's gradient is dy itself.
template <typename T>
void upsample_add_forward(const Geometry& g, const T* a, const T* b, T* y, cudaStream_t stream) {
  launch_expand<false>(g, a, b, y, stream);
}

template <typename T>
void upsample_add_backward(const Geometry& g, const T* dy, T* db, cudaStream_t stream) {
  launch_reduce<false>(g, dy, db, stream);
}

}  // namespace ppeffconv::cuda::octave
