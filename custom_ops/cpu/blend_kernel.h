// The fusion at the end of SPConv: two branches, each through its BatchNorm, weighed per sample and channel by a
// softmax over their means (arXiv 2006.12085, Sec. 3.3).
//
//   u = BN(x),  v = BN(y),  gate = sigmoid(mean u - mean v),  z = gate u + (1 - gate) v
//
// u and v never exist: a mean of u follows from the sum of x, and z is a sum of x and y with a scale each. Channel by
// channel, so that the second pass reads from the cache.
#pragma once

#include <vector>

#include "norm_channel.h"

namespace ppeffconv::blend {

using norm::Affine;
using norm::Channel;

template <typename T>
struct Loops {
  void (*statistics)(const Channel&, const T* x, double* mean, double* variance);
  void (*plane_sums)(int64_t size, const T* x, const T* y, double (&sums)[2]);
  void (*gradient_sums)(int64_t size, const T* x, const T* y, const T* dz, T mean_x, T mean_y, double (&sums)[5]);
  void (*combine)(int64_t size, const T* x, const T* y, T scale_x, T scale_y, T shift, T* to);
};

#define KERNELS "blend_rows.h"
#include "for_each_target.h"
#undef KERNELS

// One branch: x [batch, channels, size], the others [channels]; mean and inverse (standard deviation) are those used.
template <typename T>
struct Branch {
  const T *x, *weight, *bias;
  T *mean, *inverse;

  Affine<T> affine(int64_t c) const { return norm::affine<T>(weight[c], bias[c], mean[c], inverse[c]); }
};

template <typename T>
struct BranchGradient {
  T *dx, *dweight, *dbias;
};

template <typename T>
struct Blend {
  int64_t batch, channels, size;
  Branch<T> first, second;
  T* gate;  // [batch, channels]

  Channel channel() const { return {batch, size, channels * size}; }
  int64_t at(int64_t n, int64_t c) const { return (n * channels + c) * size; }

  // running: mean and variance of the first branch, then of the second
  void forward(bool training, double momentum, double epsilon, T* const (&running)[4], T* z) const {
    const Loops<T> run = PICK(loops<T>());
#pragma omp parallel for schedule(static)
    for (int64_t c = 0; c < channels; ++c) {
      for (int i = 0; i < 2; ++i) {
        const Branch<T>& branch = i ? second : first;
        T *mean = running[2 * i] + c, *variance = running[2 * i + 1] + c;
        double used[2] = {double(*mean), double(*variance)};
        if (training) {
          run.statistics(channel(), branch.x + c * size, &used[0], &used[1]);
          norm::move(mean, used[0], momentum);
          norm::move(variance, used[1], momentum);
        }
        branch.mean[c] = T(used[0]);
        branch.inverse[c] = T(1 / std::sqrt(used[1] + epsilon));
      }
      const Affine<T> u = first.affine(c), v = second.affine(c);
      for (int64_t n = 0; n < batch; ++n) {
        const T *x = first.x + at(n, c), *y = second.x + at(n, c);
        double sums[2] = {};
        run.plane_sums(size, x, y, sums);
        const double difference = (sums[0] * u.scale - sums[1] * v.scale) / size + (u.shift - v.shift);
        const T g = T(1 / (1 + std::exp(-difference)));
        gate[n * channels + c] = g;
        run.combine(size, x, y, g * u.scale, (1 - g) * v.scale, g * u.shift + (1 - g) * v.shift, z + at(n, c));
      }
    }
  }

  void backward(bool training, const T* dz, const BranchGradient<T>& d_first, const BranchGradient<T>& d_second) const {
    const Loops<T> run = PICK(loops<T>());
#pragma omp parallel
    {
      std::vector<double> extra(batch);  // the same in every pixel of a plane: what the gate hands on to u
#pragma omp for schedule(static)
      for (int64_t c = 0; c < channels; ++c) {
        const Affine<T> u = first.affine(c), v = second.affine(c);
        double sum_u[2] = {}, sum_v[2] = {};  // of du and du x', of dv and dv y'
        for (int64_t n = 0; n < batch; ++n) {
          double sums[5] = {};
          run.gradient_sums(size, first.x + at(n, c), second.x + at(n, c), dz + at(n, c), first.mean[c],
                            second.mean[c], sums);
          const double g = gate[n * channels + c];
          const double dgate = sums[1] * u.scale - sums[2] * v.scale + sums[0] * (first.bias[c] - second.bias[c]);
          const double e = extra[n] = g * (1 - g) * dgate / size;
          sum_u[0] += g * sums[0] + e * size;
          sum_u[1] += g * sums[1] + e * sums[3];
          sum_v[0] += (1 - g) * sums[0] - e * size;
          sum_v[1] += (1 - g) * sums[2] - e * sums[4];
        }
        for (int i = 0; i < 2; ++i) {
          const Branch<T>& branch = i ? second : first;
          const BranchGradient<T>& d = i ? d_second : d_first;
          const double* sum = i ? sum_v : sum_u;
          const double scale = i ? v.scale : u.scale, inverse = branch.inverse[c];
          d.dbias[c] = T(sum[0]);
          d.dweight[c] = T(sum[1] * inverse);
          // dx = scale (du - average of du - x' inverse^2 average of du x'); statistics at rest have no slope
          const double share = training ? scale / channel().numbers() : 0;
          const double slope = -share * sum[1] * inverse * inverse;
          const double shift = -share * sum[0] - slope * branch.mean[c];
          for (int64_t n = 0; n < batch; ++n) {
            const double g = gate[n * channels + c], weight = i ? 1 - g : g, e = i ? -extra[n] : extra[n];
            run.combine(size, dz + at(n, c), branch.x + at(n, c), T(scale * weight), T(slope), T(scale * e + shift),
                        d.dx + at(n, c));
          }
        }
      }
    }
  }
};

}  // namespace ppeffconv::blend
