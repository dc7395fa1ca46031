// The memory in which a program runs: its maps, and the scratch of its operations and threads. Programs that run one
// after another, on images of any size, share one; each that runs beside others has one for itself.
#pragma once

#include <climits>

#include "cpu/engine/kept.h"
#include "cpu/engine/memory.h"

namespace ppeffconv::engine {

class Workspace : public Working {
 public:
  Workspace() : Working(&kAnybody) {}

  // One of at least so many bytes; that at `address` if it is idle, as what is bound to it need not be bound anew. Else
  // the smallest that is large enough, or the largest, which grows.
  static std::unique_ptr<Workspace> take(int64_t bytes, const char* address) {
    auto found = Kept::all().take([&](const Kept::Item& item) -> int64_t {
      if (item.owner != &kAnybody) return 0;
      if (item.bytes < bytes) return 1 + item.bytes;
      return static_cast<const Workspace&>(item).data() == address ? INT64_MAX : INT64_MAX - item.bytes;
    });
    std::unique_ptr<Workspace> workspace(static_cast<Workspace*>(found.release()));
    if (workspace == nullptr) workspace = std::make_unique<Workspace>();
    workspace->reserve(bytes);
    return workspace;
  }
  static void give(std::unique_ptr<Workspace> workspace) { Kept::all().put(std::move(workspace)); }

  char* data() const { return memory_.data(); }

 private:
  void reserve(int64_t bytes) {
    if (bytes > this->bytes) {
      memory_ = Aligned<char>();  // before the larger one is taken
      resize(0);
      memory_ = Aligned<char>(bytes);
      resize(bytes);
    }
#ifdef PPEFFCONV_POISON  // for a test: nothing may depend on what earlier runs left there
    std::memset(data(), 0xff, bytes);
#endif
  }

  static constexpr char kAnybody = 0;
  Aligned<char> memory_;
};

}  // namespace ppeffconv::engine
