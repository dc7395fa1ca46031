// Filter normalisation on CPU: (v - mean) / (std + eps) over the taps of each filter, times a scale.
#pragma once

#include <omp.h>

#include <algorithm>
#include <cstdint>
#include <vector>

namespace ppeffconv::filter_norm {

// From one tap to the next, and from one filter to the next.
struct Strides {
  int64_t tap, filter;
};

template <typename T>
struct TileFunctions {
  int64_t lanes;
  void (*gather)(const T* from, int64_t taps, const Strides&, int64_t count, T* tile);
  void (*scatter)(const T* tile, int64_t taps, const Strides&, int64_t count, T* to);
  void (*forward)(const T* x, int64_t taps, const Strides&, int64_t count, T eps, const T* scale, T* work, T* y);
  void (*backward)(const T* x, const T* dy, int64_t taps, const Strides&, int64_t count, T eps, const T* scale, T* work,
                   T* dx, T* scale_gradient);
};

#define KERNELS "filter_norm_tile.h"
#include "for_each_target.h"
#undef KERNELS

// Scratch of each thread, made where a lack of memory is an exception.
template <typename T>
class Scratch {
 public:
  explicit Scratch(int64_t size) : threads(omp_get_max_threads()), size_(size), data_(threads * size) {}
  T* mine() { return data_.data() + omp_get_thread_num() * size_; }

  const int threads;

 private:
  int64_t size_;
  std::vector<T> data_;
};

// Logits [outer, taps, inner]: a filter's taps are `inner` apart.
struct Geometry {
  int64_t outer, taps, inner;

  // Calls run(offset, strides, count) for tiles of up to `lanes` filters. Filters with their taps side by side lie
  // `taps` apart; else those of neighbouring pixels lie side by side.
  template <class Run>
  void for_tiles(int64_t lanes, const Run& run) const {
    const bool flat = inner == 1;
    const int64_t rows = flat ? 1 : outer, row = flat ? outer : inner, tiles = (row + lanes - 1) / lanes;
    const Strides at = flat ? Strides{1, taps} : Strides{inner, 1};
#pragma omp for schedule(static)
    for (int64_t i = 0; i < rows * tiles; ++i) {
      const int64_t first = i % tiles * lanes;
      run(i / tiles * taps * inner + first * at.filter, at, std::min(lanes, row - first));
    }
  }
};

template <typename T>
void forward(const Geometry& g, T scale, T eps, const T* x, T* y) {
  const TileFunctions<T> tile = PICK(tile_functions<T>());
  const std::vector<T> factors(g.taps * tile.lanes, scale);
  Scratch<T> work(g.taps * tile.lanes);
#pragma omp parallel num_threads(work.threads)
  g.for_tiles(tile.lanes, [&](int64_t offset, const Strides& at, int64_t count) {
    tile.forward(x + offset, g.taps, at, count, eps, factors.data(), work.mine(), y + offset);
  });
}

template <typename T>
void backward(const Geometry& g, T scale, T eps, const T* x, const T* dy, T* dx) {
  const TileFunctions<T> tile = PICK(tile_functions<T>());
  const std::vector<T> factors(g.taps * tile.lanes, scale);
  Scratch<T> work(2 * g.taps * tile.lanes);
#pragma omp parallel num_threads(work.threads)
  g.for_tiles(tile.lanes, [&](int64_t offset, const Strides& at, int64_t count) {
    tile.backward(x + offset, dy + offset, g.taps, at, count, eps, factors.data(), work.mine(), dx + offset, nullptr);
  });
}

// Logits [batch, channels, taps] with a scale per channel and tap. A task owns some channels of the whole batch, so
// that the gradient of their scales is summed in one order.
struct Channels {
  int64_t batch, channels, taps;

  int64_t size() const { return channels * taps; }

  template <typename T, class Run>
  void for_tiles(const TileFunctions<T>& tile, const T* scale, const Run& run) const {
    const Strides at{1, taps};
    const int64_t size = taps * tile.lanes;
    Scratch<T> scratch(4 * size);
#pragma omp parallel for schedule(static) num_threads(scratch.threads)
    for (int64_t c = 0; c < channels; c += tile.lanes) {
      const int64_t count = std::min(tile.lanes, channels - c);
      T *factors = scratch.mine(), *sums = factors + size, *work = sums + size;
      tile.gather(scale + c * taps, taps, at, count, factors);
      std::fill_n(sums, size, T(0));
      run(c * taps, at, count, factors, work, sums);
    }
  }
};

template <typename T>
void forward(const Channels& g, T eps, const T* x, const T* scale, T* y) {
  const TileFunctions<T> tile = PICK(tile_functions<T>());
  g.for_tiles(tile, scale, [&](int64_t offset, const Strides& at, int64_t count, const T* factors, T* work, T*) {
    for (int64_t b = 0; b < g.batch; ++b, offset += g.size())
      tile.forward(x + offset, g.taps, at, count, eps, factors, work, y + offset);
  });
}

template <typename T>
void backward(const Channels& g, T eps, const T* x, const T* scale, const T* dy, T* dx, T* dscale) {
  const TileFunctions<T> tile = PICK(tile_functions<T>());
  g.for_tiles(tile, scale, [&](int64_t first, const Strides& at, int64_t count, const T* factors, T* work, T* sums) {
    for (int64_t b = 0, offset = first; b < g.batch; ++b, offset += g.size())
      tile.backward(x + offset, dy + offset, g.taps, at, count, eps, factors, work, dx + offset, sums);
    tile.scatter(sums, g.taps, at, count, dscale + first);
  });
}

}  // namespace ppeffconv::filter_norm
