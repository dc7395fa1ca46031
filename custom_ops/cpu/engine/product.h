// The engine's matrix product: pixels (or a list of them) times packed weights, everything else of a convolution on the
// way in (which values lie under the kernel) or on the way out (scale, shift, sums, activation).
//
// A product has one or more phases, each over some segments of the sources and into one tile of results; a phase may
// go on from what another has summed. The plain convolution is one phase; nested filters share their centre's; SPConv's
// two branches are two, between which the gates come in. Blocks of columns with segments of their own are groups.
#pragma once

#include <algorithm>
#include <cstring>
#include <memory>
#include <vector>

#include "cpu/engine/kernels.h"
#include "cpu/engine/memory.h"

namespace ppeffconv::engine {

constexpr int kTiles = 16;       // most of a product
constexpr int64_t kDepth = 768;  // most 4-byte units of a phase: its weights stay in the second-level cache

// One phase: what lies under the segments, times weights [depth][columns], into a tile. `from` is the tile whose sums
// it goes on from: its own, another's, or kNothing.
constexpr int kNothing = -1;
struct Phase {
  std::vector<Segment> segments;
  int tile = 0, from = kNothing;
  std::vector<float> weights;  // only until they are packed
  int64_t units = 0;           // 4-byte ones of its depth
  bool gated = false;          // SPConv: what it goes on from is multiplied by the gates' ratio
  bool completes = false;      // nothing is added to the tile after it
  bool kept = false;           // a later phase goes on from the tile

  int64_t depth() const {
    int64_t total = 0;
    for (const Segment& s : segments) total += s.count;
    return total;
  }
};

struct Panel {
  int64_t first, columns;
  int64_t width;                 // of its weights: fewer where half a vector is enough
  std::vector<int64_t> offsets;  // of each phase's weights
};

// Columns that share their segments. `first` is the first one's channel in each tile.
struct Group {
  int64_t first, columns;
  std::vector<Phase> phases;
  std::vector<Panel> panels;
};

// A product's weights, packed once: they do not change, nor depend on the size of the input.
template <typename T>
struct Product {
  std::vector<Group> groups;
  int tiles = 1;
  std::shared_ptr<const Aligned<T>> weights;

  // Multiply-adds of a pixel, of 4-byte units.
  int64_t size() const {
    int64_t total = 0;
    for (const Group& group : groups) {
      for (const Phase& phase : group.phases) total += phase.units * group.columns;
    }
    return total;
  }
};

template <typename T>
constexpr int64_t to_units(int64_t elements) {
  return elements * int64_t(sizeof(T)) / 4;
}

inline std::vector<Segment> cut_segments(const std::vector<Segment>& segments, int64_t most) {
  std::vector<Segment> cut;
  for (Segment s : segments) {
    for (; s.count > most; s.count -= most, s.channel += most) {
      cut.push_back(s);
      cut.back().count = most;
    }
    cut.push_back(s);
  }
  return cut;
}

// Cuts phases that are too deep, between segments, into phases that go on from one another.
template <typename T>
std::vector<Phase> cut_phases(std::vector<Phase> phases, int64_t columns) {
  std::vector<Phase> cut;
  for (Phase& phase : phases) {
    phase.segments = cut_segments(phase.segments, kDepth * 4 / int64_t(sizeof(T)));
    const int64_t parts = (to_units<T>(phase.depth()) + kDepth - 1) / kDepth, most = phase.depth() / parts;
    const float* weights = phase.weights.data();
    for (size_t i = 0; i < phase.segments.size();) {
      Phase part;
      part.tile = phase.tile, part.from = i == 0 ? phase.from : phase.tile, part.gated = phase.gated && i == 0;
      for (; i < phase.segments.size() && (part.segments.empty() || part.depth() + phase.segments[i].count <= most);
           ++i)
        part.segments.push_back(phase.segments[i]);
      part.weights.assign(weights, weights + part.depth() * columns);
      weights += part.depth() * columns;
      part.units = to_units<T>(part.depth());
      cut.push_back(std::move(part));
    }
  }
  return cut;
}

inline float to_element(float value, float) { return value; }
inline bfloat16 to_element(float value, bfloat16) {
  uint32_t bits;
  std::memcpy(&bits, &value, 4);
  if (value != value) return {uint16_t((bits >> 16) | 0x40)};
  return {uint16_t((bits + 0x7fff + ((bits >> 16) & 1)) >> 16)};
}

inline void settle(std::vector<Phase>* phases) {
  for (size_t i = 0; i < phases->size(); ++i) {
    Phase& phase = (*phases)[i];
    phase.completes = true;
    for (size_t later = i + 1; later < phases->size(); ++later) {
      const Phase& next = (*phases)[later];
      if (next.tile == phase.tile) phase.completes = false;
      if (next.from == phase.tile) phase.kept = true;
    }
  }
}

// Packs the weights: panels of equal width, in each phase after phase, in each [units][columns] (pairs of depth lie
// side by side where they share a unit).
template <typename T>
Product<T> pack(std::vector<Group> groups, int tiles) {
  constexpr int64_t kPerUnit = 4 / sizeof(T);
  int64_t total = 0;
  for (Group& group : groups) {
    group.phases = cut_phases<T>(std::move(group.phases), group.columns);
    settle(&group.phases);
    const int64_t vectors = (group.columns + kLanes - 1) / kLanes, panels = (vectors * kLanes + kPanel - 1) / kPanel;
    for (int64_t p = 0; p < panels; ++p) {
      const Share share = Share::of(vectors, p, panels);
      Panel panel{share.begin * kLanes, share.size() * kLanes, share.size() * kLanes, {}};
      if (sizeof(T) == 4 && group.columns <= kHalf) panel.width = kHalf;
      for (const Phase& phase : group.phases) {
        panel.offsets.push_back(total);
        total += phase.units * kPerUnit * panel.width;
      }
      group.panels.push_back(std::move(panel));
    }
  }
  const auto weights = std::make_shared<Aligned<T>>(total);
  Product<T> product{std::move(groups), tiles, weights};
  for (Group& group : product.groups) {
    for (size_t i = 0; i < group.phases.size(); ++i) {
      Phase& phase = group.phases[i];
      const int64_t depth = phase.depth();
      for (const Panel& panel : group.panels) {
        T* to = weights->data() + panel.offsets[i];
        const int64_t columns = std::min(panel.columns, group.columns - panel.first);
        for (int64_t k = 0; k < depth; ++k) {
          const float* from = phase.weights.data() + k * group.columns + panel.first;
          T* row = to + k / kPerUnit * kPerUnit * panel.width + k % kPerUnit;
          for (int64_t c = 0; c < columns; ++c) row[c * kPerUnit] = to_element(from[c], T{});
        }
      }
      std::vector<float>().swap(phase.weights);
    }
  }
  return product;
}

}  // namespace ppeffconv::engine
