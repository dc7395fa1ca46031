// What the engine's kernels work on: feature maps in NHWC whose pixels are padded to whole vectors.
#pragma once

#include <cstdint>
#include <cstring>

#include "cpu/layout.h"

namespace ppeffconv::engine {

struct bfloat16 {
  uint16_t bits;
};

inline float to_float(float value) { return value; }
inline float to_float(bfloat16 value) {
  const uint32_t bits = uint32_t{value.bits} << 16;
  float result;
  std::memcpy(&result, &bits, 4);
  return result;
}

enum class Act { kNone, kRelu, kRelu6, kHardsigmoid, kHardswish, kSigmoid, kSwish };

// Whether it is none or cuts values off. The others are curves, and a sigmoid's of zero is not zero.
constexpr bool is_limit(Act act) { return act <= Act::kRelu6; }

// Channels in 64 bytes: what is copied, padded and multiplied at once.
template <typename T>
constexpr int64_t unit() {
  return kAlign / sizeof(T);
}

// Floats of the widest vector; results are computed by so many channels.
constexpr int64_t kLanes = 16;

// A feature map, or a vector per image if it has one pixel. Between two pixels lie `pitch` elements; those beyond the
// channels are zero, or what an activation makes of zero: whole vectors can be read, for weights there are zero.
template <typename T>
struct Map {
  T* data = nullptr;
  int64_t batch = 0, height = 0, width = 0, channels = 0, pitch = 0;

  int64_t plane() const { return height * width; }
  int64_t pixels() const { return batch * plane(); }
  T* pixel(int64_t index) const { return data + index * pitch; }
  // Some of the channels.
  Map part(int64_t first, int64_t count) const { return {data + first, batch, height, width, count, pitch}; }
};

// A number of `items` cut into about equal parts.
struct Share {
  int64_t begin, end;

  static Share of(int64_t items, int64_t part, int64_t parts) {
    return {items * part / parts, items * (part + 1) / parts};
  }
  int64_t size() const { return end - begin; }
};

// One of a task's pieces, and the thread of the team that does it. Results depend on neither.
struct Piece {
  int64_t index, count, worker;

  Share share(int64_t items) const { return Share::of(items, index, count); }
};

}  // namespace ppeffconv::engine
