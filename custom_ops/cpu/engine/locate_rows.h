// Where the rows of a product's block lie: addresses for all rows at once. No include guard: see for_each_target.h.

typedef int64_t Rows8 __attribute__((vector_size(8 * kRoom)));
typedef int32_t Pairs __attribute__((vector_size(8 * kRoom)));

inline Rows8 load_rows(const void* from) {
  Rows8 value;
  __builtin_memcpy(&value, from, sizeof value);
  return value;
}
inline void store_rows(void* to, Rows8 value) { __builtin_memcpy(to, &value, sizeof value); }

// The next block: all pixels `step` further.
inline void advance(Pixels* pixels, int64_t step, int64_t height, int64_t width) {
  Rows8 image = load_rows(pixels->image), y = load_rows(pixels->y), x = load_rows(pixels->x) + step;
  for (int64_t ahead = width - 1 + step; ahead >= width; ahead -= width) {  // most that may have to be wrapped
    const Rows8 wraps = x >= width;
    x -= wraps & width, y -= wraps;
    const Rows8 ends = y >= height;
    y -= ends & height, image -= ends;
  }
  store_rows(pixels->index, load_rows(pixels->index) + step);
  store_rows(pixels->image, image);
  store_rows(pixels->y, y);
  store_rows(pixels->x, x);
}

// The addresses of pixels in a map; all null without one.
template <typename T, typename Pointer>
inline void place(const Map<T>& map, Rows8 index, Pointer* to) {
  store_rows(to, map.data ? index * (map.pitch * int64_t(sizeof(T))) + int64_t(map.data) : Rows8{});
}

// The first pixel of each row's window. Row and column share a number: x + 2^32 y.
template <typename T>
inline void find_corner(const Source<T>& from, Rows8 image, Rows8 y, Rows8 x, Corner* to) {
  const Map<T>& map = from.map;
  y = y * from.stride_h - from.padding_h, x = x * from.stride_w - from.padding_w;
  const Rows8 index = (image * map.height + y) * map.width + x;
  store_rows(to->address, index * (map.pitch * int64_t(sizeof(T))) + int64_t(map.data));
  store_rows(to->at, (x & 0xffffffff) | (y << 32));
  to->last = (map.width - 1) | (map.height - 1) << 32;
}

// What lies under each tap; outside of the map zeros.
inline void find_rows(const Corner* corners, const Tap* taps, int64_t count, const void* zeros, Operand* to) {
  const Rows8 signs = Rows8{} + int64_t(0x8000000080000000);
  for (int64_t i = 0; i < count; ++i) {
    const Tap& tap = taps[i];
    const Corner& corner = corners[tap.source];
    const Pairs at = (Pairs)load_rows(corner.at) + (Pairs)(Rows8{} + tap.at);
    const Pairs left = (Pairs)(Rows8{} + corner.last) - at;
    const Rows8 inside = ((Rows8)(at | left) & signs) == 0;
    store_rows(to[i].rows, inside ? load_rows(corner.address) + tap.bytes : Rows8{} + int64_t(zeros));
    to[i].units = tap.units;
  }
}

// A block: where its results go, and its operands.
template <typename T>
void locate(const Sites<T>& sites, const Pixels& pixels, Corner* corners, Head<T>* head, Operand* operands) {
  const Rows8 index = load_rows(pixels.index), image = load_rows(pixels.image);
  const Rows8 y = load_rows(pixels.y), x = load_rows(pixels.x);
  const Map<T>& up = sites.up;
  place(sites.out, index, head->places.out);
  place(sites.add, index, head->places.add);
  place(up, (image * up.height + (y >> 1)) * up.width + (x >> 1), head->places.up);
  place(sites.begun, index, head->begun);
  place(sites.gates, image, head->places.gate);
  store_rows(head->images, image);
  for (int64_t i = 0; i < sites.maps; ++i) find_corner(sites.sources[i], image, y, x, corners + i);
  find_rows(corners, sites.taps, sites.count, sites.zeros, operands);
}
