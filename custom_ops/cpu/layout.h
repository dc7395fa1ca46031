// Sizes of scratch rows and tiles.
#pragma once

#include <algorithm>
#include <cstdint>

namespace ppeffconv {

// Scratch rows are laid out for the widest vectors there are, whichever this CPU has.
constexpr int kAlign = 64;

template <typename T>
constexpr int64_t lanes() {
  return kAlign / sizeof(T);
}

inline int64_t round_up(int64_t value, int64_t multiple) { return (value + multiple - 1) / multiple * multiple; }

// Rows per tile, so that what the tile reuses from channel to channel stays in the second-level cache.
inline int64_t tile_rows(int64_t rows, int64_t row_bytes, int64_t cache_bytes) {
  return std::clamp<int64_t>(cache_bytes / row_bytes, 1, std::max<int64_t>(rows, 1));
}

}  // namespace ppeffconv
