// The engine's matrix product: pixels (or a list of them) times packed weights, everything else of a convolution on the
// way in (which values lie under the kernel) or on the way out (scale, shift, sums, activation).
//
// A product has one or more phases, each over some segments of the sources and into one tile of results; a phase may
// go on from what another has summed. The plain convolution is one phase; nested filters share their centre's; SPConv's
// two branches are two tiles that are blended. Blocks of columns with segments of their own are groups.
#pragma once

#include <algorithm>
#include <cstring>
#include <memory>
#include <vector>

#include "cpu/engine/kernels.h"

namespace ppeffconv::engine {

constexpr int kTiles = 16;         // most of a product
constexpr int64_t kDepth = 768;    // 4-byte units of a phase, if a product is too deep for the cache
constexpr int64_t kCached = 96 << 10;  // 4-byte units of packed pixels that stay in the second-level cache

// Memory for whole vectors, with some to spare behind the end, where vectors may read.
template <typename T>
class Aligned {
 public:
  explicit Aligned(int64_t size = 0) : data_(nullptr, std::free) {
    if (size == 0) return;
    data_.reset(static_cast<T*>(std::aligned_alloc(kAlign, round_up(size * sizeof(T) + kSpare, kAlign))));
    if (data_ == nullptr) throw std::bad_alloc();
    std::memset(data_.get(), 0, size * sizeof(T) + kSpare);
  }
  T* data() const { return data_.get(); }

 private:
  static constexpr int64_t kSpare = 4 * kAlign;
  std::unique_ptr<T, void (*)(void*)> data_;
};

// One phase: what lies under the segments, times weights [depth][columns], into a tile. `from` is the tile whose sums
// it goes on from: its own, another's, or kNothing.
constexpr int kNothing = -1;
struct Phase {
  std::vector<Segment> segments;
  int tile = 0, from = kNothing;
  std::vector<float> weights;  // only until they are packed
  int64_t units = 0;
  bool aligned = true;

  int64_t depth() const {
    int64_t total = 0;
    for (const Segment& s : segments) total += s.count;
    return total;
  }
};

struct Panel {
  int64_t first, columns;
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

  int64_t multiply_adds() const {
    int64_t total = 0;
    for (const Group& group : groups) {
      for (const Phase& phase : group.phases) total += phase.depth() * group.columns;
    }
    return total;
  }
};

template <typename T>
constexpr int64_t to_units(int64_t elements) {
  return (elements * int64_t(sizeof(T)) + 3) / 4;
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
      part.tile = phase.tile, part.from = i == 0 ? phase.from : phase.tile;
      for (; i < phase.segments.size() && (part.segments.empty() || part.depth() + phase.segments[i].count <= most); ++i)
        part.segments.push_back(phase.segments[i]);
      part.weights.assign(weights, weights + part.depth() * columns);
      weights += part.depth() * columns;
      part.units = to_units<T>(part.depth());
      part.aligned = std::all_of(part.segments.begin(), part.segments.end(),
                                 [](const Segment& s) { return s.count % unit<T>() == 0; });
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

// Packs the weights: panels of equal width, in each phase after phase, in each [units][columns] (pairs of depth lie
// side by side where they share a unit).
template <typename T>
Product<T> pack(std::vector<Group> groups, int tiles) {
  constexpr int64_t kPerUnit = 4 / sizeof(T);
  int64_t total = 0;
  for (Group& group : groups) {
    group.phases = cut_phases<T>(std::move(group.phases), group.columns);
    const int64_t vectors = (group.columns + kLanes - 1) / kLanes, panels = (vectors * kLanes + kPanel - 1) / kPanel;
    for (int64_t p = 0; p < panels; ++p) {
      const Share share = Share::of(vectors, p, panels);
      Panel panel{share.begin * kLanes, share.size() * kLanes, {}};
      for (const Phase& phase : group.phases) {
        panel.offsets.push_back(total);
        total += phase.units * kPerUnit * panel.columns;
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
          T* row = to + k / kPerUnit * kPerUnit * panel.columns + k % kPerUnit;
          for (int64_t c = 0; c < columns; ++c) row[c * kPerUnit] = to_element(from[c], T{});
        }
      }
      std::vector<float>().swap(phase.weights);
    }
  }
  return product;
}

// Where a tile's results go: its first channel in the output, and how many of the channels from there on are its.
template <typename T>
struct Target {
  Finish<T> finish;
  int64_t channel = 0, count = 0;
};

// The output's pixels that are computed: the first `count`, or those in the list.
struct Rows {
  int64_t count;
  const int32_t* list = nullptr;
};

// A product on given maps.
template <typename T>
struct Call {
  std::vector<Source<T>> sources;
  int64_t batch = 0, out_height = 0, out_width = 0;
  std::vector<Target<T>> targets;  // of each tile; after a blend only the first
  Blend blend;

  explicit Call(const Map<T>& out) : batch(out.batch), out_height(out.height), out_width(out.width) {}
  int64_t pixels() const { return batch * out_height * out_width; }
};

template <typename T>
class Run {
 public:
  Run(const Product<T>& product, const Call<T>& call, Rows rows, const RowFunctions<T>& functions, const T* zeros,
      Team team, char* scratch)
      : product_(product), call_(call), rows_(rows), run_(functions), zeros_(zeros) {
    const int64_t blocks = (rows.count + kRows - 1) / kRows;
    int64_t panels = 0;
    for (const Group& group : product.groups) panels += group.panels.size();
    const auto [by_rows, by_panels] = grid(blocks, panels, team.size);
    blocks_ = Share::of(blocks, team.rank / by_panels, by_rows);
    panels_ = Share::of(panels, team.rank % by_panels, by_panels);
    if (team.rank >= by_rows * by_panels) blocks_ = {0, 0};
    row_ = reinterpret_cast<T*>(scratch);
    packed_ = reinterpret_cast<uint32_t*>(scratch + kRowBytes);
    tiles_ = reinterpret_cast<float*>(packed_ + kPackedUnits);
  }

  static constexpr int64_t kRowBytes = 256 << 10, kPackedUnits = 3 * kCached, kTileFloats = 1 << 18;
  static constexpr int64_t kScratch = kRowBytes + 4 * (kPackedUnits + kTileFloats);

  void operator()() {
    if (blocks_.size() == 0) return;
    int64_t first = 0;
    for (const Group& group : product_.groups) {
      const int64_t count = group.panels.size();
      const Share mine{std::max(panels_.begin - first, int64_t{0}), std::min(panels_.end - first, count)};
      if (mine.begin < mine.end) run_group(group, mine);
      first += count;
    }
  }

 private:
  // Threads by rows and by panels, so that the largest share is smallest; few rows are not worth cutting, as every
  // thread would read all weights.
  static std::pair<int64_t, int64_t> grid(int64_t blocks, int64_t panels, int64_t threads) {
    std::pair<int64_t, int64_t> best{1, 1};
    double least = 1e300;
    for (int64_t rows = 1; rows <= threads; ++rows) {
      const int64_t columns = threads / rows;
      const double packing = 0.05 * panels, work = double((blocks + rows - 1) / rows) *
                                                   (double((panels + columns - 1) / columns) + packing / panels);
      if (work < least * 0.999) least = work, best = {rows, columns};
    }
    return best;
  }

  void run_group(const Group& group, Share panels) {
    int64_t deepest = 0, total = 0;
    for (const Phase& phase : group.phases) {
      deepest = std::max(deepest, round_up(phase.units, 16));
      total += round_up(phase.units, 16);
    }
    // as many panels at a time as there is room for their tiles
    const int64_t most = kTileFloats / (kRows * kPanel * product_.tiles);
    for (; panels.size() > most; panels.begin += most) run_panels(group, {panels.begin, panels.begin + most}, total, deepest);
    run_panels(group, panels, total, deepest);
  }

  void run_panels(const Group& group, Share panels, int64_t total, int64_t deepest) {
    const bool once = total <= 2 * kDepth || total * kRows * blocks_.size() <= kCached;
    int64_t chunk = std::max(kCached / (kRows * (once ? total : std::max(deepest, kDepth))), int64_t{1});
    if (!once) {
      const int64_t tile = kRows * kPanel * product_.tiles * panels.size();
      chunk = std::max(std::min(chunk, kTileFloats / tile), int64_t{1});
    }
    for (int64_t b = blocks_.begin; b < blocks_.end; b += chunk) {
      run_chunk(group, panels, {b, std::min(b + chunk, blocks_.end)}, once);
    }
  }

  void run_chunk(const Group& group, Share panels, Share blocks, bool once) {
    find_pixels(blocks);
    for (size_t phase = 0; phase < group.phases.size();) {
      size_t end = phase;
      for (int64_t units = 0; end < group.phases.size(); ++end) {
        units += round_up(group.phases[end].units, 16) * kRows * blocks.size();
        if (units > kPackedUnits && end > phase) break;
      }
      if (!once) end = phase + 1;
      pack(group, blocks, phase, end);
      const bool last = end == group.phases.size();
      for (int64_t p = panels.begin; p < panels.end; ++p) {
        for (int64_t b = 0; b < blocks.size(); ++b) {
          const int64_t place = once ? 0 : (p - panels.begin) * blocks.size() + b;
          multiply(group, group.panels[p], blocks.size(), b, phase, end, place, last);
        }
      }
      phase = end;
    }
  }

  int64_t rows_of(int64_t block) const { return std::min<int64_t>(kRows, rows_.count - block * kRows); }

  void find_pixels(Share blocks) {
    first_block_ = blocks.begin;
    const int64_t begin = blocks.begin * kRows, end = std::min(blocks.end * kRows, rows_.count);
    const int64_t width = call_.out_width, plane = call_.out_height * width;
    pixels_.resize(end - begin);
    places_.resize(blocks.size());
    const Map<T> up = call_.targets.empty() ? Map<T>{} : call_.targets[0].finish.up;
    int64_t image = 0, y = 0, x = 0;
    for (int64_t i = begin; i < end; ++i) {
      const int64_t at = rows_.list ? rows_.list[i] : i;
      if (rows_.list || i == begin) {
        image = at / plane, y = at % plane / width, x = at % width;
      } else if (++x == width) {
        x = 0;
        if (++y == call_.out_height) y = 0, ++image;
      }
      pixels_[i - begin] = {image, y, x};
      Places& places = places_[(i - begin) / kRows];
      places.out[(i - begin) % kRows] = at;
      if (up.data) places.up[(i - begin) % kRows] = (image * up.height + y / 2) * up.width + x / 2;
    }
  }

  // Whether the pixels are multiplied where they lie: 1x1 kernels on every pixel of one map.
  bool lies_ready(const Phase& phase) const {
    if (phase.segments.size() != 1 || rows_.list || !phase.aligned) return false;
    const Segment& s = phase.segments[0];
    const Source<T>& from = call_.sources[s.source];
    return from.stride_h * from.stride_w == 1 && s.dy == from.padding_h && s.dx == from.padding_w &&
           from.map.height == call_.out_height && from.map.width == call_.out_width;
  }

  void pack(const Group& group, Share blocks, size_t phase, size_t end) {
    uint32_t* to = packed_;
    for (; phase < end; ++phase) {
      const Phase& what = group.phases[phase];
      const Segments<T> from{&what.segments, call_.sources.data(), zeros_};
      const int64_t size = round_up(what.units, 16) * kRows;
      if (lies_ready(what)) {
        to += size * blocks.size();
        continue;
      }
      for (int64_t b = 0; b < blocks.size(); ++b, to += size) {
        const Pixel* pixels = pixels_.data() + b * kRows;
        const int rows = rows_of(blocks.begin + b);
        if (what.aligned) {
          run_.pack_aligned(from, pixels, rows, reinterpret_cast<T*>(to));
        } else {
          run_.pack_ragged(from, pixels, rows, row_, reinterpret_cast<T*>(to));
        }
      }
    }
  }

  Factor factor(const Phase& phase, const uint32_t* packed, int64_t block) const {
    if (!lies_ready(phase)) return {packed + block * round_up(phase.units, 16) * kRows, 16, 16 * kRows};
    const Segment& s = phase.segments[0];
    const Map<T>& map = call_.sources[s.source].map;
    const T* first = map.pixel((first_block_ + block) * kRows) + s.channel;
    return {reinterpret_cast<const uint32_t*>(first), to_units<T>(map.pitch), 16};
  }

  void multiply(const Group& group, const Panel& panel, int64_t blocks, int64_t block, size_t phase, size_t end,
                int64_t place, bool last) {
    const int64_t size = kRows * panel.columns;
    float* tiles = tiles_ + place * kRows * kPanel * product_.tiles;
    const int rows = rows_of(first_block_ + block);
    const uint32_t* packed = packed_;
    Delivery<T> delivery;
    const bool direct = last && deliverable(group, panel) && (deliver(group, panel, block, rows, &delivery), true);
    for (; phase < end; ++phase) {
      const Phase& what = group.phases[phase];
      float* tile = tiles + what.tile * size;
      if (what.from != kNothing && what.from != what.tile) std::memcpy(tile, tiles + what.from * size, size * 4);
      const Result<T> to{tile, what.from != kNothing, direct && phase + 1 == end ? &delivery : nullptr};
      run_.multiply(rows, factor(what, packed, block), what.units, product_.weights->data() + panel.offsets[phase],
                    panel.columns, to);
      packed += blocks * round_up(what.units, 16) * kRows;
    }
    if (last && !direct) finish(group, panel, block, rows, tiles);
  }

  // Whether the results can go from registers to the output: whole vectors that are the group's own, or whose rest is
  // the pixel's padding.
  bool deliverable(const Group& group, const Panel& panel) const {
    if (product_.tiles != 1) return false;
    const Target<T>& to = call_.targets[0];
    const Map<T>& out = to.finish.out;
    const int64_t channel = to.channel + group.first + panel.first, end = channel + panel.columns;
    const int64_t own = std::min(panel.columns, group.columns - panel.first);
    const bool inside = own == panel.columns && end < out.channels;
    const bool closing = channel + own == out.channels && end == out.pitch;
    return to.finish.scale == nullptr && channel % kLanes == 0 && (inside || closing);
  }

  void deliver(const Group& group, const Panel& panel, int64_t block, int rows, Delivery<T>* to) const {
    const Finish<T>& f = call_.targets[0].finish;
    const Places& at = places_[block];
    const int64_t channel = call_.targets[0].channel + group.first + panel.first;
    to->shift = f.shift ? f.shift + channel : nullptr, to->act = f.act;
    for (int r = 0; r < kRows; ++r) {
      const bool used = r < rows;
      to->up[r] = used && f.up.data ? f.up.pixel(at.up[r]) + channel : nullptr;
      to->add[r] = used && f.add.data ? f.add.pixel(at.out[r]) + channel : nullptr;
      to->out[r] = used ? f.out.pixel(at.out[r]) + channel : nullptr;
    }
  }

  void finish(const Group& group, const Panel& panel, int64_t block, int rows, float* tiles) {
    const int64_t column = group.first + panel.first, size = kRows * panel.columns;
    const int64_t own = std::min(panel.columns, group.columns - panel.first);
    if (call_.blend.gates) {
      float* gates[kRows];
      for (int r = 0; r < rows; ++r)
        gates[r] = call_.blend.gates + pixels_[block * kRows + r].image * call_.blend.pitch + column;
      run_.blend(tiles, tiles + size, panel.columns, rows, gates, call_.blend, column);
    }
    for (size_t t = 0; t < call_.targets.size(); ++t) {
      const Target<T>& to = call_.targets[t];
      const int64_t count = std::min(own, to.count - column);
      if (count > 0)
        run_.finish(to.finish, tiles + t * size, panel.columns, rows, places_[block], to.channel + column, count);
    }
  }

  const Product<T>& product_;
  const Call<T>& call_;
  const Rows rows_;
  const RowFunctions<T>& run_;
  const T* zeros_;
  Share blocks_, panels_;
  int64_t first_block_ = 0;
  T* row_;
  uint32_t* packed_;
  float* tiles_;
  std::vector<Pixel> pixels_;
  std::vector<Places> places_;
};

}  // namespace ppeffconv::engine
