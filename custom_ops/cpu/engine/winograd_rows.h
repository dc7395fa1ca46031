// The transforms of Winograd's F(2x2, 3x3), sixteen channels at a time. No include guard: see for_each_target.h.

// The 4x4 pixels of an input tile, row by row, to B^T d B: sixteen numbers a channel, `pitch` apart.
inline void winograd_input(const float* const* pixels, int64_t channels, float* to, int64_t pitch) {
  for (int64_t c = 0; c < channels; c += kLanes) {
    V16 half[4][4];
    for (int x = 0; x < 4; ++x) {
      const V16 d0 = load16(pixels[x] + c), d1 = load16(pixels[4 + x] + c), d2 = load16(pixels[8 + x] + c);
      half[0][x] = d0 - d2, half[1][x] = d1 + d2, half[2][x] = d2 - d1;
      half[3][x] = d1 - load16(pixels[12 + x] + c);
    }
    for (int y = 0; y < 4; ++y) {
      float* row = to + 4 * y * pitch + c;
      store16(row, half[y][0] - half[y][2]);
      store16(row + pitch, half[y][1] + half[y][2]);
      store16(row + 2 * pitch, half[y][2] - half[y][1]);
      store16(row + 3 * pitch, half[y][1] - half[y][3]);
    }
  }
}

// Sums of a tile, sixteen a channel and `pitch` apart, to its four pixels A^T m A, finished by a limit. Null: no such
// pixel.
inline void winograd_output(const float* sums, int64_t pitch, const Finish& f, const Places<float>& places,
                            int64_t channel, int64_t channels) {
  for (int64_t c = 0; c < channels; c += kLanes) {
    V16 half[2][4], y[4];
    for (int x = 0; x < 4; ++x) {
      const float* column = sums + x * pitch + c;
      const V16 m1 = load16(column + 4 * pitch), m2 = load16(column + 8 * pitch);
      half[0][x] = load16(column) + m1 + m2;
      half[1][x] = m1 - m2 - load16(column + 12 * pitch);
    }
    for (int i = 0; i < 2; ++i) {
      y[2 * i] = half[i][0] + half[i][1] + half[i][2];
      y[2 * i + 1] = half[i][1] - half[i][2] - half[i][3];
    }
    for (int i = 0; i < 4; ++i) {
      if (places.out[i] == nullptr) continue;
      V16 value = y[i];
      if (f.shift) value = value + load16(f.shift + channel + c);
      if (places.up[i]) value = value + load16(places.up[i] + channel + c);
      if (places.add[i]) value = value + load16(places.add[i] + channel + c);
      store16(places.out[i] + channel + c, limit(value, f.act));
    }
  }
}

inline WinogradFunctions winograd_functions() { return {winograd_input, winograd_output}; }
