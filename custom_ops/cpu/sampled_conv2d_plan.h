// Geometry of sampled_conv2d: which positions are computed, and where the values under their taps lie.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "layout.h"

namespace ppeffconv::sampled {

constexpr int64_t kRows = 8;        // output channels of one product
constexpr int64_t kVectors = 3;     // its positions, in the widest vectors there are: one panel
constexpr int64_t kTilePanels = 6;  // most in a tile
constexpr int64_t kDepth = 216;     // most of one product, if it is not a single channel's

template <typename T>
constexpr int64_t pixels() {
  return kVectors * lanes<T>();
}

struct Geometry {
  int64_t batch, channels, height, width, out_channels, kernel_h, kernel_w, out_h, out_w;
  int64_t stride_h, stride_w, padding_h, padding_w, dilation_h, dilation_w;

  int64_t plane() const { return height * width; }
  int64_t out_plane() const { return out_h * out_w; }
  int64_t taps() const { return kernel_h * kernel_w; }
  int64_t depth() const { return channels * taps(); }
  int64_t groups() const { return (out_channels + kRows - 1) / kRows; }
};

// The numbers n * OH * OW + y * OW + x of the active positions.
inline std::vector<int64_t> active_positions(const bool* mask, int64_t count) {
  std::vector<int64_t> positions(std::count(mask, mask + count, true));
  int64_t* to = positions.data();
  for (int64_t i = 0; i < count; ++i) {
    if (mask[i]) *to++ = i;
  }
  return positions;
}

// One vector of an image: its `active` lanes lie side by side in a panel. Lanes not `inside` are no part of the image,
// and zero.
struct Chunk {
  int64_t image, panel;
  int inside, active;
};

// Where a panel's values lie in x: one offset per tap and position, where those outside of the image are set to zero
// afterwards; or chunks, if the stride along the row is 1.
struct Sources {
  std::vector<int64_t> offsets, outside;
  std::vector<Chunk> chunks;
};

// Channels that are gathered together: about equal blocks.
inline int64_t channel_block(const Geometry& g) {
  const int64_t most = std::max<int64_t>(kDepth / g.taps(), 1), blocks = (g.channels + most - 1) / most;
  return (g.channels + blocks - 1) / blocks;
}

template <typename T>
void find_sources(const Geometry& g, const int64_t* positions, int64_t count, Sources* to) {
  to->outside.clear();
  for (int64_t j = 0; j < pixels<T>(); ++j) {
    const int64_t position = j < count ? positions[j] : 0, image = position / g.out_plane();
    const int64_t y = position % g.out_plane() / g.out_w * g.stride_h - g.padding_h;
    const int64_t x = position % g.out_w * g.stride_w - g.padding_w;
    for (int64_t tap = 0; tap < g.taps(); ++tap) {
      const int64_t row = y + tap / g.kernel_w * g.dilation_h, column = x + tap % g.kernel_w * g.dilation_w;
      const int64_t at = tap * pixels<T>() + j;
      if (j < count && row >= 0 && row < g.height && column >= 0 && column < g.width) {
        to->offsets[at] = image * g.channels * g.plane() + row * g.width + column;
      } else {
        to->offsets[at] = 0;
        to->outside.push_back(at);
      }
    }
  }
}

// The lanes first, ..., last - 1 of a vector.
inline int lane_bits(int64_t first, int64_t last, int64_t lanes) {
  first = std::clamp<int64_t>(first, 0, lanes), last = std::clamp<int64_t>(last, first, lanes);
  return int((int64_t{1} << last) - (int64_t{1} << first));
}

template <typename T>
void find_chunks(const Geometry& g, const int64_t* positions, int64_t count, Sources* to) {
  to->chunks.clear();
  for (int64_t tap = 0; tap < g.taps(); ++tap) {
    for (int64_t j = 0; j < count;) {
      const int64_t first = positions[j], image = first / g.out_plane(), begin = j, left = first % g.out_w;
      const int64_t row = first % g.out_plane() / g.out_w * g.stride_h - g.padding_h + tap / g.kernel_w * g.dilation_h;
      const int64_t column = left - g.padding_w + tap % g.kernel_w * g.dilation_w;
      const int64_t end = first + std::min(lanes<T>(), g.out_w - left);
      int active = 0;
      for (; j < count && positions[j] < end; ++j) active |= 1 << (positions[j] - first);
      const bool visible = row >= 0 && row < g.height;
      to->chunks.push_back({image * g.channels * g.plane() + row * g.width + column, tap * pixels<T>() + begin,
                            visible ? active & lane_bits(-column, g.width - column, lanes<T>()) : 0, active});
    }
  }
}

// The vectors of a plane from position `begin` to `stop`, and the sums [first, last) that belong into them.
template <typename T>
void find_results(const int64_t* positions, int64_t first, int64_t last, int64_t begin, int64_t stop,
                  std::vector<Chunk>* to) {
  to->clear();
  for (; begin < stop; begin += lanes<T>()) {
    Chunk chunk = {begin, first, lane_bits(0, stop - begin, lanes<T>()), 0};
    const int64_t end = begin + lanes<T>();
    for (; first < last && positions[first] < end; ++first) chunk.active |= 1 << (positions[first] - begin);
    to->push_back(chunk);
  }
}

}  // namespace ppeffconv::sampled
