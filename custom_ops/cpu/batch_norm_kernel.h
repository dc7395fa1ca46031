// Batch normalisation with the residual sum and the ReLU behind it, channel by channel: what the second pass over a
// channel reads is then still in the cache, so that each tensor crosses the memory once.
//
//   y = max(0, (x - mean) / sqrt(variance + eps) weight + bias + residual)
#pragma once

#include "norm_channel.h"

namespace ppeffconv::batch_norm {

using norm::Affine;
using norm::Channel;

template <typename T>
struct Loops {
  void (*statistics)(const Channel&, const T* x, double* mean, double* variance);
  void (*apply)(const Channel&, const Affine<T>&, const T* x, const T* residual, T* y);
  void (*gradient_sums)(const Channel&, const Affine<T>&, const T* x, const T* residual, const T* dy, T mean,
                        double (&totals)[2]);
  void (*input_gradient)(const Channel&, const Affine<T>&, const T* x, const T* residual, const T* dy, T slope,
                         T offset, T* dx, T* dresidual);
};

#define KERNELS "batch_norm_rows.h"
#include "for_each_target.h"
#undef KERNELS

// Tensors [batch, channels, size]; parameters and statistics [channels].
template <typename T>
struct BatchNorm {
  int64_t batch, channels, size;
  double epsilon;
  bool relu;
  const T *x, *weight, *bias, *residual;  // residual: null if there is none

  Channel channel() const { return {batch, size, channels * size}; }
  const T* residual_of(int64_t c) const { return residual ? residual + c * size : nullptr; }

  // In training `mean` and `inverse` (standard deviation) receive the batch's statistics, and the running ones move;
  // else the running ones are used and copied there.
  void forward(bool training, double momentum, T* running_mean, T* running_variance, T* y, T* mean, T* inverse) const {
    const Loops<T> run = PICK(loops<T>(relu, residual != nullptr));
#pragma omp parallel for schedule(static)
    for (int64_t c = 0; c < channels; ++c) {
      double centre = running_mean[c], variance = running_variance[c];
      if (training) {
        run.statistics(channel(), x + c * size, &centre, &variance);
        norm::move(running_mean + c, centre, momentum);
        norm::move(running_variance + c, variance, momentum);
      }
      mean[c] = T(centre);
      inverse[c] = T(1 / std::sqrt(variance + epsilon));
      run.apply(channel(), norm::affine<T>(weight[c], bias[c], mean[c], inverse[c]), x + c * size, residual_of(c),
                y + c * size);
    }
  }

  void backward(bool training, const T* mean, const T* inverse, const T* dy, T* dx, T* dweight, T* dbias,
                T* dresidual) const {
    const Loops<T> run = PICK(loops<T>(relu, residual != nullptr));
#pragma omp parallel for schedule(static)
    for (int64_t c = 0; c < channels; ++c) {
      const Affine<T> f = norm::affine<T>(weight[c], bias[c], mean[c], inverse[c]);
      double totals[2] = {};
      run.gradient_sums(channel(), f, x + c * size, residual_of(c), dy + c * size, mean[c], totals);
      dbias[c] = T(totals[0]);
      dweight[c] = T(totals[1] * inverse[c]);
      // dx = scale (g - average of g - (x - mean) inverse^2 average of g (x - mean)); statistics at rest have no slope
      const double share = training ? f.scale / channel().numbers() : 0;
      const double slope = -share * totals[1] * inverse[c] * inverse[c];
      run.input_gradient(channel(), f, x + c * size, residual_of(c), dy + c * size, T(slope),
                         T(-share * totals[0] - slope * mean[c]), dx + c * size,
                         dresidual ? dresidual + c * size : nullptr);
    }
  }
};

}  // namespace ppeffconv::batch_norm
