// The three gradients of decoupled dynamic filtering on CPU, in one walk over each tile of rows.
#pragma once

#include "ddf_kernel.h"

namespace ppeffconv::ddf {

// A thread's own. One vector each, because the zeros around copies outlive a tile.
template <typename T>
struct Scratch {
  std::vector<T> image, dy, filter, filter_gradient, sums, dx;
};

template <typename T>
struct Gradients {
  T *x, *channel, *spatial;
};

// Output rows [begin, end) of one sample and the input rows beside them. The channel filter's gradient is this tile's
// share of it.
template <typename T>
class BackwardTile {
 public:
  BackwardTile(const Geometry& g, const RowFunctions<T>& run, const Tile& tile)
      : g_(g), run_(run), tile_(tile), in_(stage_input<T>(g, tile)), out_(stage_output<T>(g, tile)),
        weights_{out_.first, out_.last, out_.left, out_.pitch, g.taps()}, pitch_(g.stride == 1 ? g.width : out_.pitch),
        forward_(forward_plan(g, tile, in_, weights_, out_.first, out_.pitch)),
        transposed_(input_gradient_plan(g, tile, out_, weights_, pitch_)) {}

  void operator()(const T* x, const T* channel, const T* spatial, const T* dy, const Gradients<T>& to,
                  Scratch<T>* scratch) const {
    scratch->image.resize(kGroup * in_.size());
    scratch->dy.resize(kGroup * out_.size());
    scratch->filter.resize(weights_.size());
    scratch->filter_gradient.assign(weights_.size(), T(0));
    scratch->sums.resize(kGroup * g_.taps() * lanes<T>());
    scratch->dx.resize(kGroup * staged_rows() * pitch_);
    stage_filters(spatial, g_, weights_, scratch->filter.data());
    const int64_t width = g_.out_width(), height = g_.out_height();
    for (int64_t c = 0; c < g_.channels; c += kGroup) {
      const int64_t count = std::min(kGroup, g_.channels - c);
      run_.stage(x + c * g_.height * g_.width, count, g_.height, g_.width, in_, scratch->image.data());
      run_.stage(dy + c * height * width, count, height, width, out_, scratch->dy.data());
      const T* weights = channel + c * g_.taps();
      run_.gradient(forward_, width, scratch->filter.data(),
                    {count, g_.taps(), scratch->image.data(), in_.size(), weights, scratch->dy.data() + out_.left,
                     out_.size(), scratch->filter_gradient.data(), to.channel + c * g_.taps(), scratch->sums.data()});
      input_gradient(count, weights, to.x + c * g_.height * g_.width, scratch);
    }
    copy_filter_gradient(scratch->filter_gradient.data(), to.spatial);
  }

 private:
  int64_t staged_rows() const {
    return g_.stride == 1 ? 0 : (tile_.input_end(g_) - tile_.input_begin(g_)) * g_.stride;
  }

  // The filter again, with dy for the image; at larger strides by way of scratch rows, one per phase of the columns.
  void input_gradient(int64_t count, const T* weights, T* dx, Scratch<T>* scratch) const {
    const int64_t plane = g_.height * g_.width;
    T* rows = g_.stride == 1 ? dx + tile_.begin * g_.width : scratch->dx.data();
    const int64_t rows_size = g_.stride == 1 ? plane : staged_rows() * pitch_;
    run_.filter(transposed_, g_.out_width(), scratch->filter.data(),
                {count, g_.taps(), scratch->dy.data(), out_.size(), weights, rows, rows_size});
    if (g_.stride == 1) return;
    for (int64_t c = 0; c < count; ++c, rows += rows_size, dx += plane) unstage(rows, dx);
  }

  void unstage(const T* from, T* dx) const {
    for (int64_t row = tile_.input_begin(g_); row < tile_.input_end(g_); ++row) {
      for (int64_t phase = 0; phase < g_.stride; ++phase, from += pitch_) {
        for (int64_t x = phase, m = 0; x < g_.width; x += g_.stride, ++m) dx[row * g_.width + x] = from[m];
      }
    }
  }

  void copy_filter_gradient(const T* from, T* to) const {
    const int64_t width = g_.out_width();
    for (int64_t tap = 0; tap < g_.taps(); ++tap) {
      for (int64_t row = tile_.begin; row < tile_.end; ++row) {
        std::memcpy(to + (tap * g_.out_height() + row) * width, from + weights_.offset(row, tap), width * sizeof(T));
      }
    }
  }

  const Geometry& g_;
  const RowFunctions<T>& run_;
  const Tile tile_;
  const Staging in_, out_;
  const FilterStaging weights_;
  const int64_t pitch_;
  const Plan forward_, transposed_;
};

template <typename T>
void backward(const Geometry& g, bool add, const T* x, const T* channel, const T* spatial, const T* dy,
              const Gradients<T>& to) {
  const RowFunctions<T> run = PICK(row_functions<T>(add));
  const int64_t row_bytes = 2 * g.taps() * round_up(g.out_width(), lanes<T>()) * sizeof(T);
  const int64_t rows = tile_rows(g.out_height(), row_bytes, 192 << 10), tiles = (g.out_height() + rows - 1) / rows;
  const int64_t image = g.channels * g.height * g.width, weights = g.channels * g.taps();
  const int64_t out = g.out_height() * g.out_width();
  // One share per tile, summed in order: the result does not depend on the threads.
  std::vector<T> shares(tiles * g.batch * weights);
#pragma omp parallel
  {
    Scratch<T> scratch;
#pragma omp for collapse(2) schedule(static)
    for (int64_t b = 0; b < g.batch; ++b) {
      for (int64_t t = 0; t < tiles; ++t) {
        const BackwardTile<T> tile(g, run, {t * rows, std::min((t + 1) * rows, g.out_height())});
        const Gradients<T> part{to.x + b * image, shares.data() + (t * g.batch + b) * weights,
                                to.spatial + b * g.taps() * out};
        tile(x + b * image, channel + b * weights, spatial + b * g.taps() * out, dy + b * g.channels * out, part,
             &scratch);
      }
    }
  }
  std::copy_n(shares.begin(), g.batch * weights, to.channel);
  for (int64_t t = 1; t < tiles; ++t) {
    for (int64_t i = 0; i < g.batch * weights; ++i) to.channel[i] += shares[t * g.batch * weights + i];
  }
}

}  // namespace ppeffconv::ddf
