// Running a product on given maps. Nothing is copied: a block's rows are read where they lie, tap by tap, and its sums
// go from registers to the output where one phase gives them.
#pragma once

#include "cpu/engine/product.h"

namespace ppeffconv::engine {

// Bytes of input pixels that are read for one panel of weights after another, and so should stay in the cache.
constexpr int64_t kCachedBytes = 384 << 10;

// The channels of a tile's results: the first one, and how many from there on are its.
struct Target {
  int64_t channel, count;
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
  Map<T> out, add, up;
  Map<float> begun;  // what the first tile goes on from
  Map<float> gates;  // SPConv: of each image, see Gates
  Finish finish;
  std::vector<Target> targets;  // of each tile
  Gates opens;                  // SPConv: the product is one of means, and its two tiles give `gates`

  explicit Call(const Map<T>& to) : out(to) { finish.channels = to.channels, finish.pitch = to.pitch; }
};

template <typename T>
class Run {
 public:
  static constexpr int64_t kTileFloats = 1 << 18;

  Run(const Product<T>& product, const Call<T>& call, Rows rows, const RowFunctions<T>& functions, const T* zeros,
      Piece piece, char* scratch)
      : product_(product),
        call_(call),
        rows_(rows),
        run_(functions),
        zeros_(zeros),
        tiles_(reinterpret_cast<float*>(scratch)),
        all_blocks_((rows.count + kRows - 1) / kRows),
        corners_(call.sources.size()) {
    int64_t panels = 0;
    for (const Group& group : product.groups) panels += group.panels.size();
    const auto [by_rows, by_panels] = grid(panels, piece.count);
    if (piece.index >= by_rows * by_panels) return;
    blocks_ = Share::of(all_blocks_, piece.index / by_panels, by_rows);
    panels_ = Share::of(panels, piece.index % by_panels, by_panels);
  }

  void operator()() {
    if (blocks_.size() == 0) return;
    int64_t first = 0;
    for (const Group& group : product_.groups) {
      const int64_t count = group.panels.size();
      Share mine{std::max(panels_.begin - first, int64_t{0}), std::min(panels_.end - first, count)};
      // as many panels at a time as there is room for their tiles
      const int64_t most = kTileFloats / (kRows * kPanel * product_.tiles);
      for (; mine.size() > most; mine.begin += most) run_panels(group, {mine.begin, mine.begin + most});
      if (mine.size() > 0) run_panels(group, mine);
      first += count;
    }
  }

 private:
  // Pieces by rows and by panels, so that the largest of them is smallest, and then what each of them reads.
  std::pair<int64_t, int64_t> grid(int64_t panels, int64_t pieces) const {
    std::pair<int64_t, int64_t> best{1, 1};
    double least = 1e300;
    for (int64_t rows = 1; rows <= pieces; ++rows) {
      const int64_t columns = pieces / rows;
      const int64_t blocks = (all_blocks_ + rows - 1) / rows, parts = (panels + columns - 1) / columns;
      const double work = double(blocks) * parts + 1e-3 * (blocks * kRows + parts * kPanel);
      if (work < least) least = work, best = {rows, columns};
    }
    return best;
  }

  void run_panels(const Group& group, Share panels) {
    find_taps(group);
    int64_t units = 0;
    for (const Phase& phase : group.phases) units += phase.units;
    const bool once = units <= 2 * kDepth;
    // Neighbouring windows share most of what they read. Weights that stay in the cache are multiplied with few pixels
    // at a time, whose results stay there too; others with many, so that they are read seldom.
    const int64_t read = 4 * units / std::max<int64_t>(taps_.size() / 2, 1);
    const bool small = 4 * units * kPanel * panels.size() <= kCachedBytes;
    const int64_t written = 4 * kPanel * product_.tiles * (small ? panels.size() : 1);
    int64_t chunk = std::max(kCachedBytes / (kRows * (read + written)), int64_t{1});
    if (!once)
      chunk = std::min(chunk, std::max(kTileFloats / (kRows * kPanel * product_.tiles * panels.size()), int64_t{1}));
    for (int64_t b = blocks_.begin; b < blocks_.end; b += chunk) {
      run_chunk(group, panels, {b, std::min(b + chunk, blocks_.end)}, once);
    }
  }

  // All phases of a block at once, or, where their weights do not fit the cache, phase after phase of all blocks.
  void run_chunk(const Group& group, Share panels, Share blocks, bool once) {
    once_ = once;
    find_operands(blocks);
    const size_t phases = group.phases.size(), step = once ? phases : 1;
    for (size_t phase = 0; phase < phases; phase += step) {
      for (int64_t p = panels.begin; p < panels.end; ++p) {
        find_ahead(group, panels, p, phase, phase + step == phases ? 0 : phase + step);
        for (int64_t b = 0; b < blocks.size(); ++b) {
          const int64_t place = once ? 0 : (p - panels.begin) * blocks.size() + b;
          multiply(group, group.panels[p], b, phase, phase + step, tiles_ + place * kRows * kPanel * product_.tiles);
        }
      }
    }
  }

  // The weights that are multiplied after those of panel p: the next panel's, or the next phase's first ones.
  void find_ahead(const Group& group, Share panels, int64_t p, size_t phase, size_t next_phase) {
    const bool same = p + 1 < panels.end;
    const Panel& next = group.panels[same ? p + 1 : panels.begin];
    const size_t which = same ? phase : next_phase;
    ahead_ = reinterpret_cast<const char*>(product_.weights->data() + next.offsets[which]);
    ahead_left_ = 0;
    for (size_t i = which; i < group.phases.size() && (i == which || once_); ++i)
      ahead_left_ += 4 * group.phases[i].units * next.columns;
    if (4 * group.phases[0].units * next.columns * int64_t(group.panels.size()) < kCachedBytes) ahead_left_ = 0;
  }

  // Where each segment lies behind a window's first pixel.
  void find_taps(const Group& group) {
    taps_.clear();
    for (const Phase& phase : group.phases) {
      for (const Segment& s : phase.segments) {
        const Map<T>& map = call_.sources[s.source].map;
        const int64_t elements = (s.dy * map.width + s.dx) * map.pitch + s.channel;
        taps_.push_back({s.source, s.dx + (s.dy << 32), elements * int64_t(sizeof(T)), to_units<T>(s.count)});
      }
    }
  }

  // Where the rows of the blocks read and write.
  void find_operands(Share blocks) {
    const int64_t taps = taps_.size();
    if (int64_t(operands_.size()) < blocks.size() * taps) operands_.resize(blocks.size() * taps);
    if (int64_t(heads_.size()) < blocks.size()) heads_.resize(blocks.size());
    const Sites<T> sites{call_.sources.data(),
                         int64_t(call_.sources.size()),
                         taps_.data(),
                         taps,
                         zeros_,
                         call_.out,
                         call_.add,
                         call_.up,
                         call_.begun,
                         call_.gates};
    Pixels pixels;
    Share rows = Share::of(rows_.count, blocks.begin, all_blocks_);
    for (int64_t b = 0; b < blocks.size(); ++b) {
      const int64_t end = rows_.count * (blocks.begin + b + 1) / all_blocks_, step = rows.size();
      if (b > 0) rows = {rows.end, end};
      if (b == 0 || rows_.list) {
        find_pixels(rows, &pixels);
      } else {
        run_.advance(&pixels, step, call_.out.height, call_.out.width);
      }
      heads_[b].rows = int(rows.size());
      run_.locate(sites, pixels, corners_.data(), &heads_[b], operands_.data() + b * taps);
    }
  }

  // Those of a block; from a list no more than there are, and the last one again.
  void find_pixels(Share rows, Pixels* to) const {
    const uint32_t plane = call_.out.plane(), width = call_.out.width;  // a mask's list has 32 bits as well
    for (int64_t r = 0; r < kRoom; ++r) {
      const int64_t at = rows_.list ? rows_.list[std::min(rows.begin + r, rows.end - 1)] : rows.begin + r;
      const uint32_t rest = uint64_t(at) % plane;
      to->index[r] = at, to->image[r] = uint64_t(at) / plane;
      to->y[r] = rest / width, to->x[r] = rest % width;
    }
  }

  // Phases from `phase` on, for one block and panel.
  void multiply(const Group& group, const Panel& panel, int64_t block, size_t phase, size_t end, float* tiles) {
    const int64_t size = kRows * panel.columns;
    const Head<T>& head = heads_[block];
    const Operand* operands = operands_.data() + block * int64_t(taps_.size());
    for (size_t i = 0; i < phase; ++i) operands += group.phases[i].segments.size();
    for (int r = 0; r < head.rows && phase == 0 && call_.begun.data; ++r)
      std::memcpy(tiles + r * panel.columns, head.begun[r] + group.first + panel.first, panel.columns * sizeof(float));
    for (; phase < end; ++phase) {
      const Phase& what = group.phases[phase];
      const Target* target =
          what.completes && size_t(what.tile) < call_.targets.size() ? &call_.targets[what.tile] : nullptr;
      const bool direct = target && deliverable(group, panel, *target), fetch = ahead_left_ > 0;
      float* tile = tiles + what.tile * size;
      const Result<T> to{what.from == kNothing ? nullptr : tiles + what.from * size,
                         what.gated && call_.gates.data,
                         direct && !what.kept ? nullptr : tile,
                         direct,
                         &head.places,
                         &call_.finish,
                         group.first + panel.first + (target ? target->channel : 0),
                         fetch ? ahead_ : reinterpret_cast<const char*>(tile),
                         fetch ? kAlign : 0};
      run_.multiply(head.rows, operands, what.segments.size(), product_.weights->data() + panel.offsets[phase],
                    panel.width, to);
      operands += what.segments.size();
      if (fetch) ahead_ += what.units * kAlign, ahead_left_ -= what.units * kAlign;
      if (target && !direct) finish(group, panel, *target, head, tile);
    }
    if (call_.opens.logits && end == group.phases.size()) open(group, panel, head, tiles);
  }

  // Whether the results can go from registers to the output: whole vectors, or halves, that are the group's own or
  // whose rest is the pixel's padding. A curve would need the registers.
  bool deliverable(const Group& group, const Panel& panel, const Target& target) const {
    const int64_t column = group.first + panel.first, own = std::min(panel.width, group.columns - panel.first);
    const int64_t channel = target.channel + column, end = channel + panel.width;
    const bool half = panel.width < kLanes;  // which pads by itself
    const bool inside = own == panel.width && column + own <= target.count && end < call_.out.channels;
    const bool closing = channel + own == call_.out.channels && (half || end == call_.out.pitch);
    return channel % std::min(panel.width, kLanes) == 0 && (inside || closing) && is_limit(call_.finish.act);
  }

  void finish(const Group& group, const Panel& panel, const Target& to, const Head<T>& head, const float* tile) const {
    const int64_t column = group.first + panel.first, own = std::min(panel.columns, group.columns - panel.first);
    const int64_t count = std::min(own, to.count - column);
    if (count > 0) run_.finish(call_.finish, tile, panel.columns, head.rows, head.places, to.channel + column, count);
  }

  void open(const Group& group, const Panel& panel, const Head<T>& head, const float* tiles) const {
    const int64_t column = group.first + panel.first;
    const Gates& from = call_.opens;
    float* to[kRows];
    for (int r = 0; r < head.rows; ++r) to[r] = call_.gates.pixel(head.images[r]) + column;
    run_.open(tiles, tiles + kRows * panel.columns, panel.columns, head.rows, to,
              {from.shift3 + column, from.shift1 + column, from.logits + column, from.pitch});
  }

  const Product<T>& product_;
  const Call<T>& call_;
  const Rows rows_;
  const RowFunctions<T>& run_;
  const T* zeros_;
  float* tiles_;
  const int64_t all_blocks_;
  Share blocks_{0, 0}, panels_{0, 0};
  int64_t ahead_left_ = 0;
  const char* ahead_ = nullptr;
  bool once_ = true;
  std::vector<Corner> corners_;    // of each source
  std::vector<Tap> taps_;          // of all phases' segments
  std::vector<Operand> operands_;  // of each block of a chunk, those of all segments
  std::vector<Head<T>> heads_;
};

}  // namespace ppeffconv::engine
