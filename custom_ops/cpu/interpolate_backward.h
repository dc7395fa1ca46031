// The gradients of sample_interpolate on CPU.
//
// y = M F + S Z with Z = K * (M F), S = (1 - M) / D, D = K * M + eps. K is even, so with h = S dy and u = K * h
//   dF = M (dy + u),   dM = sum_c F (dy + u) - q / D + K * dD,   q = sum_c dy Z,   dD = -q S / D,
//   dsigma = sum h (K' * M F) + sum dD (K' * M),   K' = dK / dsigma.
// The terms of D come last: they need q of the rows around.
#pragma once

#include "interpolate_kernel.h"

namespace ppeffconv::interpolate {

template <typename T>
class Backward {
 public:
  Backward(const Geometry& g, T sigma, const T* features, const T* mask, const T* dy)
      : g_(g), run_(PICK(row_functions<T>())), taps_(sigma, g), k_(taps_.get()), rows_(rows_per_tile(g, sizeof(T))),
        tiles_((g.height + rows_ - 1) / rows_), pitch_(round_up(g.width, lanes<T>())), features_(features),
        mask_(mask), dy_(dy), inverse_(inverse_weights(g, run_, k_, mask)), share_(inverse_),
        share_gradient_(inverse_.size()), slopes_(2 * g.batch * tiles_) {
    make_shares(mask, &share_);
  }

  // Returns dsigma.
  T operator()(T* dfeatures, T* dmask) {
    for_each_tile([&](Scratch& s, int64_t n, int64_t begin, int64_t end) {
      features(s, n, begin, end, dfeatures, dmask);
    });
    for (size_t i = 0; i < inverse_.size(); ++i) {
      dmask[i] -= share_gradient_[i] * inverse_[i];
      share_gradient_[i] *= -share_[i] * inverse_[i];  // now dD
    }
    for_each_tile([&](Scratch& s, int64_t n, int64_t begin, int64_t end) { weights(s, n, begin, end, dmask); });
    double total = 0;
    for (double slope : slopes_) total += slope;
    return T(total);
  }

 private:
  // A thread's own: rows of whole vectors.
  struct Scratch {
    PaddedRows<T> sampled, shared, lines[3];
    std::vector<T> features, dy, mask, dx, feature_sum, share_gradient;

    Scratch(const Geometry& g, int64_t radius, int64_t rows, int64_t pitch)
        : sampled(g, radius, rows), shared(g, radius, rows),
          lines{{g, radius, 1}, {g, radius, 1}, {g, radius, 1}}, features(pitch), dy(pitch), mask(pitch), dx(pitch),
          feature_sum(rows * pitch), share_gradient(rows * pitch) {}
  };

  template <typename Work>
  void for_each_tile(const Work& work) {
#pragma omp parallel
    {
      Scratch scratch(g_, k_.radius, rows_, pitch_);
#pragma omp for collapse(2) schedule(static)
      for (int64_t n = 0; n < g_.batch; ++n) {
        for (int64_t t = 0; t < tiles_; ++t) {
          work(scratch, n, t * rows_, std::min((t + 1) * rows_, g_.height));
        }
      }
    }
  }

  T gradient(Scratch& s, int64_t row) {
    const GradientRow<T> r{s.sampled.row(row), s.shared.row(row), s.features.data(), s.dy.data(), s.mask.data(),
                           s.dx.data(), &s.feature_sum[row * pitch_], &s.share_gradient[row * pitch_],
                           {s.lines[0].row(0), s.lines[1].row(0), s.lines[2].row(0)}};
    return run_.gradient(k_, r, s.sampled.pitch(), g_.width);
  }

  void features(Scratch& s, int64_t n, int64_t begin, int64_t end, T* dfeatures, T* dmask) {
    const int64_t width = g_.width, sample = n * g_.plane();
    std::fill(s.feature_sum.begin(), s.feature_sum.end(), T(0));
    std::fill(s.share_gradient.begin(), s.share_gradient.end(), T(0));
    double& slope = slopes_[n * tiles_ + begin / rows_];
    for (int64_t c = 0; c < g_.channels; ++c) {
      const int64_t plane = (n * g_.channels + c) * g_.plane();
      s.sampled.fill(g_, begin, end, [&](int64_t y, T* to) {
        run_.multiply(features_ + plane + y * width, mask_ + sample + y * width, to, width);
      });
      s.shared.fill(g_, begin, end, [&](int64_t y, T* to) {
        run_.multiply(dy_ + plane + y * width, &share_[sample + y * width], to, width);
      });
      for (int64_t y = begin; y < end; ++y) {
        run_.copy(features_ + plane + y * width, s.features.data(), width);
        run_.copy(dy_ + plane + y * width, s.dy.data(), width);
        run_.copy(mask_ + sample + y * width, s.mask.data(), width);
        slope += gradient(s, y - begin);
        run_.copy(s.dx.data(), dfeatures + plane + y * width, width);
      }
    }
    for (int64_t y = begin; y < end; ++y) {
      run_.copy(&s.feature_sum[(y - begin) * pitch_], dmask + sample + y * width, width);
      run_.copy(&s.share_gradient[(y - begin) * pitch_], &share_gradient_[sample + y * width], width);
    }
  }

  // K * dD and the sum of dD (K' * M): the same rows, with dD for h and neither F nor dy.
  void weights(Scratch& s, int64_t n, int64_t begin, int64_t end, T* dmask) {
    const int64_t width = g_.width, sample = n * g_.plane();
    std::fill(s.features.begin(), s.features.end(), T(0));
    std::fill(s.dy.begin(), s.dy.end(), T(0));
    std::fill(s.mask.begin(), s.mask.end(), T(1));
    s.sampled.fill(g_, begin, end, [&](int64_t y, T* to) { run_.copy(mask_ + sample + y * width, to, width); });
    s.shared.fill(g_, begin, end, [&](int64_t y, T* to) {
      run_.copy(&share_gradient_[sample + y * width], to, width);
    });
    for (int64_t y = begin; y < end; ++y) {
      slopes_[(g_.batch + n) * tiles_ + begin / rows_] += gradient(s, y - begin);
      for (int64_t x = 0; x < width; ++x) dmask[sample + y * width + x] += s.dx[x];
    }
  }

  const Geometry& g_;
  const RowFunctions<T> run_;
  const Taps<T> taps_;
  const Gaussian<T> k_;
  const int64_t rows_, tiles_, pitch_;
  const T *features_, *mask_, *dy_;
  std::vector<T> inverse_, share_, share_gradient_;
  std::vector<double> slopes_;  // one share of dsigma per sample and tile, so that the order of the sum is fixed
};

}  // namespace ppeffconv::interpolate
