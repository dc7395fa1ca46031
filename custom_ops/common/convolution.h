// What the convolutions by oneDNN share: shapes, layouts and Paddle's tensors as oneDNN takes them.
#pragma once

#include <cstdint>
#include <vector>

#include "common/onednn.h"
#include "paddle/phi/api/all.h"

namespace ppeffconv {

using Shape = std::vector<int64_t>;
using Ints = std::vector<int>;
using Layout = dnnl::memory::format_tag;

enum Kind : int64_t { kForward, kBackward };  // of a plan, in its key

// [N, O, OH, OW]; a side is 0 where the kernel is larger than the padded input.
inline Shape output_shape(const Shape& x, const Shape& w, const Ints& stride, const Ints& padding,
                          const Ints& dilation) {
  Shape out = {x[0], w[0], 0, 0};
  for (int i = 0; i < 2; ++i) {
    const int64_t extent = x[i + 2] + 2 * int64_t{padding[i]} - int64_t{dilation[i]} * (w[i + 2] - 1) - 1;
    out[i + 2] = extent < 0 ? 0 : extent / stride[i] + 1;
  }
  return out;
}

inline dnnl::memory::desc plain(const Shape& shape, Layout layout) {
  return {shape, dnnl::memory::data_type::f32, layout};
}

// In the layout that the primitive likes best.
inline dnnl::memory::desc any(const Shape& shape) { return plain(shape, Layout::any); }

// A plan owns the scratchpads of its primitives.
inline dnnl::primitive_attr attributes() {
  dnnl::primitive_attr attr;
  attr.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  return attr;
}

// oneDNN takes inputs and outputs alike as pointers to what may change.
inline float* floats(const paddle::Tensor& tensor) { return const_cast<float*>(tensor.data<float>()); }

}  // namespace ppeffconv
