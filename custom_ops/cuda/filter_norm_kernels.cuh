// Filter normalisation, (v - mean) / (std + eps) over the taps, of tensors [outer, taps, inner], and its gradient.
#pragma once

#include "device.cuh"

namespace ppeffconv::cuda::filter_norm {

// One filter less its first tap, so that equal taps are exactly zero; taps lie `inner` elements apart. kTaps > 0: a
// number known here, and the taps in registers.
template <typename T, int kTaps>
class Filter {
 public:
  __device__ Filter(const T* data, int taps, int64_t inner)
      : data_(data), taps_(taps), inner_(inner), first_(to_float(*data)) {
#pragma unroll
    for (int t = 0; t < kTaps; ++t) cache_[t] = to_float(data[t * inner]) - first_;
  }

  __device__ int taps() const { return kTaps ? kTaps : taps_; }
  __device__ float operator[](int t) const {
    return kTaps ? cache_[kTaps ? t : 0] : to_float(data_[t * inner_]) - first_;
  }
  __device__ float mean() const {
    float sum = 0;
#pragma unroll
    for (int t = 0; t < taps(); ++t) sum += (*this)[t];
    return sum / taps();
  }

 private:
  const T* data_;
  int taps_;
  int64_t inner_;
  float first_;
  float cache_[kTaps ? kTaps : 1];
};

template <typename T, int kTaps>
__device__ float standard_deviation(const Filter<T, kTaps>& v, float mean) {
  float squares = 0;
#pragma unroll
  for (int t = 0; t < v.taps(); ++t) squares += (v[t] - mean) * (v[t] - mean);
  return sqrtf(squares / max(v.taps() - 1, 1));
}

template <typename T, int kTaps>
__global__ void __launch_bounds__(256) forward_filters(int64_t filters, int taps, int64_t inner, float scale,
                                                       float eps, const T* __restrict__ x, T* __restrict__ y) {
  const int64_t i = int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= filters) return;
  const int64_t base = i / inner * taps * inner + i % inner;
  const Filter<T, kTaps> v(x + base, taps, inner);
  const float mean = v.mean(), deviation = standard_deviation(v, mean);
  const float factor = deviation > 0 ? scale / (deviation + eps) : 0.f;
#pragma unroll
  for (int t = 0; t < v.taps(); ++t) assign(y[base + t * inner], (v[t] - mean) * factor);
}

// With d = v - mean, q = std + eps: dx = scale ((dy - mean(dy)) / q - d sum(dy d) / ((taps - 1) std q^2)).
template <typename T, int kTaps>
__global__ void __launch_bounds__(256) backward_filters(int64_t filters, int taps, int64_t inner, float scale,
                                                        float eps, const T* __restrict__ x, const T* __restrict__ dy,
                                                        T* __restrict__ dx) {
  const int64_t i = int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= filters) return;
  const int64_t base = i / inner * taps * inner + i % inner;
  const Filter<T, kTaps> v(x + base, taps, inner), g(dy + base, taps, inner);
  const float mean = v.mean(), gradient_mean = g.mean(), deviation = standard_deviation(v, mean);
  float product = 0;
#pragma unroll
  for (int t = 0; t < v.taps(); ++t) product += g[t] * (v[t] - mean);
  const float inverse = deviation > 0 ? 1 / (deviation + eps) : 0.f;
  // one factor at a time: the square of a tiny deviation is no float
  const float slope = deviation > 0 ? product * inverse / max(v.taps() - 1, 1) / deviation : 0.f;
#pragma unroll
  for (int t = 0; t < v.taps(); ++t) {
    assign(dx[base + t * inner], scale * inverse * (g[t] - gradient_mean - (v[t] - mean) * slope));
  }
}

template <typename T>
void forward(int64_t outer, int taps, int64_t inner, float scale, float eps, const T* x, T* y, cudaStream_t stream) {
  const int64_t filters = outer * inner;
  launch(taps == 9 ? forward_filters<T, 9> : forward_filters<T, 0>, linear_grid(ceil_div<int64_t>(filters, 256)),
         dim3(256), 0, stream, filters, taps, inner, scale, eps, x, y);
}

template <typename T>
void backward(int64_t outer, int taps, int64_t inner, float scale, float eps, const T* x, const T* dy, T* dx,
              cudaStream_t stream) {
  const int64_t filters = outer * inner;
  launch(taps == 9 ? backward_filters<T, 9> : backward_filters<T, 0>, linear_grid(ceil_div<int64_t>(filters, 256)),
         dim3(256), 0, stream, filters, taps, inner, scale, eps, x, dy, dx);
}

}  // namespace ppeffconv::cuda::filter_norm
