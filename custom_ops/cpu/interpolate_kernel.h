// sample_interpolate on CPU: the Gaussian as a sum over rows and one over columns, in tiles of rows.
//
// Sampled positions are computed too, and only rows without any other are skipped. For hard masks the alternative is a
// list of neighbours and weights for each inactive position, shared by the channels. Neighbours lie scattered, so that
// it computes one number where the sums over rows compute a vector: with AVX-512, sigma 3 and 64 channels at 200x304 it
// took, without making the lists, 6.2, 5.7, 4.7 and 1.4 times as long at densities .2, .35, .5 and .8, and for 256
// channels at 100x152 1.6, 3.1, 1.9 and 1.3 times. It wins from about .9 on, where there is next to nothing to fill in.
#pragma once

#include <cmath>
#include <cstring>
#include <vector>

#include "layout.h"

namespace ppeffconv::interpolate {

constexpr double kEps = 1e-5;

// g(d) = sigma / sqrt(2 pi) exp(-(sigma d)^2 / 2), of which K is the outer product, and its slope in sigma.
template <typename T>
struct Gaussian {
  int64_t radius;
  const T *weights, *slopes;
};

// Pointers to one row, most of them padded: see gradient_row.
template <typename T>
struct GradientRow {
  const T *sampled, *shared, *features, *dy, *mask;
  T *dx, *feature_sum, *share_gradient;
  T* lines[3];
};

template <typename T>
struct RowFunctions {
  void (*copy)(const T* from, T* to, int64_t width);
  void (*multiply)(const T* a, const T* b, T* to, int64_t width);
  void (*normalise)(const Gaussian<T>&, const T* mask, int64_t pitch, T* line, T* inverse, int64_t width);
  void (*interpolate)(const Gaussian<T>&, const T* sampled, int64_t pitch, const T* share, T* line, T* y,
                      int64_t width);
  T (*gradient)(const Gaussian<T>&, const GradientRow<T>&, int64_t pitch, int64_t width);
};

#define KERNELS "interpolate_rows.h"
#include "for_each_target.h"
#undef KERNELS

struct Geometry {
  int64_t batch, channels, height, width, radius;

  int64_t plane() const { return height * width; }
};

// The taps that matter: others, seen beside the one in the middle and beside eps, are below the type's precision.
template <typename T>
class Taps {
 public:
  Taps(double sigma, const Geometry& g) : weights_(g.radius + 1), slopes_(g.radius + 1) {
    const double negligible = sizeof(T) == 4 ? 1e-9 : 1e-16, scale = 1 / std::sqrt(2 * std::acos(-1.0));
    for (int64_t d = 0; d <= g.radius; ++d) {
      const double squared = sigma * sigma * d * d, decay = std::exp(-squared / 2);
      if (d > 0 && std::max(1.0, squared) * decay * std::max(1.0, scale * scale * sigma * sigma / kEps) < negligible) {
        break;
      }
      weights_[d] = T(scale * sigma * decay);
      slopes_[d] = T(scale * (1 - squared) * decay);
      radius_ = d;
    }
  }

  Gaussian<T> get() const { return {radius_, weights_.data(), slopes_.data()}; }

 private:
  int64_t radius_ = 0;
  std::vector<T> weights_, slopes_;
};

// Rows [begin - radius, end + radius) of a plane with zeros around, and how rows are addressed in it.
template <typename T>
class PaddedRows {
 public:
  PaddedRows(const Geometry& g, int64_t radius, int64_t rows)
      : radius_(radius), left_(round_up(radius, lanes<T>())),
        pitch_(left_ + round_up(g.width + radius, lanes<T>()) + lanes<T>()), data_((rows + 2 * radius) * pitch_) {}

  int64_t pitch() const { return pitch_; }
  T* row(int64_t offset) { return data_.data() + (offset + radius_) * pitch_ + left_; }

  // Fills the rows around [begin, end) by fill(image row, to); rows outside of the image become zero.
  template <typename Fill>
  void fill(const Geometry& g, int64_t begin, int64_t end, const Fill& fill) {
    for (int64_t y = begin - radius_; y < end + radius_; ++y) {
      if (y < 0 || y >= g.height) {
        std::memset(row(y - begin), 0, g.width * sizeof(T));
      } else {
        fill(y, row(y - begin));
      }
    }
  }

 private:
  int64_t radius_, left_, pitch_;
  std::vector<T> data_;
};

inline int64_t rows_per_tile(const Geometry& g, size_t size) {
  return tile_rows(g.height, 4 * (g.width + lanes<float>()) * size, 64 << 10);
}

// 1 / (K * M + eps), one plane per sample.
template <typename T>
std::vector<T> inverse_weights(const Geometry& g, const RowFunctions<T>& run, const Gaussian<T>& k, const T* mask) {
  std::vector<T> inverse(g.batch * g.plane());
  const int64_t rows = rows_per_tile(g, sizeof(T)), tiles = (g.height + rows - 1) / rows;
#pragma omp parallel
  {
    PaddedRows<T> padded(g, k.radius, rows), line(g, k.radius, 1);
    std::vector<T> result(round_up(g.width, lanes<T>()));
#pragma omp for collapse(2) schedule(static)
    for (int64_t n = 0; n < g.batch; ++n) {
      for (int64_t t = 0; t < tiles; ++t) {
        const int64_t begin = t * rows, end = std::min(begin + rows, g.height);
        padded.fill(g, begin, end, [&](int64_t y, T* to) {
          run.copy(mask + n * g.plane() + y * g.width, to, g.width);
        });
        for (int64_t y = begin; y < end; ++y) {
          run.normalise(k, padded.row(y - begin), padded.pitch(), line.row(0), result.data(), g.width);
          run.copy(result.data(), &inverse[n * g.plane() + y * g.width], g.width);
        }
      }
    }
  }
  return inverse;
}

// (1 - M) / (K * M + eps), in place of its second argument.
template <typename T>
void make_shares(const T* mask, std::vector<T>* inverse) {
  for (size_t i = 0; i < inverse->size(); ++i) (*inverse)[i] *= 1 - mask[i];
}

template <typename T>
void forward(const Geometry& g, T sigma, const T* features, const T* mask, T* y) {
  const RowFunctions<T> run = PICK(row_functions<T>());
  const Taps<T> taps(sigma, g);
  const Gaussian<T> k = taps.get();
  std::vector<T> shares = inverse_weights(g, run, k, mask);
  make_shares(mask, &shares);
  const int64_t rows = rows_per_tile(g, sizeof(T)), tiles = (g.height + rows - 1) / rows;
  const int64_t pitch = round_up(g.width, lanes<T>());
#pragma omp parallel
  {
    PaddedRows<T> sampled(g, k.radius, rows), line(g, k.radius, 1);
    std::vector<T> share(rows * pitch);
    std::vector<char> complete(rows);  // nothing to interpolate in this row
#pragma omp for collapse(2) schedule(static)
    for (int64_t n = 0; n < g.batch; ++n) {
      for (int64_t t = 0; t < tiles; ++t) {
        const int64_t begin = t * rows, end = std::min(begin + rows, g.height);
        for (int64_t row = begin; row < end; ++row) {
          const T* from = &shares[n * g.plane() + row * g.width];
          run.copy(from, &share[(row - begin) * pitch], g.width);
          complete[row - begin] = std::all_of(from, from + g.width, [](T value) { return value == 0; });
        }
        for (int64_t c = 0; c < g.channels; ++c) {
          const int64_t plane = (n * g.channels + c) * g.plane();
          sampled.fill(g, begin, end, [&](int64_t row, T* to) {
            run.multiply(features + plane + row * g.width, mask + n * g.plane() + row * g.width, to, g.width);
          });
          for (int64_t row = begin; row < end; ++row) {
            T *from = sampled.row(row - begin), *to = y + plane + row * g.width;
            if (complete[row - begin]) {
              run.copy(from, to, g.width);
            } else {
              run.interpolate(k, from, sampled.pitch(), &share[(row - begin) * pitch], line.row(0), to, g.width);
            }
          }
        }
      }
    }
  }
}

}  // namespace ppeffconv::interpolate
