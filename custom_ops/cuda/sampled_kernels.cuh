// The two kernels around the matrix product of a convolution that is computed at some positions only.
//
// A matrix has one row per position. Rows lie far apart in an image and columns far apart in a matrix, so that a tile
// goes through shared memory: 32 positions side by side towards the image, 32 columns side by side towards the matrix.
#pragma once

#include "device.cuh"

namespace ppeffconv::cuda::sampled {

struct Geometry {
  int64_t channels;
  int height, width, out_height, out_width;
  int kernel_h, kernel_w, stride_h, stride_w, padding_h, padding_w, dilation_h, dilation_w;

  __host__ __device__ int taps() const { return kernel_h * kernel_w; }
};

constexpr int kTile = 32, kPitch = kTile + 1, kRows = 8;

// rows[i, c * kh * kw + tap] = the pixel of x [N, C, H, W] under the tap, for positions[i] = (n * OH + oy) * OW + ox.
template <typename T>
__global__ void __launch_bounds__(kTile * kRows) gather_tiles(Geometry g, int column_tiles, int64_t count,
                                                              const T* __restrict__ x,
                                                              const int64_t* __restrict__ positions,
                                                              T* __restrict__ rows) {
  SHARED_ARRAY(T, tile, kTile * kPitch);
  BlockCoordinates block;
  const int64_t first_column = int64_t(block.next(column_tiles)) * kTile, columns = g.channels * g.taps();
  const int64_t first_row = int64_t(block.last()) * kTile, row = first_row + threadIdx.x;
  if (row < count) {
    const int64_t position = positions[row], line = position / g.out_width, n = line / g.out_height;
    const int top = int(line - n * g.out_height) * g.stride_h - g.padding_h;
    const int left = int(position - line * g.out_width) * g.stride_w - g.padding_w;
    for (int i = threadIdx.y; i < kTile && first_column + i < columns; i += kRows) {
      const int64_t column = first_column + i, c = column / g.taps();
      const int tap = int(column - c * g.taps());
      const int iy = top + tap / g.kernel_w * g.dilation_h, ix = left + tap % g.kernel_w * g.dilation_w;
      const bool inside = unsigned(iy) < unsigned(g.height) && unsigned(ix) < unsigned(g.width);
      T value;
      assign(value, 0.f);
      if (inside) value = x[((n * g.channels + c) * g.height + iy) * g.width + ix];
      tile[i * kPitch + threadIdx.x] = value;
    }
  }
  __syncthreads();
  const int64_t column = first_column + threadIdx.x;
  for (int i = threadIdx.y; i < kTile && first_row + i < count && column < columns; i += kRows) {
    rows[(first_row + i) * columns + column] = tile[threadIdx.x * kPitch + i];
  }
}

// y[n, o, oy, ox] = rows[i, o] for the same positions, each of which comes at most once; the rest of y stays.
template <typename T>
__global__ void __launch_bounds__(kTile * kRows) scatter_tiles(int column_tiles, int64_t count, int64_t columns,
                                                               int64_t plane, const T* __restrict__ rows,
                                                               const int64_t* __restrict__ positions,
                                                               T* __restrict__ y) {
  SHARED_ARRAY(T, tile, kTile * kPitch);
  BlockCoordinates block;
  const int64_t first_column = int64_t(block.next(column_tiles)) * kTile, first_row = int64_t(block.last()) * kTile;
  const int64_t column = first_column + threadIdx.x;
  for (int i = threadIdx.y; i < kTile && first_row + i < count && column < columns; i += kRows) {
    tile[i * kPitch + threadIdx.x] = rows[(first_row + i) * columns + column];
  }
  __syncthreads();
  const int64_t row = first_row + threadIdx.x;
  if (row >= count) return;
  const int64_t position = positions[row], n = position / plane;
  for (int i = threadIdx.y; i < kTile && first_column + i < columns; i += kRows) {
    y[(n * columns + first_column + i) * plane + position - n * plane] = tile[threadIdx.x * kPitch + i];
  }
}

template <typename T>
void gather(const Geometry& g, int64_t count, const T* x, const int64_t* positions, T* rows, cudaStream_t stream) {
  const int column_tiles = plane_size(ceil_div<int64_t>(g.channels * g.taps(), kTile), 1);
  launch(gather_tiles<T>, linear_grid(column_tiles * ceil_div<int64_t>(count, kTile)), dim3(kTile, kRows), 0, stream, g,
         column_tiles, count, x, positions, rows);
}

template <typename T>
void scatter(int64_t count, int64_t columns, int64_t plane, const T* rows, const int64_t* positions, T* y,
             cudaStream_t stream) {
  const int column_tiles = plane_size(ceil_div<int64_t>(columns, kTile), 1);
  launch(scatter_tiles<T>, linear_grid(column_tiles * ceil_div<int64_t>(count, kTile)), dim3(kTile, kRows), 0, stream,
         column_tiles, count, columns, plane, rows, positions, y);
}

}  // namespace ppeffconv::cuda::sampled
