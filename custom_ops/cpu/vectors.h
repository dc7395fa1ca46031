// Vectors of VECTOR_BYTES, by GCC's extension. For the kernels that for_each_target.h compiles: no include guard.

template <typename T>
struct Vector {
  typedef T type __attribute__((vector_size(VECTOR_BYTES)));
  static constexpr int64_t kLanes = VECTOR_BYTES / sizeof(T);
};

template <typename T>
inline typename Vector<T>::type load(const T* from) {
  typename Vector<T>::type value;
  __builtin_memcpy(&value, from, VECTOR_BYTES);  // no alignment is promised
  return value;
}

template <typename T>
inline void store(T* to, typename Vector<T>::type value) {
  __builtin_memcpy(to, &value, VECTOR_BYTES);
}

template <typename T>
inline T lane_sum(typename Vector<T>::type value) {
  T total = 0;
  for (int64_t lane = 0; lane < Vector<T>::kLanes; ++lane) total += value[lane];
  return total;
}

// Copies a row; the last vector overlaps the one before, which is faster than a remainder.
template <typename T>
inline void copy_row(const T* from, T* to, int64_t width) {
  constexpr int64_t kLanes = Vector<T>::kLanes;
  if (width < kLanes) {
    for (int64_t i = 0; i < width; ++i) to[i] = from[i];
    return;
  }
  for (int64_t i = 0; i < width - kLanes; i += kLanes) store(to + i, load(from + i));
  store(to + width - kLanes, load(from + width - kLanes));
}
