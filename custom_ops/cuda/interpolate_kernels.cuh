// sample_interpolate, y = M F + S (K * M F) with S = (1 - M) / (K * M + eps): the sums over the window.
//
// K is the outer product of a Gaussian with itself, so a tile of pixels is summed along rows, then along columns, in
// shared memory. `direct` instead visits the window of each pixel that was not sampled: the form for inference.
#pragma once

#include "device.cuh"

namespace ppeffconv::cuda::interpolate {

constexpr float kEps = 1e-5f;

struct Geometry {
  int64_t batch, channels;
  int height, width, radius;

  __host__ __device__ int plane() const { return height * width; }
};

// g(d) = sigma / sqrt(2 pi) exp(-(sigma d)^2 / 2) for d = 0 .. radius, and its slope in sigma.
struct Gaussian {
  float *weights, *slopes;
  int radius;  // without the taps that are below the precision of a float, beside the middle and beside eps
};

// All threads together; `memory` takes 2 (radius + 1) floats. Ends with a synchronisation.
__device__ __forceinline__ Gaussian make_gaussian(float sigma, int radius, float* memory) {
  constexpr float kScale = 0.3989422804f, kNegligible = 1e-9f;
  Gaussian k{memory, memory + radius + 1, 0};
  for (int d = thread_number(); d <= radius; d += thread_count()) {
    const float squared = sigma * sigma * d * d, decay = expf(-squared / 2);
    const float effect = max(1.f, squared) * decay * max(1.f, kScale * kScale * sigma * sigma / kEps);
    k.weights[d] = kScale * sigma * decay;
    k.slopes[d] = d == 0 || effect >= kNegligible ? kScale * (1 - squared) * decay : NAN;
  }
  __syncthreads();
  while (k.radius < radius && !isnan(k.slopes[k.radius + 1])) ++k.radius;
  return k;
}

constexpr int kPixels = 4;  // per thread, one below the other

// A tile of blockDim.x columns and kPixels * blockDim.y rows, with what the window reaches around it.
class Tile {
 public:
  // Floats of shared memory for the values, in whole packs as the sums behind them need, and with those sums. The odd
  // pitch of the values spreads the reads of sum_rows over the banks.
  static __host__ __device__ int64_t value_floats(int columns, int rows, int64_t radius) {
    return ((rows + 2 * radius) * (columns + 2 * radius + 1) + 3) / 4 * 4;
  }
  static int64_t floats(int columns, int rows, int64_t radius, int sums) {
    return value_floats(columns, rows, radius) + sums * (rows + 2 * radius) * columns;
  }

  __device__ Tile(float* memory, const Geometry& g, int tile_x, int tile_y, int radius)
      : g_(g), columns_(blockDim.x), rows_(kPixels * blockDim.y), radius_(radius), pitch_(columns_ + 2 * radius + 1),
        left_(tile_x * columns_), top_(tile_y * rows_), values_(memory),
        sums_(memory + value_floats(columns_, rows_, radius)) {}

  __device__ int column() const { return left_ + threadIdx.x; }
  __device__ int row(int p) const { return top_ + threadIdx.y * kPixels + p; }
  __device__ bool inside(int p) const { return column() < g_.width && row(p) < g_.height; }
  __device__ int pixel(int p) const { return row(p) * g_.width + column(); }
  __device__ float value(int p) const {
    return values_[(threadIdx.y * kPixels + p + radius_) * pitch_ + threadIdx.x + radius_];
  }

  // values = value(pixel), zero outside of the image.
  template <typename Value>
  __device__ __forceinline__ void fill(const Value& value) {
    for (int i = threadIdx.y; i < rows_ + 2 * radius_; i += blockDim.y) {
      const int y = top_ + i - radius_;
      for (int j = threadIdx.x; j < columns_ + 2 * radius_; j += blockDim.x) {
        const int x = left_ + j - radius_;
        const bool inside = unsigned(y) < unsigned(g_.height) && unsigned(x) < unsigned(g_.width);
        values_[i * pitch_ + j] = inside ? value(y * g_.width + x) : 0.f;
      }
    }
  }

  // Sums number `which`: of the values along each row, for four columns at a time.
  __device__ __forceinline__ void sum_rows(const float* weights, int which) {
    const int groups = columns_ / 4;
    for (int i = thread_number(); i < (rows_ + 2 * radius_) * groups; i += thread_count()) {
      const int row = i / groups, column = i % groups * 4;
      float sum[4] = {};
      slide(values_ + row * pitch_ + column, 1, weights, sum);
      store<4>(sum, sums(which) + row * columns_ + column);
    }
  }

  // result[p] += those sums along the columns.
  __device__ __forceinline__ void sum_columns(const float* weights, int which, float (&result)[kPixels]) const {
    slide(sums(which) + threadIdx.y * kPixels * columns_ + threadIdx.x, columns_, weights, result);
  }

 private:
  // sum[j] += sum over d of weights[|d|] * from[(radius + j + d) * step]: each value is read once for four results.
  __device__ __forceinline__ void slide(const float* from, int step, const float* weights, float (&sum)[4]) const {
    float w[4] = {};
    for (int s = 0; s < 2 * radius_ + 4; ++s) {
      w[3] = w[2], w[2] = w[1], w[1] = w[0];
      w[0] = s <= 2 * radius_ ? weights[abs(s - radius_)] : 0.f;
      const float value = from[s * step];
#pragma unroll
      for (int j = 0; j < 4; ++j) sum[j] += w[j] * value;
    }
  }

  __device__ float* sums(int which) const { return sums_ + which * (rows_ + 2 * radius_) * columns_; }

  const Geometry& g_;
  const int columns_, rows_, radius_, pitch_, left_, top_;
  float *const values_, *const sums_;
};

// Floats for a Gaussian, in whole packs.
__host__ __device__ constexpr int64_t gaussian_floats(int radius) { return (2 * (radius + 1ll) + 3) / 4 * 4; }

// How the image is cut: tiles, and ranges of channels so that few tiles still fill a GPU.
struct Plan {
  static constexpr int64_t kLimit = kSharedFloats - 256;  // 256: for the sum over a block

  dim3 block;
  int tiles_x, tiles_y, ranges, range;
  int64_t shared_floats;

  Plan(const Geometry& g, int sums) {
    plane_size(g.height, g.width);
    block = dim3(std::clamp(next_power_of_two(g.width), 8, kWarp));
    const int rows = std::max<int>(kWarp / block.x, next_power_of_two(ceil_div(g.height, kPixels)));
    block.y = std::min<int>(256 / block.x, rows);
    const auto needed = [&] {
      return gaussian_floats(g.radius) + Tile::floats(block.x, kPixels * block.y, g.radius, sums);
    };
    while (needed() > kLimit && block.x * block.y > kWarp) block.y /= 2;  // a wide window leaves room for fewer rows
    shared_floats = needed();
    if (shared_floats > kLimit) throw std::runtime_error("sample_interpolate: the window is too wide for a GPU");
    tiles_x = ceil_div<int>(g.width, block.x);
    tiles_y = ceil_div<int>(g.height, kPixels * block.y);
    range = int(ceil_div<int64_t>(g.channels, std::clamp<int64_t>(1024 / (g.batch * tiles()), 1, g.channels)));
    ranges = int(ceil_div<int64_t>(g.channels, range));
  }

  int64_t tiles() const { return int64_t(tiles_x) * tiles_y; }
  size_t shared_bytes() const { return shared_floats * sizeof(float); }
};

template <typename T>
__global__ void __launch_bounds__(256) forward_tiles(Geometry g, Plan plan, const T* __restrict__ features,
                                                     const float* __restrict__ mask, const float* __restrict__ sigma,
                                                     T* __restrict__ y) {
  SHARED_DYNAMIC(float, memory);
  const Gaussian k = make_gaussian(*sigma, g.radius, memory);
  BlockCoordinates block;
  const int first = block.next(plan.ranges) * plan.range;
  const int tile_x = block.next(plan.tiles_x), tile_y = block.next(plan.tiles_y);
  const int64_t n = block.last();
  Tile tile(memory + gaussian_floats(g.radius), g, tile_x, tile_y, k.radius);
  const float* const m = mask + n * g.plane();

  tile.fill([&](int pixel) { return m[pixel]; });
  __syncthreads();
  tile.sum_rows(k.weights, 0);
  float share[kPixels] = {}, kept[kPixels];
#pragma unroll
  for (int p = 0; p < kPixels; ++p) kept[p] = tile.value(p);
  __syncthreads();
  tile.sum_columns(k.weights, 0, share);
#pragma unroll
  for (int p = 0; p < kPixels; ++p) share[p] = (1 - kept[p]) / (share[p] + kEps);

  for (int c = first; c < min(first + plan.range, int(g.channels)); ++c) {
    const int64_t image = (n * g.channels + c) * g.plane();
    tile.fill([&](int pixel) { return m[pixel] * to_float(features[image + pixel]); });
    __syncthreads();
    tile.sum_rows(k.weights, 0);
#pragma unroll
    for (int p = 0; p < kPixels; ++p) kept[p] = tile.value(p);
    __syncthreads();
    float sum[kPixels] = {};
    tile.sum_columns(k.weights, 0, sum);
#pragma unroll
    for (int p = 0; p < kPixels; ++p) {
      if (tile.inside(p)) assign(y[image + tile.pixel(p)], kept[p] + share[p] * sum[p]);
    }
  }
}

// A thread fills one pixel in eight channels, or copies it if it was sampled; taps without a sample are left out.
constexpr int kDirectChannels = 8;

template <typename T>
__global__ void __launch_bounds__(256) direct(Geometry g, int tiles_x, int tiles_y, int chunks,
                                              const T* __restrict__ features, const float* __restrict__ mask,
                                              const float* __restrict__ sigma, T* __restrict__ y) {
  SHARED_DYNAMIC(float, memory);
  const Gaussian k = make_gaussian(*sigma, g.radius, memory);
  BlockCoordinates block;
  const int first = block.next(chunks) * kDirectChannels;
  const int column = block.next(tiles_x) * blockDim.x + threadIdx.x;
  const int row = block.next(tiles_y) * blockDim.y + threadIdx.y;
  const int64_t n = block.last();
  if (column >= g.width || row >= g.height) return;
  const int count = min(kDirectChannels, int(g.channels - first)), plane = g.plane(), pixel = row * g.width + column;
  const float* const m = mask + n * plane;
  const int64_t image = (n * g.channels + first) * plane;
  const float kept = m[pixel];
  float sum[kDirectChannels] = {}, weight = 0;
  if (kept != 1) {
    for (int v = max(row - k.radius, 0); v <= min(row + k.radius, g.height - 1); ++v) {
      for (int u = max(column - k.radius, 0); u <= min(column + k.radius, g.width - 1); ++u) {
        const int q = v * g.width + u;
        if (m[q] == 0) continue;
        const float w = k.weights[abs(v - row)] * k.weights[abs(u - column)] * m[q];
        weight += w;
#pragma unroll
        for (int r = 0; r < kDirectChannels; ++r) {
          if (r < count) sum[r] += w * to_float(features[image + int64_t(r) * plane + q]);
        }
      }
    }
  }
  const float share = (1 - kept) / (weight + kEps);
#pragma unroll
  for (int r = 0; r < kDirectChannels; ++r) {
    const int64_t i = image + int64_t(r) * plane + pixel;
    if (r < count) assign(y[i], (kept != 0 ? kept * to_float(features[i]) : 0.f) + share * sum[r]);
  }
}

template <typename T>
void forward(const Geometry& g, const T* features, const float* mask, const float* sigma, T* y, cudaStream_t stream) {
  const Plan plan(g, 1);
  launch(forward_tiles<T>, linear_grid(g.batch * plan.tiles() * plan.ranges), plan.block, plan.shared_bytes(), stream,
         g, plan, features, mask, sigma, y);
}

// The same numbers, by the form that is fast where most of the mask is exactly 0 or 1 and the window is small.
template <typename T>
void forward_inactive(const Geometry& g, const T* features, const float* mask, const float* sigma, T* y,
                      cudaStream_t stream) {
  plane_size(g.height, g.width);
  if (gaussian_floats(g.radius) > kSharedFloats) throw std::runtime_error("sample_interpolate: the window is too wide");
  const dim3 block = tile_block(g.width, g.height, 256);
  const int tiles_x = ceil_div<int>(g.width, block.x), tiles_y = ceil_div<int>(g.height, block.y);
  const int chunks = ceil_div<int>(g.channels, kDirectChannels);
  launch(direct<T>, linear_grid(g.batch * tiles_y * tiles_x * chunks), block, gaussian_floats(g.radius) * sizeof(float),
         stream, g, tiles_x, tiles_y, chunks, features, mask, sigma, y);
}

}  // namespace ppeffconv::cuda::interpolate
