// Memory for whole vectors.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>

#ifdef __linux__
#include <sys/mman.h>
#endif

#include "cpu/layout.h"

namespace ppeffconv::engine {

// Bytes that this thread has taken so far.
inline thread_local int64_t allocated_here = 0;

// Zeros at first, with some to spare behind the end, where vectors may read. Large ones lie in huge pages where the
// system has them: weights are read from end to end in every run, and small pages cost up to a tenth of it.
template <typename T>
class Aligned {
 public:
  explicit Aligned(int64_t size = 0) : data_(nullptr, std::free) {
    if (size == 0) return;
    const int64_t bytes = size * sizeof(T) + kSpare, alignment = bytes < kHuge ? kAlign : kHuge;
    const int64_t rounded = round_up(bytes, alignment);
    data_.reset(static_cast<T*>(std::aligned_alloc(alignment, rounded)));
    if (data_ == nullptr) throw std::bad_alloc();
#ifdef MADV_HUGEPAGE
    if (alignment == kHuge) madvise(data_.get(), rounded, MADV_HUGEPAGE);
#endif
    std::memset(static_cast<void*>(data_.get()), 0, bytes);
    allocated_here += bytes;
  }
  T* data() const { return data_.get(); }

 private:
  static constexpr int64_t kSpare = 4 * kAlign, kHuge = int64_t{2} << 20;
  std::unique_ptr<T, void (*)(void*)> data_;
};

}  // namespace ppeffconv::engine
