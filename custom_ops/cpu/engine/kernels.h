// The engine's inner loops, compiled for each instruction set: what they are given, and how they are chosen.
#pragma once

#include <algorithm>
#include <cstring>
#include <vector>

#include "cpu/engine/types.h"

namespace ppeffconv::engine {

constexpr int kRows = 6;        // pixels of a block: with 4 vectors of columns they fill AVX-512's registers
constexpr int64_t kPanel = 64;  // most columns of a panel
constexpr int64_t kHalf = 8;    // columns of a panel that would fill no more than half a vector

// An output pixel.
struct Pixel {
  int64_t image, y, x;
};

// A map that is read, and how its windows follow from the output's pixels.
template <typename T>
struct Source {
  Map<T> map;
  int64_t stride_h = 1, stride_w = 1, padding_h = 0, padding_w = 0;
};

// `count` channels of a source from `channel` on, under the tap (dy, dx) of the window.
struct Segment {
  int64_t source, dy, dx, channel, count;
};

// A segment on given maps: its tap, x + 2^32 y; how far it lies behind the window's first pixel; and its 4-byte units.
struct Tap {
  int64_t source, at, bytes, units;
};

// The rows of a block are located together, as a vector of eight numbers.
constexpr int kRoom = 8;

// A block's output pixels.
struct Pixels {
  int64_t index[kRoom], image[kRoom], y[kRoom], x[kRoom];
};

// In a map the first pixels of a block's windows, which may lie outside: their addresses, and where, x + 2^32 y. The
// map's last pixel, likewise.
struct Corner {
  int64_t address[kRoom], at[kRoom], last;
};

// What a block of pixels has under one segment: `units` 4-byte units of each row.
struct Operand {
  const uint32_t* rows[kRoom];
  int64_t units;
};

// Where the rows of a block go, at their first channel; and what is added to them. Null: nothing.
template <typename T>
struct Places {
  T* out[kRoom];
  const T *add[kRoom], *up[kRoom];
  const float* gate[kRoom];  // SPConv's numbers of the row's image, see Gates
};

// A block: its rows, their images, and what they go on from.
template <typename T>
struct Head {
  Places<T> places;
  int64_t images[kRoom];
  const float* begun[kRoom];
  int rows;
};

// What the blocks of a product read and write.
template <typename T>
struct Sites {
  const Source<T>* sources;
  int64_t maps;
  const Tap* taps;
  int64_t count;
  const void* zeros;
  Map<T> out, add, up;
  Map<float> begun, gates;
};

// y = act(sum * scale + shift + up + add).
struct Finish {
  const float *scale = nullptr, *shift = nullptr;  // padded with zeros to whole panels
  Act act = Act::kNone;
  int64_t channels = 0, pitch = 0;  // of the output
  int64_t gates = 0;                // SPConv: channels of each of its three numbers
};

// The sums of a product's block, which go on from those in `from`. They go into a tile; or, finished, to their places
// from `channel` on; or both.
template <typename T>
struct Result {
  const float* from;  // null: from zero
  bool gated;         // times SPConv's ratio
  float* tile;        // null: not kept
  bool delivers;
  const Places<T>* places;
  const Finish* finish;
  int64_t channel;
  // weights that are needed next: a cache line is fetched with every unit of depth, or always the same one
  const char* ahead;
  int64_t ahead_step;
};

// SPConv's gates of an image: b = sigmoid(logits (V3 - V1)) of the branches' means, and the result is b V3 + (1 - b)
// V1. What is summed is V3 b / (1 - b) + V1, so that one product gives both. Hence there are three numbers a channel,
// [3][pitch]: scale 1 - b, shift b shift3 + (1 - b) shift1, and ratio b / (1 - b).
struct Gates {
  const float *shift3 = nullptr, *shift1 = nullptr, *logits = nullptr;
  int64_t pitch = 0;
};

template <typename T>
struct RowFunctions {
  void (*advance)(Pixels*, int64_t step, int64_t height, int64_t width);
  void (*locate)(const Sites<T>&, const Pixels&, Corner*, Head<T>*, Operand*);
  void (*multiply)(int rows, const Operand* a, int64_t count, const void* b, int64_t columns, const Result<T>&);
  void (*finish)(const Finish&, const float* tile, int64_t pitch, int rows, const Places<T>&, int64_t channel,
                 int64_t count);
  void (*open)(const float* heavy, const float* light, int64_t columns, int rows, float* const* to, const Gates&);
};

// Output pixels side by side, y = act(sum * scale + shift + add); null: none. In elements the outputs and what is added
// lie `pitch` apart, the inputs under a tap `step`.
template <typename T>
struct Stretch {
  int64_t count, step;
  T* y;
  const T* add;
  int64_t pitch;
  const float *scale, *shift;
  Act act;
};

template <typename T>
struct MapFunctions {
  void (*affine)(const T* x, const float* scale, const float* shift, const T* add, Act, int64_t padded, T* y);
  void (*multiply)(const T* a, const T* b, bool one, Act, int64_t padded, T* y);
  void (*pool)(const T* const* from, int64_t count, bool largest, float factor, int64_t padded, T* y);
  void (*sum)(const T* x, int64_t pitch, int64_t count, int64_t first, int64_t last, float* sums);
  void (*weigh)(const T* const* from, const float* weights, int64_t count, const float* shift, const T* add, Act,
                int64_t padded, T* y);
  void (*depthwise)(const T* const* from, const float* const* weights, int64_t taps, const Stretch<T>&, int64_t padded);
  void (*narrow)(const float* from, float factor, int64_t padded, T* to);
};

// Most neighbouring pixels that are computed together.
constexpr int64_t kRun = 64;

// The filters of one image and branch: those of the channels [tap][padded], and of the pixels [head][tap][kRun].
struct Filtering {
  const float *channel, *spatial;
  int64_t padded, taps, heads, head_width;
  bool add;
};
template <typename T>
struct FilterFunctions {
  void (*standardise)(const T* from, int64_t pitch, int64_t count, int64_t taps, float factor, float* to);
  void (*filter)(const Filtering&, const T* const* x, const int64_t* taps, int64_t count, const Stretch<T>&);
};

struct WinogradFunctions {
  void (*input)(const float* const* pixels, int64_t channels, float* to, int64_t pitch);
  void (*output)(const float* sums, int64_t pitch, const Finish&, const Places<float>&, int64_t channel,
                 int64_t channels);
};

#define KERNELS "cpu/engine/rows.h"
#include "cpu/for_each_target.h"
#undef KERNELS

template <typename T>
RowFunctions<T> row_functions(bool native) {
  if (sizeof(T) == 2 && native) return PICK(native_row_functions<T>());
  return PICK(row_functions<T>());
}

template <typename T>
MapFunctions<T> pick_map_functions() {
  return PICK(map_functions<T>());
}

inline WinogradFunctions pick_winograd_functions() { return PICK(winograd_functions()); }

template <typename T>
FilterFunctions<T> pick_filter_functions() {
  return PICK(filter_functions<T>());
}

// Whether this CPU multiplies pairs of bfloat16, and its vectors are in use.
inline bool native_bfloat16() {
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
  return ppeffconv_instructions() == 2 && __builtin_cpu_supports("avx512bf16");
#else
  return false;
#endif
}

}  // namespace ppeffconv::engine
