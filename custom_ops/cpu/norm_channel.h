// What the kernels that normalise share.
#pragma once

#include <cmath>
#include <cstdint>

namespace ppeffconv::norm {

// One channel: `planes` runs of `size` numbers, `stride` apart.
struct Channel {
  int64_t planes, size, stride;

  double numbers() const { return double(planes) * double(size); }
};

// x scale + shift is the normalised x.
template <typename T>
struct Affine {
  T scale, shift;
};

template <typename T>
Affine<T> affine(double weight, double bias, double mean, double inverse) {
  return {T(weight * inverse), T(bias - mean * inverse * weight)};
}

// A running statistic takes a step towards the batch's.
template <typename T>
void move(T* running, double batch, double momentum) {
  *running = T(*running * momentum + batch * (1 - momentum));
}

}  // namespace ppeffconv::norm
