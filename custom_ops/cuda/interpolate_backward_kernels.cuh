// The gradients of sample_interpolate.
//
// With Z = K * M F, D = K * M + eps, S = (1 - M) / D, h = S dy and u = K * h
//   dF = M (dy + u),   dM = a - q / D + K * dD,   a = sum_c F (dy + u),   q = sum_c dy Z,   dD = -q S / D,
//   dsigma = sum h (K' * M F) + sum dD (K' * M),   K' = dK / dsigma.
// Three kernels and a sum: D needs no channel; a, q and the first part of dsigma come from one walk over the channels,
// as parts for each range of them; the terms of dD need q of the pixels around and come last.
#pragma once

#include "interpolate_kernels.cuh"

namespace ppeffconv::cuda::interpolate {

struct Scratch {
  float *inverse;               // 1 / D, [N, H, W]
  float *feature_sum, *shared;  // a and q, [ranges, N, H, W]
  float *slopes;                // parts of dsigma, one for each block of both walks
};

__global__ void __launch_bounds__(256) inverse_tiles(Geometry g, Plan plan, const float* __restrict__ mask,
                                                     const float* __restrict__ sigma, float* __restrict__ inverse) {
  SHARED_DYNAMIC(float, memory);
  const Gaussian k = make_gaussian(*sigma, g.radius, memory);
  BlockCoordinates block;
  const int tile_x = block.next(plan.tiles_x), tile_y = block.next(plan.tiles_y);
  const int64_t plane = block.last() * int64_t(g.plane());
  Tile tile(memory + gaussian_floats(g.radius), g, tile_x, tile_y, k.radius);
  tile.fill([&](int pixel) { return mask[plane + pixel]; });
  __syncthreads();
  tile.sum_rows(k.weights, 0);
  __syncthreads();
  float sum[kPixels] = {};
  tile.sum_columns(k.weights, 0, sum);
#pragma unroll
  for (int p = 0; p < kPixels; ++p) {
    if (tile.inside(p)) inverse[plane + tile.pixel(p)] = 1 / (sum[p] + kEps);
  }
}

// The sum over a block, which thread 0 gets.
__device__ __forceinline__ float block_sum(float value) {
  SHARED_ARRAY(float, values, 256);
  const int me = thread_number();
  values[me] = value;
  __syncthreads();
  for (int half = thread_count() / 2; half > 0; half /= 2) {
    if (me < half) values[me] += values[me + half];
    __syncthreads();
  }
  return values[0];
}

// Sums 0 of the tile are those by weights, sums 1 those by slopes; this is K' * values.
__device__ __forceinline__ void sum_slopes(const Tile& tile, const Gaussian& k, float (&result)[kPixels]) {
  tile.sum_columns(k.slopes, 0, result);
  tile.sum_columns(k.weights, 1, result);
}

template <typename T>
__global__ void __launch_bounds__(256, 2) feature_tiles(Geometry g, Plan plan, Scratch scratch,
                                                        const T* __restrict__ features, const float* __restrict__ mask,
                                                        const float* __restrict__ sigma, const T* __restrict__ dy,
                                                        T* __restrict__ dfeatures) {
  SHARED_DYNAMIC(float, memory);
  const Gaussian k = make_gaussian(*sigma, g.radius, memory);
  BlockCoordinates block;
  const int range = block.next(plan.ranges), first = range * plan.range;
  const int tile_x = block.next(plan.tiles_x), tile_y = block.next(plan.tiles_y);
  const int64_t n = block.last();
  Tile tile(memory + gaussian_floats(g.radius), g, tile_x, tile_y, k.radius);
  const float *const m = mask + n * g.plane(), *const inverse = scratch.inverse + n * g.plane();
  float feature_sum[kPixels] = {}, shared[kPixels] = {}, slope = 0;

  for (int c = first; c < min(first + plan.range, int(g.channels)); ++c) {
    const int64_t image = (n * g.channels + c) * g.plane();
    tile.fill([&](int pixel) { return m[pixel] * to_float(features[image + pixel]); });
    __syncthreads();
    tile.sum_rows(k.weights, 0);
    tile.sum_rows(k.slopes, 1);
    __syncthreads();
    float filtered[kPixels] = {}, sloped[kPixels] = {}, spread[kPixels] = {}, h[kPixels];
    tile.sum_columns(k.weights, 0, filtered);
    sum_slopes(tile, k, sloped);
    tile.fill([&](int pixel) { return (1 - m[pixel]) * inverse[pixel] * to_float(dy[image + pixel]); });
    __syncthreads();
    tile.sum_rows(k.weights, 0);
#pragma unroll
    for (int p = 0; p < kPixels; ++p) h[p] = tile.value(p);
    __syncthreads();
    tile.sum_columns(k.weights, 0, spread);
#pragma unroll
    for (int p = 0; p < kPixels; ++p) {
      if (!tile.inside(p)) continue;
      const int pixel = tile.pixel(p);
      const float gradient = to_float(dy[image + pixel]), total = gradient + spread[p];
      assign(dfeatures[image + pixel], m[pixel] * total);
      feature_sum[p] += to_float(features[image + pixel]) * total;
      shared[p] += gradient * filtered[p];
      slope += h[p] * sloped[p];
    }
  }
#pragma unroll
  for (int p = 0; p < kPixels; ++p) {
    if (!tile.inside(p)) continue;
    const int64_t i = (range * g.batch + n) * g.plane() + tile.pixel(p);
    scratch.feature_sum[i] = feature_sum[p];
    scratch.shared[i] = shared[p];
  }
  slope = block_sum(slope);
  if (thread_number() == 0) scratch.slopes[blockIdx.x] = slope;
}

__global__ void __launch_bounds__(256) mask_tiles(Geometry g, Plan plan, Scratch scratch,
                                                  const float* __restrict__ mask, const float* __restrict__ sigma,
                                                  float* __restrict__ dmask, float* __restrict__ slopes) {
  SHARED_DYNAMIC(float, memory);
  const Gaussian k = make_gaussian(*sigma, g.radius, memory);
  BlockCoordinates block;
  const int tile_x = block.next(plan.tiles_x), tile_y = block.next(plan.tiles_y);
  const int64_t plane = block.last() * int64_t(g.plane()), size = g.batch * g.plane();
  Tile tile(memory + gaussian_floats(g.radius), g, tile_x, tile_y, k.radius);
  const auto sum_ranges = [&](const float* parts, int pixel) {
    float sum = 0;
    for (int range = 0; range < plan.ranges; ++range) sum += parts[range * size + plane + pixel];
    return sum;
  };

  tile.fill([&](int pixel) {
    const float inverse = scratch.inverse[plane + pixel];
    return -sum_ranges(scratch.shared, pixel) * (1 - mask[plane + pixel]) * inverse * inverse;
  });
  __syncthreads();
  tile.sum_rows(k.weights, 0);
  float dweight[kPixels], spread[kPixels] = {}, sloped[kPixels] = {}, slope = 0;
#pragma unroll
  for (int p = 0; p < kPixels; ++p) dweight[p] = tile.value(p);
  __syncthreads();
  tile.sum_columns(k.weights, 0, spread);
  tile.fill([&](int pixel) { return mask[plane + pixel]; });
  __syncthreads();
  tile.sum_rows(k.weights, 0);
  tile.sum_rows(k.slopes, 1);
  __syncthreads();
  sum_slopes(tile, k, sloped);
#pragma unroll
  for (int p = 0; p < kPixels; ++p) {
    if (!tile.inside(p)) continue;
    const int pixel = tile.pixel(p);
    const float direct = sum_ranges(scratch.shared, pixel) * scratch.inverse[plane + pixel];
    dmask[plane + pixel] = sum_ranges(scratch.feature_sum, pixel) - direct + spread[p];
    slope += dweight[p] * sloped[p];
  }
  slope = block_sum(slope);
  if (thread_number() == 0) slopes[blockIdx.x] = slope;
}

// One block adds up all parts of dsigma.
__global__ void __launch_bounds__(256) sum_sigma(const float* __restrict__ slopes, int64_t count,
                                                 float* __restrict__ dsigma) {
  float sum = 0;
  for (int64_t i = threadIdx.x; i < count; i += 256) sum += slopes[i];
  sum = block_sum(sum);
  if (threadIdx.x == 0) *dsigma = sum;
}

class Backward {
 public:
  explicit Backward(const Geometry& g) : g_(g), plan_(g, 2) {}

  // Floats of scratch.
  int64_t scratch() const { return (1 + 2 * plan_.ranges) * size() + blocks() * (plan_.ranges + 1); }

  template <typename T>
  void operator()(const T* features, const float* mask, const float* sigma, const T* dy, T* dfeatures, float* dmask,
                  float* dsigma, float* memory, cudaStream_t stream) const {
    Scratch scratch{memory, memory + size(), memory + (1 + plan_.ranges) * size(), nullptr};
    scratch.slopes = scratch.shared + plan_.ranges * size();
    const size_t shared = plan_.shared_bytes();
    launch(inverse_tiles, linear_grid(blocks()), plan_.block, shared, stream, g_, plan_, mask, sigma, scratch.inverse);
    launch(feature_tiles<T>, linear_grid(blocks() * plan_.ranges), plan_.block, shared, stream, g_, plan_, scratch,
           features, mask, sigma, dy, dfeatures);
    launch(mask_tiles, linear_grid(blocks()), plan_.block, shared, stream, g_, plan_, scratch, mask, sigma, dmask,
           scratch.slopes + blocks() * plan_.ranges);
    launch(sum_sigma, dim3(1), dim3(256), 0, stream, scratch.slopes, blocks() * (plan_.ranges + 1), dsigma);
  }

 private:
  int64_t size() const { return g_.batch * g_.plane(); }
  int64_t blocks() const { return g_.batch * plan_.tiles(); }

  Geometry g_;
  Plan plan_;
};

}  // namespace ppeffconv::cuda::interpolate
