// The gradients of decoupled dynamic filtering.
//
// A block owns a tile of output pixels and goes through a range of channels: dspatial gathers in registers, dchannel is
// summed over the tile per channel. Both go to scratch, one part per range of channels or per tile, which a second pass
// adds up in a fixed order. With k = 3 and stride 1 the same reads also give dx; else `taps` computes it.
#pragma once

#include "ddf_kernels.cuh"

namespace ppeffconv::cuda::ddf {

constexpr int kGroup = 9;    // taps that a block handles, in registers
constexpr int kStaged = 16;  // channels between two synchronisations
constexpr int kMaxWarps = 8;

// Sums nine values over a warp with 12 shuffles instead of 45: at each step two lanes share out the values, so that
// in the end every lane holds the sum of one, whose number is returned.
__device__ __forceinline__ int warp_sums(float (&values)[kGroup]) {
  const int lane = thread_number() % kWarp;
  constexpr int kLeft[] = {9, 5, 3, 2, 1, 1};
#pragma unroll
  for (int step = 0; step < 5; ++step) {
    const int bit = 16 >> step, half = kLeft[step + 1], pairs = kLeft[step] - half;
    const bool upper = lane & bit;
#pragma unroll
    for (int i = 0; i < half; ++i) {
      const float sent = i < pairs && !upper ? values[i + half] : values[i];
      const float kept = i < pairs && upper ? values[i + half] : values[i];
      values[i] = kept + __shfl_xor_sync(0xffffffffu, sent, bit);
    }
  }
  int number = 0;
#pragma unroll
  for (int step = 4; step >= 0; --step) {
    const int half = kLeft[step + 1];
    if ((lane & 16 >> step) && number < kLeft[step] - half) number += half;
  }
  return number;
}

struct Parts {
  int tiles_x, tiles_y, groups, ranges, range;  // `range` channels per block
  float *channel, *spatial;                     // [tiles, B, C, k * k] and [ranges, B, k * k, OH, OW]
};

template <typename T, bool kAdd, bool kInput>
__global__ void __launch_bounds__(256, 2) backward_tiles(Geometry g, Parts parts, const T* __restrict__ x,
                                                         const T* __restrict__ channel, const T* __restrict__ spatial,
                                                         const T* __restrict__ dy, T* __restrict__ dx) {
  SHARED_ARRAY(float, weights, kStaged * kGroup);
  SHARED_ARRAY(float, sums, kMaxWarps * kStaged * kGroup);
  BlockCoordinates block;
  const int range = block.next(parts.ranges), group = block.next(parts.groups);
  const int tile_x = block.next(parts.tiles_x), tile_y = block.next(parts.tiles_y);
  const int64_t b = block.last();
  const int column = tile_x * blockDim.x + threadIdx.x, row = tile_y * blockDim.y + threadIdx.y;
  const bool inside = column < g.out_width && row < g.out_height;
  const int pixel = row * g.out_width + column;
  const int first_tap = group * kGroup, taps = g.taps(), out_plane = g.out_plane();
  const int group_taps = kInput ? kGroup : min(kGroup, taps - first_tap);

  // The pixel under tap t lies at origin + shift(t), if bit t of `valid` is set.
  const int top = row * g.stride - g.padding(), left = column * g.stride - g.padding();
  const int origin = top * g.width + left;
  const auto down = [&](int t) { return (first_tap + t) / (kInput ? 3 : g.kernel) * g.dilation; };
  const auto right = [&](int t) { return (first_tap + t) % (kInput ? 3 : g.kernel) * g.dilation; };
  int shift[kGroup];
  unsigned valid = 0;
  float f[kGroup] = {}, df[kGroup] = {}, mirrored[kGroup] = {};
#pragma unroll
  for (int t = 0; t < kGroup; ++t) {
    shift[t] = down(t) * g.width + right(t);
    const bool under = unsigned(top + down(t)) < unsigned(g.height) && unsigned(left + right(t)) < unsigned(g.width);
    if (!inside || t >= group_taps || !under) continue;
    valid |= 1u << t;
    f[t] = to_float(spatial[(b * taps + first_tap + t) * out_plane + pixel]);
  }
  const auto at = [&](const T* image, int t) { return valid >> t & 1 ? to_float(image[origin + shift[t]]) : 0.f; };
  if (kInput) {  // a pixel was under tap t of the pixel that lies under its own tap 8 - t
#pragma unroll
    for (int t = 0; t < kGroup; ++t) mirrored[t] = at(spatial + (b * 9 + t) * out_plane, 8 - t);
  }

  const int warp = thread_number() / kWarp, warps = thread_count() / kWarp;
  const int64_t plane = g.plane();
  const int last = min(int(g.channels), (range + 1) * parts.range);
  for (int first = range * parts.range; first < last; first += kStaged) {
    const int count = min(kStaged, last - first);
    for (int i = thread_number(); i < count * kGroup; i += thread_count()) {
      const int c = i / kGroup, t = i % kGroup;
      const int64_t filter = (b * g.channels + first + c) * taps;
      weights[i] = t < group_taps ? to_float(channel[filter + first_tap + t]) : 0.f;
    }
    __syncthreads();
    for (int c = 0; c < count; ++c) {
      const int64_t image = b * g.channels + first + c;
      const T* const in = x + image * plane;
      const T* const gradient = dy + image * out_plane;
      const float own = inside ? to_float(gradient[pixel]) : 0.f;
      float dc[kGroup], dpixel = 0;
#pragma unroll
      for (int t = 0; t < kGroup; ++t) {
        const float w = weights[c * kGroup + t], product = own * at(in, t);
        df[t] += kAdd ? product : w * product;
        dc[t] = kAdd ? product : f[t] * product;
        if (kInput) dpixel += combine<kAdd>(w, mirrored[t]) * at(gradient, 8 - t);
      }
      if (kInput && inside) assign(dx[image * plane + pixel], dpixel);
      const int number = warp_sums(dc);
      sums[(warp * kStaged + c) * kGroup + number] = dc[0];
    }
    __syncthreads();
    for (int i = thread_number(); i < count * kGroup; i += thread_count()) {
      const int c = i / kGroup, t = i % kGroup;
      float sum = 0;
      for (int w = 0; w < warps; ++w) sum += sums[w * kStaged * kGroup + i];
      const int64_t part = (int64_t(tile_y) * parts.tiles_x + tile_x) * g.batch + b;
      if (t < group_taps) parts.channel[(part * g.channels + first + c) * taps + first_tap + t] = sum;
    }
  }
  if (!inside) return;
#pragma unroll
  for (int t = 0; t < kGroup; ++t) {
    const int64_t part = range * g.batch + b;
    if (t < group_taps) parts.spatial[(part * taps + first_tap + t) * out_plane + pixel] = df[t];
  }
}

// How the work is split, and the scratch that this takes. Few tiles: more ranges of channels, to fill a GPU.
class Backward {
 public:
  explicit Backward(const Geometry& g) : g_(g), block_(tile_block(g.out_width, g.out_height, 256)) {
    check(g);
    parts_.tiles_x = ceil_div<int>(g.out_width, block_.x);
    parts_.tiles_y = ceil_div<int>(g.out_height, block_.y);
    parts_.groups = ceil_div(g.taps(), kGroup);
    const int64_t blocks = g.batch * parts_.tiles_x * parts_.tiles_y * parts_.groups;
    const int64_t ranges = std::clamp<int64_t>(kEnough / blocks, 1, ceil_div<int64_t>(g.channels, kStaged));
    parts_.range = int(ceil_div<int64_t>(ceil_div<int64_t>(g.channels, ranges), kStaged)) * kStaged;
    parts_.ranges = int(ceil_div<int64_t>(g.channels, parts_.range));
  }

  // Floats of scratch.
  int64_t scratch() const { return tiles() * channel_size() + parts_.ranges * spatial_size(); }

  template <typename T>
  void operator()(bool add, const T* x, const T* channel, const T* spatial, const T* dy, T* dx, T* dchannel,
                  T* dspatial, float* scratch, cudaStream_t stream) const {
    const bool input = g_.kernel == 3 && g_.stride == 1;
    Parts parts = parts_;
    parts.channel = scratch;
    parts.spatial = scratch + tiles() * channel_size();
    const auto kernel = input ? (add ? backward_tiles<T, true, true> : backward_tiles<T, false, true>)
                              : (add ? backward_tiles<T, true, false> : backward_tiles<T, false, false>);
    launch(kernel, linear_grid(g_.batch * tiles() * parts.groups * parts.ranges), block_, 0, stream, g_, parts, x,
           channel, spatial, dy, dx);
    if (!input) launch_taps<true>(g_, add, dy, channel, spatial, dx, stream);
    launch_sum_parts(parts.channel, tiles(), channel_size(), dchannel, stream);
    launch_sum_parts(parts.spatial, parts.ranges, spatial_size(), dspatial, stream);
  }

 private:
  static constexpr int64_t kEnough = 1024;  // blocks that keep the largest GPUs busy

  int64_t tiles() const { return int64_t(parts_.tiles_x) * parts_.tiles_y; }
  int64_t channel_size() const { return g_.batch * g_.channels * g_.taps(); }
  int64_t spatial_size() const { return g_.batch * g_.taps() * g_.out_plane(); }

  Geometry g_;
  dim3 block_;
  Parts parts_{};
};

}  // namespace ppeffconv::cuda::ddf
