// Convolution at the active output positions only: in tiles of them, gather what the kernel sees, multiply, scatter.
//
// A tile is a few hundred positions. For a block of channels the values under every tap of every position are gathered
// into panels that stay in the second-level cache, `depth` rows of kPixels positions, and multiplied by the weights,
// which are packed in groups of kRows output channels. The image itself is read as it lies.
#pragma once

#include <omp.h>

#include <algorithm>
#include <cstdint>
#include <vector>

#include "sampled_conv2d_plan.h"

namespace ppeffconv::sampled {

// Zeroed scratch that begins at a cache line: vectors that cross lines take twice as long.
template <typename T>
class Scratch {
 public:
  explicit Scratch(int64_t size) : lines_(round_up(size, lanes<T>()) / lanes<T>()) {}
  T* data() { return lines_.data()->values; }

 private:
  struct alignas(kAlign) Line {
    T values[lanes<T>()];
  };
  std::vector<Line> lines_;
};

template <typename T>
struct RowFunctions {
  // to [channels][taps][pixels] <- x at the offsets, `plane` further for each channel
  void (*gather)(const Sources&, const T* x, int64_t plane, int64_t channels, int64_t taps, T* to);
  // sums [kRows][pixels] += weights [depth][kRows]^T panel [depth][pixels]; `pitch` is that of sums
  void (*multiply)(int64_t depth, const T* weights, const T* panel, T* sums, int64_t pitch);
  // gathering by chunks, and putting sums into a plane of y, zeros around them; null where vectors cannot do it
  void (*gather_chunks)(const Sources&, const T* x, int64_t plane, int64_t channels, int64_t taps, T* to);
  void (*scatter_chunks)(const std::vector<Chunk>&, const T* sums, T* plane);
};

#define KERNELS "sampled_conv2d_rows.h"
#include "for_each_target.h"
#undef KERNELS

// [O, depth] -> [groups][depth][kRows], with zeros up to a whole group.
template <typename T>
Scratch<T> pack_weights(const Geometry& g, const T* weights) {
  Scratch<T> packed(g.groups() * g.depth() * kRows);
#pragma omp parallel for schedule(static)
  for (int64_t group = 0; group < g.groups(); ++group) {
    const int64_t first = group * kRows, rows = std::min(kRows, g.out_channels - first);
    T* to = packed.data() + group * g.depth() * kRows;
    for (int64_t k = 0; k < g.depth(); ++k) {
      for (int64_t r = 0; r < rows; ++r) to[k * kRows + r] = weights[(first + r) * g.depth() + k];
    }
  }
  return packed;
}

// The scratch of one thread, and its work on a tile of at most `panels` panels.
template <typename T>
class Tile {
 public:
  Tile(const Geometry& g, const RowFunctions<T>& run, int64_t panels)
      : g_(g), run_(run), block_(channel_block(g)), pitch_(panels * pixels<T>()), sources_(panels),
        panels_(block_ * g.taps() * pitch_ + lanes<T>()), sums_(g.groups() * kRows * pitch_ + lanes<T>()) {
    for (Sources& sources : sources_) {
      sources.offsets.resize(g.taps() * pixels<T>());
      sources.outside.reserve(g.taps() * pixels<T>());
      sources.chunks.reserve(g.taps() * pixels<T>());
    }
  }

  void compute(const T* x, const T* packed, const T* bias, const int64_t* positions, int64_t count) {
    const int64_t panels = (count + pixels<T>() - 1) / pixels<T>();
    const bool chunks = run_.gather_chunks && g_.stride_w == 1;
    const auto find = chunks ? find_chunks<T> : find_sources<T>;
    const auto gather = chunks ? run_.gather_chunks : run_.gather;
    for (int64_t p = 0; p < panels; ++p) {
      const int64_t first = p * pixels<T>();
      find(g_, positions + first, std::min(pixels<T>(), count - first), &sources_[p]);
    }
    for (int64_t o = 0; o < g_.out_channels; ++o) std::fill_n(sums_.data() + o * pitch_, pitch_, bias ? bias[o] : T(0));
    for (int64_t c = 0; c < g_.channels; c += block_) {
      const int64_t depth = std::min(block_, g_.channels - c) * g_.taps(), size = depth * pixels<T>();
      for (int64_t p = 0; p < panels; ++p) {
        T* panel = panels_.data() + p * size;
        gather(sources_[p], x + c * g_.plane(), g_.plane(), depth / g_.taps(), g_.taps(), panel);
        for (int64_t group = 0; group < g_.groups(); ++group) {
          const T* weights = packed + (group * g_.depth() + c * g_.taps()) * kRows;
          run_.multiply(depth, weights, panel, sums_.data() + group * kRows * pitch_ + p * pixels<T>(), pitch_);
        }
      }
    }
  }

  // Fills y from position `begin` to `end`, image by image and plane by plane.
  void scatter(const int64_t* positions, int64_t count, int64_t begin, int64_t end, T* y) {
    for (int64_t done = 0; begin < end;) {
      const int64_t image = begin / g_.out_plane(), stop = std::min(end, (image + 1) * g_.out_plane());
      const int64_t next = std::lower_bound(positions + done, positions + count, stop) - positions;
      if (run_.scatter_chunks) find_results<T>(positions, done, next, begin, stop, &results_);
      for (int64_t o = 0; o < g_.out_channels; ++o) {
        T* plane = y + (image * (g_.out_channels - 1) + o) * g_.out_plane();
        const T* from = sums_.data() + o * pitch_;
        if (run_.scatter_chunks) {
          run_.scatter_chunks(results_, from, plane);
        } else {
          std::fill(plane + begin, plane + stop, T(0));
          for (int64_t j = done; j < next; ++j) plane[positions[j]] = from[j];
        }
      }
      done = next, begin = stop;
    }
  }

 private:
  const Geometry& g_;
  const RowFunctions<T>& run_;
  int64_t block_, pitch_;
  std::vector<Sources> sources_;
  std::vector<Chunk> results_;
  Scratch<T> panels_, sums_;
};

// `positions` are those of the active outputs, in order and at least one.
template <typename T>
void forward(const Geometry& g, const T* x, const T* weights, const T* bias, const std::vector<int64_t>& positions,
             T* y) {
  const RowFunctions<T> run = PICK(row_functions<T>());
  Scratch<T> packed = pack_weights(g, weights);
  const int64_t count = positions.size(), panels = (count + pixels<T>() - 1) / pixels<T>();
  const int64_t all = (panels + kTilePanels - 1) / kTilePanels, threads = omp_get_max_threads();
  const int64_t tiles = std::min(round_up(all, threads), panels), largest = (panels + tiles - 1) / tiles;
  const auto start = [&](int64_t tile) { return std::min(tile * panels / tiles * pixels<T>(), count); };
  const auto place = [&](int64_t i) { return i == 0 ? 0 : i == count ? g.batch * g.out_plane() : positions[i]; };
  // Allocated here, where a lack of memory is an exception and not the end of the process.
  std::vector<Tile<T>> scratch;
  for (int64_t i = 0; i < std::min(threads, tiles); ++i) scratch.emplace_back(g, run, largest);
  // Paddle's OpenMP lacks the non-monotonic kind, which is the default.
#pragma omp parallel for schedule(monotonic : dynamic) num_threads(int(scratch.size()))
  for (int64_t t = 0; t < tiles; ++t) {
    const int64_t first = start(t), last = start(t + 1);
    Tile<T>& tile = scratch[omp_get_thread_num()];
    tile.compute(x, packed.data(), bias, &positions[first], last - first);
    tile.scatter(&positions[first], last - first, place(first), place(last), y);
  }
}

}  // namespace ppeffconv::sampled
