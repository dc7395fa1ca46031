// The programs of the process, by uid: what is packed once for a uid serves all its callers.
#pragma once

#include "cpu/engine/network.h"

namespace ppeffconv::engine {

// A 64-bit fingerprint of the weights' numbers (FNV-1a, a word at a time).
inline uint64_t fingerprint(const std::vector<Weight>& weights) {
  uint64_t hash = 1469598103934665603u;
  for (const Weight& weight : weights) {
    const int64_t size = weight.size();
    for (int64_t i = 0; i < size; ++i) {
      uint32_t word;
      std::memcpy(&word, weight.data + i, 4);
      hash = (hash ^ word) * 1099511628211u;
    }
  }
  return hash;
}

// A few numbers of each weight: looked at in every call, as addresses may have been given to other numbers since.
inline std::vector<float> spots(const std::vector<Weight>& weights) {
  std::vector<float> numbers;
  for (const Weight& weight : weights) {
    const int64_t size = weight.size();
    for (int64_t at : {int64_t{0}, size / 2, size - 1}) numbers.push_back(size > 0 ? weight.data[at] : 0);
  }
  return numbers;
}

inline bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

inline std::unique_ptr<AnyNetwork> make_network(const std::string& text, const std::vector<Weight>& weights) {
  const Program program = Program::parse(text);
  if (program.bfloat) return std::make_unique<Network<bfloat16>>(program, weights);
  return std::make_unique<Network<float>>(program, weights);
}

// A program that is packed at its first call.
class Packed {
 public:
  ~Packed() { total() -= bytes_; }

  // Numbers at other addresses are compared once, so that a uid that does not belong to them is found out.
  AnyNetwork& network(const std::string& text, const std::vector<Weight>& weights) {
    std::vector<const float*> places;
    for (const Weight& weight : weights) places.push_back(weight.data);
    const std::lock_guard<std::mutex> guard(mutex_);
    if (!network_) pack(text, weights);
    PD_CHECK(text_ == text, "deployed: this uid was made from another program; deploy the network again");
    const bool known = places_.empty() || places_.count(places) > 0;
    PD_CHECK(same_bits(spots(weights), spots_) && (known || fingerprint(weights) == hash_),
             "deployed: the weights are not those that this uid was made from; deploy the network again");
    places_.insert(std::move(places));
    return *network_;
  }

  // Null before the first call, or where the text is another one.
  const AnyNetwork* packed(const std::string& text) {
    const std::lock_guard<std::mutex> guard(mutex_);
    return network_ && text_ == text ? network_.get() : nullptr;
  }

  int64_t bytes() {
    const std::lock_guard<std::mutex> guard(mutex_);
    return bytes_;
  }
  static std::atomic<int64_t>& total() {
    static std::atomic<int64_t> total{0};
    return total;
  }

 private:
  void pack(const std::string& text, const std::vector<Weight>& weights) {
    const int64_t before = allocated_here;
    std::unique_ptr<AnyNetwork> network = make_network(text, weights);
    hash_ = fingerprint(weights), spots_ = spots(weights), text_ = text;
    bytes_ = allocated_here - before;
    total() += bytes_;
    network_ = std::move(network);
  }

  std::mutex mutex_;
  std::unique_ptr<AnyNetwork> network_;
  std::string text_;
  uint64_t hash_ = 0;
  int64_t bytes_ = 0;
  std::vector<float> spots_;
  std::set<std::vector<const float*>> places_;
};

// Programs that somebody holds stay packed; others are kept among all else that is kept from call to call.
class Networks {
 public:
  static Networks& all() {
    static Networks* networks = new Networks;  // never destroyed: threads may run while the process ends
    return *networks;
  }

  std::shared_ptr<Packed> get(const std::string& uid) {
    const std::lock_guard<std::mutex> guard(mutex_);
    return find(uid);
  }
  void hold(const std::string& uid) {
    const std::lock_guard<std::mutex> guard(mutex_);
    held_[uid] = find(uid);
  }
  // After a call: a program that nobody holds is kept for the next.
  void keep(const std::string& uid, const std::shared_ptr<Packed>& program) {
    const std::lock_guard<std::mutex> guard(mutex_);
    const auto found = programs_.find(uid);
    if (held_.count(uid) || found == programs_.end() || found->second.lock() != program) return;
    Kept::all().forget(program.get());
    auto item = std::make_unique<Unheld>(program.get());
    item->program = program, item->bytes = program->bytes();
    Kept::all().put(std::move(item));
  }
  void release(const std::string& uid) {
    std::shared_ptr<Packed> gone;  // without the lock
    const std::lock_guard<std::mutex> guard(mutex_);
    const auto found = programs_.find(uid);
    if (found == programs_.end()) return;
    gone = found->second.lock();
    if (gone) Kept::all().forget(gone.get());
    held_.erase(uid), programs_.erase(uid);
  }

 private:
  struct Unheld : Kept::Item {
    using Kept::Item::Item;
    std::shared_ptr<Packed> program;
  };

  std::shared_ptr<Packed> find(const std::string& uid) {
    std::shared_ptr<Packed> program = programs_[uid].lock();
    if (program) return program;
    for (auto entry = programs_.begin(); entry != programs_.end();)
      entry = entry->second.expired() ? programs_.erase(entry) : std::next(entry);
    program = std::make_shared<Packed>();
    programs_[uid] = program;
    return program;
  }

  std::mutex mutex_;
  std::map<std::string, std::weak_ptr<Packed>> programs_;
  std::map<std::string, std::shared_ptr<Packed>> held_;
};

}  // namespace ppeffconv::engine
