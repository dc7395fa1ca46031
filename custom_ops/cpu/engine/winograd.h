// Winograd's F(2x2, 3x3) for 3x3 convolutions of stride 1 in float32: four output pixels from sixteen products instead
// of thirty-six, and as exact as the direct sum to a few units in the last place (Lavin & Gray, arXiv 1509.09308).
#pragma once

#include "cpu/engine/maps.h"

namespace ppeffconv::engine {

// The kernels' transform G g G^T.
inline void winograd_kernel(const float* g, float* to) {
  double half[4][3];
  for (int x = 0; x < 3; ++x) {
    const double g0 = g[x], g1 = g[3 + x], g2 = g[6 + x];
    half[0][x] = g0, half[1][x] = (g0 + g1 + g2) / 2, half[2][x] = (g0 - g1 + g2) / 2, half[3][x] = g2;
  }
  for (int y = 0; y < 4; ++y) {
    const double h0 = half[y][0], h1 = half[y][1], h2 = half[y][2];
    to[4 * y] = float(h0), to[4 * y + 1] = float((h0 + h1 + h2) / 2);
    to[4 * y + 2] = float((h0 - h1 + h2) / 2), to[4 * y + 3] = float(h2);
  }
}

// Sixteen products of [tiles, channels] times [channels, columns].
class Winograd {
 public:
  // `tap(o, c, t)` is the weight of tap t.
  template <typename Tap>
  void pack_weights(int64_t channels, int64_t columns, const Tap& tap) {
    channels_ = channels, columns_ = columns;
    std::vector<Group> groups(16);
    for (Group& group : groups) {
      Phase phase;
      phase.segments = {{0, 0, 0, 0, channels}};
      phase.weights.resize(channels * columns);
      group = {0, columns, {}, {}};
      group.phases.push_back(std::move(phase));
    }
    for (int64_t c = 0; c < channels; ++c) {
      for (int64_t o = 0; o < columns; ++o) {
        float kernel[9], transformed[16];
        for (int64_t t = 0; t < 9; ++t) kernel[t] = tap(o, c, t);
        winograd_kernel(kernel, transformed);
        for (int i = 0; i < 16; ++i) groups[i].phases[0].weights[c * columns + o] = transformed[i];
      }
    }
    product_ = pack<float>(std::move(groups), 1);
  }

  // Whether it is faster than the direct sum, by measurement: the products must be large beside the transforms, and not
  // too many tiles hang over the border.
  static bool pays(int64_t channels, int64_t columns) {
    return channels >= 16 && channels <= kDepth && columns >= 16 && columns % kLanes == 0;
  }
  bool pays(int64_t plane) const { return plane >= 49; }

  // Under a mask: only where it is dense enough.
  void bind(Binder<float>& b, const Call<float>& call, const Active* mask) const {
    const int64_t high = (call.out.height + 1) / 2, wide = (call.out.width + 1) / 2,
                  tiles = call.out.batch * high * wide;
    const int64_t read = round_up(channels_, kLanes) + kLanes, per_tile = 64 * (read + columns_);
    const bool small = 64 * channels_ * columns_ <= kSmallBytes;
    const int64_t workers = small ? b.threads : 1;
    int64_t chunk = (small ? kCachedBytes : b.threads * 6 * kCachedBytes) / per_tile / kRows * kRows;
    chunk = std::clamp<int64_t>(chunk, kRows, round_up(tiles, kRows));
    Work work{this, call, *b.rows, b.zeros, chunk, read};
    work.inputs = b.scratch<float>(workers * 16 * chunk * read);
    work.sums = b.scratch<float>(workers * 16 * chunk * columns_);
    if (small) {  // each piece by itself, chunk after chunk
      b.task(tiles * channels_ * columns_, [=](Piece piece) {
        if (mask && !mask->dense_enough_for_winograd()) return;
        const Share blocks = piece.share((tiles + kRows - 1) / kRows);
        Work mine = work;
        mine.inputs += piece.worker * 16 * chunk * read, mine.sums += piece.worker * 16 * chunk * columns_;
        for (int64_t at = blocks.begin * kRows; at < std::min(blocks.end * kRows, tiles); at += chunk) {
          const Share part{at, std::min({at + chunk, blocks.end * kRows, tiles})};
          mine.transform_input(part.begin, {0, part.size()});
          mine.multiply(part.size(), {0, 16 * mine.panels()});
          mine.transform_output(part.begin, {0, part.size()});
        }
      });
      return;
    }
    // large weights are read once for all tiles of a chunk, each in one piece
    for (int64_t at = 0; at < tiles; at += chunk) {
      const int64_t count = std::min(chunk, tiles - at), values = count * channels_ * columns_;
      const auto task = [&](const auto& what) {
        b.task(values, [=](Piece piece) {
          if (!mask || mask->dense_enough_for_winograd()) what(piece);
        });
      };
      task([=](Piece piece) { work.transform_input(at, piece.share(count)); });
      task([=](Piece piece) { work.multiply(count, piece.share(16 * work.panels())); });
      task([=](Piece piece) { work.transform_output(at, piece.share(count)); });
    }
  }

 private:
  static constexpr int64_t kSmallBytes = 600 << 10;  // of weights that stay in a core's cache beside all else

  // The three parts, on tiles from `first` on.
  struct Work {
    const Winograd* of;
    Call<float> call;
    RowFunctions<float> run;
    const float* zeros;
    int64_t chunk, read;
    float *inputs = nullptr, *sums = nullptr;
    WinogradFunctions transforms = pick_winograd_functions();

    int64_t panels() const { return of->product_.groups[0].panels.size(); }

    void transform_input(int64_t first, Share tiles) const {
      int64_t channel = 0;
      for (const Source<float>& source : call.sources) {
        const Map<float>& map = source.map;
        int64_t offsets[16];
        for (int64_t i = 0; i < 16; ++i) offsets[i] = (i / 4 * map.width + i % 4) * map.pitch;
        for_each_tile(first, tiles, [&](int64_t t, const Pixel& tile) {
          const int64_t y = 2 * tile.y - source.padding_h, x = 2 * tile.x - source.padding_w;
          const int64_t corner = ((tile.image * map.height + y) * map.width + x) * map.pitch;
          const bool whole = y >= 0 && x >= 0 && y + 4 <= map.height && x + 4 <= map.width;
          const float* pixels[16];
          for (int64_t i = 0; i < 16; ++i) {
            const bool inside =
                whole || (uint64_t(y + i / 4) < uint64_t(map.height) && uint64_t(x + i % 4) < uint64_t(map.width));
            pixels[i] = inside ? map.data + corner + offsets[i] : zeros;
          }
          transforms.input(pixels, map.channels, inputs + t * read + channel, chunk * read);
        });
        channel += map.channels;  // what a last vector wrote beyond them the next map overwrites
      }
    }

    // Results lie as they arise: [matrix][panel][tile][the panel's columns].
    float* sums_of(int64_t matrix, const Panel& panel, int64_t tile) const {
      return sums + matrix * chunk * of->columns_ + chunk * panel.first + tile * panel.columns;
    }

    void multiply(int64_t tiles, Share items) const {
      for (int64_t item = items.begin; item < items.end; ++item) {
        const int64_t matrix = item / panels();
        const Panel& panel = of->product_.groups[matrix].panels[item % panels()];
        for (int64_t t = 0; t < tiles; t += kRows) {
          const int rows = int(std::min<int64_t>(kRows, tiles - t));
          Operand a;
          a.units = of->channels_;
          for (int r = 0; r < rows; ++r)
            a.rows[r] = reinterpret_cast<const uint32_t*>(inputs + (matrix * chunk + t + r) * read);
          float* to = sums_of(matrix, panel, t);
          const Result<float> result{
              nullptr, false, to, false, nullptr, &call.finish, 0, reinterpret_cast<const char*>(to), 0};
          run.multiply(rows, &a, 1, of->product_.weights->data() + panel.offsets[0], panel.columns, result);
        }
      }
    }

    void transform_output(int64_t first, Share tiles) const {
      const Map<float>&out = call.out, &up = call.up;
      for_each_tile(first, tiles, [&](int64_t t, const Pixel& tile) {
        Places<float> places{};
        for (int64_t i = 0; i < 4; ++i) {
          const int64_t y = 2 * tile.y + i / 2, x = 2 * tile.x + i % 2;
          if (y >= out.height || x >= out.width) continue;
          const int64_t at = (tile.image * out.height + y) * out.width + x;
          places.out[i] = out.pixel(at);
          if (call.add.data) places.add[i] = call.add.pixel(at);
          if (up.data) places.up[i] = up.pixel((tile.image * up.height + y / 2) * up.width + x / 2);
        }
        for (const Panel& panel : of->product_.groups[0].panels) {
          transforms.output(sums_of(0, panel, t), chunk * of->columns_, call.finish, places, panel.first,
                            panel.columns);
        }
      });
    }

    // Calls what(t, tile) for tile first + t.
    template <typename What>
    void for_each_tile(int64_t first, Share tiles, const What& what) const {
      const int64_t high = (call.out.height + 1) / 2, wide = (call.out.width + 1) / 2, at = first + tiles.begin;
      Pixel tile{at / (high * wide), at / wide % high, at % wide};
      for (int64_t t = tiles.begin; t < tiles.end; ++t) {
        what(t, tile);
        if (++tile.x < wide) continue;
        tile.x = 0;
        if (++tile.y == high) tile.y = 0, ++tile.image;
      }
    }
  };

  int64_t channels_ = 0, columns_ = 0;
  Product<float> product_;
};

}  // namespace ppeffconv::engine
