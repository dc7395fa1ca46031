// Decoupled dynamic filtering on CPU: tiles of rows, staged so that the inner loops need no edges and no strides.
#pragma once

#include <omp.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "ddf_plan.h"

namespace ppeffconv::ddf {

// Channels that are staged together: they share a tile's spatial filters.
constexpr int64_t kGroup = 4;

template <typename T>
struct Channels {
  int64_t count, taps;
  const T* image;
  int64_t image_size;  // from one channel's staged rows to the next
  const T* channel;
  T* y;
  int64_t y_size;
};

template <typename T>
struct GradientChannels {
  int64_t count, taps;
  const T* image;
  int64_t image_size;
  const T* channel;
  const T* dy;
  int64_t dy_size;
  T *filter_gradient, *channel_gradient, *sums;
};

template <typename T>
struct RowFunctions {
  void (*stage)(const T* planes, int64_t count, int64_t height, int64_t width, const Staging&, T* scratch);
  void (*filter)(const Plan&, int64_t width, const T* filter, const Channels<T>&);
  void (*gradient)(const Plan&, int64_t width, const T* filter, const GradientChannels<T>&);
};

#define KERNELS "ddf_rows.h"
#include "for_each_target.h"
#undef KERNELS

template <typename T>
void stage_filters(const T* filters, const Geometry& g, const FilterStaging& to, T* scratch) {
  const int64_t width = g.out_width();
  for (int64_t row = to.first; row < to.last; ++row) {
    for (int64_t tap = 0; tap < to.taps; ++tap) {
      const T* from = filters + (tap * g.out_height() + row) * width;
      std::memcpy(scratch + to.offset(row, tap), from, width * sizeof(T));
    }
  }
}

// Channels per task. Many, because each task stages the filters anew; few enough that the rows which the next tile
// reads again are still in the second-level cache, and that every thread gets several tasks.
inline int64_t channel_block(const Geometry& g, int64_t tile_bytes, int64_t tiles) {
  const int64_t wanted = std::max(g.channels * tile_bytes / (384 << 10), 4 * omp_get_max_threads() / tiles);
  return round_up((g.channels + wanted) / (wanted + 1), kGroup);
}

template <typename T>
void forward(const Geometry& g, bool add, const T* x, const T* channel, const T* spatial, T* y) {
  const RowFunctions<T> run = PICK(row_functions<T>(add));
  const int64_t height = g.out_height(), width = g.out_width(), pitch = round_up(width, lanes<T>());
  const int64_t rows = tile_rows(height, g.taps() * pitch * sizeof(T), 96 << 10);
  const int64_t tiles = (height + rows - 1) / rows;
  const int64_t block = channel_block(g, std::min(rows * g.stride, g.height) * g.width * sizeof(T), g.batch * tiles);
  const int64_t blocks = (g.channels + block - 1) / block;
#pragma omp parallel
  {
    std::vector<T> image, filter;
#pragma omp for collapse(3) schedule(static)
    for (int64_t b = 0; b < g.batch; ++b) {
      for (int64_t part = 0; part < blocks; ++part) {
        for (int64_t t = 0; t < tiles; ++t) {
          const Tile tile{t * rows, std::min((t + 1) * rows, height)};
          const Staging in = stage_input<T>(g, tile);
          const FilterStaging weights{tile.begin, tile.end, 0, pitch, g.taps()};
          const Plan plan = forward_plan(g, tile, in, weights, 0, width);
          image.resize(kGroup * in.size());
          filter.resize(weights.size());
          stage_filters(spatial + b * g.taps() * height * width, g, weights, filter.data());
          const int64_t end = std::min((part + 1) * block, g.channels);
          for (int64_t c = part * block; c < end; c += kGroup) {
            const int64_t plane = b * g.channels + c, count = std::min(kGroup, end - c);
            run.stage(x + plane * g.height * g.width, count, g.height, g.width, in, image.data());
            run.filter(plan, width, filter.data(),
                       {count, g.taps(), image.data(), in.size(), channel + plane * g.taps(),
                        y + plane * height * width, height * width});
          }
        }
      }
    }
  }
}

}  // namespace ppeffconv::ddf
