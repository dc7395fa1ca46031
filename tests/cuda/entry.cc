// The launchers as plain C functions for ctypes. Each returns null, or what went wrong.
#define EMULATION_MAIN
#include "emulation.h"

#include "ddf_backward_kernels.cuh"
#include "filter_norm_kernels.cuh"
#include "interpolate_backward_kernels.cuh"
#include "octave_kernels.cuh"
#include "sampled_kernels.cuh"
#include "toys.cuh"

#define ENTRY extern "C" __attribute__((visibility("default")))

namespace {

using namespace ppeffconv::cuda;

// Calls run(T{}) for a type by its number.
template <typename Run>
const char* visit(int type, const Run& run) {
  static std::string message;
  try {
    if (type == 0) run(float{});
    if (type == 1) run(__half{});
    if (type == 2) run(__nv_bfloat16{});
  } catch (const std::exception& error) {
    message = error.what();
    return message.c_str();
  }
  return nullptr;
}

template <typename T>
const T* in(const void* pointer) {
  return static_cast<const T*>(pointer);
}
template <typename T>
T* out(void* pointer) {
  return static_cast<T*>(pointer);
}

ddf::Geometry ddf_geometry(const int64_t* s) {
  const int height = s[2], width = s[3], stride = s[5];
  const int out_height = (height - 1) / stride + 1, out_width = (width - 1) / stride + 1;
  return {s[0], s[1], height, width, out_height, out_width, int(s[4]), stride, int(s[6])};
}

interpolate::Geometry interpolate_geometry(const int64_t* s) { return {s[0], s[1], int(s[2]), int(s[3]), int(s[4])}; }

octave::Geometry octave_geometry(const int64_t* s) { return {s[0], int(s[1]), int(s[2])}; }

}  // namespace

ENTRY void set_order(unsigned order) { emulation::Device::get().set_order(order); }

// sizes: B, C, H, W, kernel, stride, dilation, add
ENTRY const char* ddf_forward(int type, const int64_t* sizes, const void* x, const void* channel, const void* spatial,
                              void* y) {
  return visit(type, [&](auto zero) {
    using T = decltype(zero);
    ddf::forward(ddf_geometry(sizes), sizes[7], in<T>(x), in<T>(channel), in<T>(spatial), out<T>(y), nullptr);
  });
}

ENTRY const char* ddf_backward(int type, const int64_t* sizes, const void* x, const void* channel, const void* spatial,
                               const void* dy, void* dx, void* dchannel, void* dspatial) {
  return visit(type, [&](auto zero) {
    using T = decltype(zero);
    const ddf::Backward backward(ddf_geometry(sizes));
    std::vector<float> scratch(backward.scratch(), NAN);
    backward(sizes[7], in<T>(x), in<T>(channel), in<T>(spatial), in<T>(dy), out<T>(dx), out<T>(dchannel),
             out<T>(dspatial), scratch.data(), nullptr);
  });
}

// sizes: outer, taps, inner; factors: scale, eps
ENTRY const char* filter_norm_forward(int type, const int64_t* sizes, const float* factors, const void* x, void* y) {
  return visit(type, [&](auto zero) {
    using T = decltype(zero);
    filter_norm::forward(sizes[0], sizes[1], sizes[2], factors[0], factors[1], in<T>(x), out<T>(y), nullptr);
  });
}

ENTRY const char* filter_norm_backward(int type, const int64_t* sizes, const float* factors, const void* x,
                                       const void* dy, void* dx) {
  return visit(type, [&](auto zero) {
    using T = decltype(zero);
    filter_norm::backward(sizes[0], sizes[1], sizes[2], factors[0], factors[1], in<T>(x), in<T>(dy), out<T>(dx),
                          nullptr);
  });
}

// sizes: N, C, H, W, radius
ENTRY const char* interpolate_forward(int type, const int64_t* sizes, const void* features, const float* mask,
                                      const float* sigma, void* y) {
  return visit(type, [&](auto zero) {
    using T = decltype(zero);
    interpolate::forward(interpolate_geometry(sizes), in<T>(features), mask, sigma, out<T>(y), nullptr);
  });
}

ENTRY const char* interpolate_inactive(int type, const int64_t* sizes, const void* features, const float* mask,
                                       const float* sigma, void* y) {
  return visit(type, [&](auto zero) {
    using T = decltype(zero);
    interpolate::forward_inactive(interpolate_geometry(sizes), in<T>(features), mask, sigma, out<T>(y), nullptr);
  });
}

ENTRY const char* interpolate_backward(int type, const int64_t* sizes, const void* features, const float* mask,
                                       const float* sigma, const void* dy, void* dfeatures, float* dmask,
                                       float* dsigma) {
  return visit(type, [&](auto zero) {
    using T = decltype(zero);
    const interpolate::Backward backward(interpolate_geometry(sizes));
    std::vector<float> scratch(backward.scratch(), NAN);
    backward(in<T>(features), mask, sigma, in<T>(dy), out<T>(dfeatures), dmask, dsigma, scratch.data(), nullptr);
  });
}

// sizes: planes, H, W
ENTRY const char* octave_pool_forward(int type, const int64_t* sizes, const void* x, void* y) {
  return visit(type, [&](auto zero) {
    using T = decltype(zero);
    octave::pool_forward(octave_geometry(sizes), in<T>(x), out<T>(y), nullptr);
  });
}

ENTRY const char* octave_pool_backward(int type, const int64_t* sizes, const void* dy, void* dx) {
  return visit(type, [&](auto zero) {
    using T = decltype(zero);
    octave::pool_backward(octave_geometry(sizes), in<T>(dy), out<T>(dx), nullptr);
  });
}

ENTRY const char* octave_upsample_add_forward(int type, const int64_t* sizes, const void* a, const void* b, void* y) {
  return visit(type, [&](auto zero) {
    using T = decltype(zero);
    octave::upsample_add_forward(octave_geometry(sizes), in<T>(a), in<T>(b), out<T>(y), nullptr);
  });
}

ENTRY const char* octave_upsample_add_backward(int type, const int64_t* sizes, const void* dy, void* db) {
  return visit(type, [&](auto zero) {
    using T = decltype(zero);
    octave::upsample_add_backward(octave_geometry(sizes), in<T>(dy), out<T>(db), nullptr);
  });
}

// sizes: count, C, H, W, OH, OW, then kernel, stride, padding and dilation, each of height and width
ENTRY const char* sampled_gather(int type, const int64_t* sizes, const void* x, const int64_t* positions, void* rows) {
  return visit(type, [&](auto zero) {
    using T = decltype(zero);
    const int64_t* const s = sizes;
    const sampled::Geometry g{s[1],      int(s[2]), int(s[3]),  int(s[4]),  int(s[5]),  int(s[6]), int(s[7]),
                              int(s[8]), int(s[9]), int(s[10]), int(s[11]), int(s[12]), int(s[13])};
    sampled::gather(g, sizes[0], in<T>(x), positions, out<T>(rows), nullptr);
  });
}

// sizes: count, columns, pixels of a plane
ENTRY const char* sampled_scatter(int type, const int64_t* sizes, const void* rows, const int64_t* positions, void* y) {
  return visit(type, [&](auto zero) {
    using T = decltype(zero);
    sampled::scatter(sizes[0], sizes[1], sizes[2], in<T>(rows), positions, out<T>(y), nullptr);
  });
}

// sizes: which toy
ENTRY const char* toy(int type, const int64_t* sizes, float* data) {
  return visit(type, [&](auto) { toys::run(sizes[0], data); });
}
