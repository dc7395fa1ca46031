// What is kept from one call for the next: idle plans and workspaces, and programs that nobody holds. One list for the
// process, the most recent first; beyond a limit in bytes the last ones go.
#pragma once

#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <list>
#include <memory>
#include <mutex>

namespace ppeffconv::engine {

class Kept {
 public:
  struct Item {
    explicit Item(const void* owner) : owner(owner) {}
    virtual ~Item() = default;

    const void* const owner;  // who alone can use it
    int64_t bytes = 0;
  };

  static Kept& all() {
    static Kept* kept = new Kept;  // never destroyed: threads may run while the process ends
    return *kept;
  }

  // An item that is larger than the limit goes at once, and leaves the others.
  void put(std::unique_ptr<Item> item) {
    Items gone;
    const std::lock_guard<std::mutex> guard(mutex_);
    if (item->bytes > limit_) return gone.push_front(std::move(item));
    bytes_ += item->bytes;
    items_.push_front(std::move(item));
    trim(&gone);
  }

  // The item whose score is highest, of equals the most recent; null where none is positive.
  template <typename Score>
  std::unique_ptr<Item> take(const Score& score) {
    const std::lock_guard<std::mutex> guard(mutex_);
    auto best = items_.end();
    int64_t highest = 0;
    for (auto item = items_.begin(); item != items_.end(); ++item) {
      const int64_t mine = score(**item);
      if (mine > highest) highest = mine, best = item;
    }
    if (best == items_.end()) return nullptr;
    std::unique_ptr<Item> taken = std::move(*best);
    items_.erase(best);
    bytes_ -= taken->bytes;
    return taken;
  }

  // The owner's items go.
  void forget(const void* owner) {
    Items gone;
    const std::lock_guard<std::mutex> guard(mutex_);
    for (auto item = items_.begin(); item != items_.end();) {
      const auto next = std::next(item);
      if ((*item)->owner == owner) drop(item, &gone);
      item = next;
    }
  }

  void set_limit(int64_t bytes) {
    Items gone;
    const std::lock_guard<std::mutex> guard(mutex_);
    limit_ = bytes;
    trim(&gone);
  }
  int64_t limit() {
    const std::lock_guard<std::mutex> guard(mutex_);
    return limit_;
  }
  int64_t bytes() {
    const std::lock_guard<std::mutex> guard(mutex_);
    return bytes_;
  }

 private:
  using Items = std::list<std::unique_ptr<Item>>;  // what is `gone` is destroyed without the lock, and may own others

  Kept() {
    const char* megabytes = std::getenv("PPEFFCONV_MEMORY");
    if (megabytes && *megabytes) limit_ = std::atoll(megabytes) << 20;
  }
  void trim(Items* gone) {
    while (bytes_ > limit_) drop(std::prev(items_.end()), gone);
  }
  void drop(Items::iterator item, Items* gone) {
    bytes_ -= (*item)->bytes;
    gone->splice(gone->begin(), items_, item);
  }

  std::mutex mutex_;
  Items items_;
  int64_t bytes_ = 0, limit_ = int64_t{2} << 30;
};

// Memory that runs work in, whether it is idle or in use.
class Working : public Kept::Item {
 public:
  using Item::Item;
  ~Working() override { total() -= bytes; }
  void resize(int64_t to) { total() += to - bytes, bytes = to; }

  static std::atomic<int64_t>& total() {
    static std::atomic<int64_t> total{0};
    return total;
  }
};

}  // namespace ppeffconv::engine
