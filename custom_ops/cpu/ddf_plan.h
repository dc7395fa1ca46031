// Geometry of decoupled dynamic filtering and, for a tile of rows, where each tap finds its operands.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "layout.h"

namespace ppeffconv::ddf {

inline int64_t floor_div(int64_t a, int64_t b) { return a >= 0 ? a / b : -((b - 1 - a) / b); }

struct Geometry {
  int64_t batch, channels, height, width;
  int64_t kernel, stride, dilation;

  int64_t taps() const { return kernel * kernel; }
  int64_t padding() const { return kernel / 2 * dilation; }
  int64_t out_height() const { return height ? (height - 1) / stride + 1 : 0; }
  int64_t out_width() const { return width ? (width - 1) / stride + 1 : 0; }
};

// One tap of one row: offsets into the staged image, the staged filters, and the taps of the channel filter.
struct Tap {
  int64_t image, filter, index;
};

// One row of results: its taps, and where it goes (or, for the filters' gradients, where its dy lies).
struct Row {
  int64_t first, last;
  int64_t place;
};

struct Plan {
  std::vector<Tap> taps;
  std::vector<Row> rows;

  void begin_row(int64_t place) { rows.push_back({int64_t(taps.size()), int64_t(taps.size()), place}); }
  void add(int64_t image, int64_t filter, int64_t index) {
    taps.push_back({image, filter, index});
    rows.back().last = int64_t(taps.size());
  }
};

// Rows [first, last) of a plane, copied with zeros on both sides and split into `phases` rows of every phases-th
// pixel, so that at any stride the pixels under a tap are contiguous.
struct Staging {
  int64_t first, last, left, pitch, phases;

  int64_t size() const { return (last - first) * phases * pitch; }
  int64_t offset(int64_t row, int64_t padded_column) const {
    return ((row - first) * phases + padded_column % phases) * pitch + padded_column / phases;
  }
};

// The filters of rows [first, last): for each row and tap one padded row.
struct FilterStaging {
  int64_t first, last, left, pitch, taps;

  int64_t size() const { return (last - first) * taps * pitch; }
  int64_t offset(int64_t row, int64_t tap) const { return ((row - first) * taps + tap) * pitch + left; }
};

// Output rows [begin, end) of one sample, and the input rows that belong to them.
struct Tile {
  int64_t begin, end;

  int64_t input_begin(const Geometry& g) const { return begin * g.stride; }
  int64_t input_end(const Geometry& g) const { return std::min(end * g.stride, g.height); }
};

template <typename T>
Staging stage_input(const Geometry& g, const Tile& tile) {
  const int64_t pad = g.padding(), reach = 2 * pad;
  const int64_t pitch = round_up(round_up(g.out_width(), lanes<T>()) + reach / g.stride + 1, lanes<T>());
  return {std::max<int64_t>(tile.begin * g.stride - pad, 0),
          std::min((tile.end - 1) * g.stride + pad + 1, g.height), pad, pitch, g.stride};
}

// Output rows and columns within reach of the tile's input pixels.
template <typename T>
Staging stage_output(const Geometry& g, const Tile& tile) {
  const int64_t reach = (g.padding() + g.stride - 1) / g.stride, left = round_up(reach, lanes<T>());
  const int64_t pitch = left + round_up(g.out_width() + reach, lanes<T>()) + lanes<T>();
  return {std::max<int64_t>(tile.begin - reach, 0), std::min(tile.end + reach, g.out_height()), left, pitch, 1};
}

// y[oy, ox] = sum over taps of w * x[oy * stride + (i - r) * dilation, ...]; `pitch` is that of the rows' places.
inline Plan forward_plan(const Geometry& g, const Tile& tile, const Staging& image, const FilterStaging& filter,
                         int64_t origin, int64_t pitch) {
  Plan plan;
  for (int64_t oy = tile.begin; oy < tile.end; ++oy) {
    plan.begin_row((oy - origin) * pitch);
    for (int64_t i = 0; i < g.kernel; ++i) {
      const int64_t iy = oy * g.stride - g.padding() + i * g.dilation;
      if (iy < 0 || iy >= g.height) continue;
      for (int64_t j = 0; j < g.kernel; ++j) {
        const int64_t tap = i * g.kernel + j;
        plan.add(image.offset(iy, j * g.dilation), filter.offset(oy, tap), tap);
      }
    }
  }
  return plan;
}

// dx as a sum over the outputs that used it. Per input row there is one row per phase of its columns, since each
// phase is reached by taps of its own: dx[iy, m * stride + phase].
inline Plan input_gradient_plan(const Geometry& g, const Tile& tile, const Staging& dy, const FilterStaging& filter,
                                int64_t pitch) {
  Plan plan;
  for (int64_t iy = tile.input_begin(g); iy < tile.input_end(g); ++iy) {
    for (int64_t phase = 0; phase < g.stride; ++phase) {
      plan.begin_row(((iy - tile.input_begin(g)) * g.stride + phase) * pitch);
      for (int64_t i = 0; i < g.kernel; ++i) {
        const int64_t y = iy + g.padding() - i * g.dilation, oy = floor_div(y, g.stride);
        if (y < 0 || y % g.stride || oy >= g.out_height()) continue;
        for (int64_t j = 0; j < g.kernel; ++j) {
          const int64_t x = phase + g.padding() - j * g.dilation, shift = floor_div(x, g.stride);
          if (x - shift * g.stride) continue;
          const int64_t tap = i * g.kernel + j;
          plan.add(dy.offset(oy, dy.left) + shift, filter.offset(oy, tap) + shift, tap);
        }
      }
    }
  }
  return plan;
}

}  // namespace ppeffconv::ddf
