// A small executor for oneDNN: a plan is a list of primitives over user tensors and workspace, made once a shape.
//
// Plans are immutable, so threads share them; the workspace belongs to the thread and is reused from call to call.
#pragma once

#include <omp.h>

#include <cstdlib>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "oneapi/dnnl/dnnl.hpp"

namespace ppeffconv {

inline const dnnl::engine& cpu_engine() {
  static const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  return engine;
}

// Scratch memory of one thread: grows to what the largest call needs; very large blocks are not kept.
class Workspace {
 public:
  static constexpr size_t kAlignment = 4096, kKept = size_t{256} << 20;

  static Workspace& of_thread() {
    static thread_local Workspace workspace;
    return workspace;
  }
  ~Workspace() { std::free(data_); }

  char* reserve(size_t bytes) {
    if (bytes > size_) {
      std::free(data_);
      size_ = 0;
      const size_t rounded = (bytes + kAlignment - 1) / kAlignment * kAlignment;
      data_ = static_cast<char*>(std::aligned_alloc(kAlignment, rounded));
      if (data_ == nullptr) throw std::bad_alloc();
      size_ = rounded;
    }
    return data_;
  }
  void shrink() {
    if (size_ <= kKept) return;
    std::free(data_);
    data_ = nullptr;
    size_ = 0;
  }

  // At its end a call gives back a very large block.
  struct Use {
    ~Use() { of_thread().shrink(); }
  };

 private:
  char* data_ = nullptr;
  size_t size_ = 0;
};

class Plan {
 public:
  using desc = dnnl::memory::desc;

  // A tensor of the caller: the index-th pointer given to run().
  int user(const desc& layout, int index) { return add({layout, index, 0}); }

  // `buffer` in the layout that a primitive wants; converted once, however many primitives read it.
  int input(int buffer, const desc& wanted) {
    if (buffers_[buffer].layout == wanted) return buffer;
    for (const auto& [from, to] : converted_)
      if (from == buffer && buffers_[to].layout == wanted) return to;
    const int inner = scratch(wanted);
    convert(buffer, inner);
    converted_.emplace_back(buffer, inner);
    return inner;
  }

  // Where a primitive writes if it wants another layout than `buffer` has; finish() converts after it has run.
  int output(int buffer, const desc& written) {
    return buffers_[buffer].layout == written ? buffer : scratch(written);
  }
  void finish(int inner, int buffer) {
    if (inner != buffer) convert(inner, buffer);
  }

  // Adds `inner`, converted, to what `buffer` holds.
  void accumulate(int inner, int buffer) {
    dnnl::post_ops sum;
    sum.append_sum();
    convert(inner, buffer, sum);
  }

  // A buffer of the plan's own.
  int scratch(const desc& layout) {
    const size_t offset = bytes_;
    bytes_ += (layout.get_size() + 63) / 64 * 64;
    return add({layout, -1, offset});
  }

  template <class PrimitiveDesc>
  void add_step(const PrimitiveDesc& pd, dnnl::primitive primitive, std::map<int, int> arguments) {
    const desc scratchpad = pd.scratchpad_desc();
    if (scratchpad.get_size() > 0) arguments[DNNL_ARG_SCRATCHPAD] = scratch(scratchpad);
    steps_.push_back({std::move(primitive), std::move(arguments)});
  }

  void run(const std::vector<void*>& users) const {
    static thread_local dnnl::stream stream(cpu_engine());
    const Workspace::Use use;
    char* base = Workspace::of_thread().reserve(bytes_);
    std::vector<dnnl::memory> memories;
    memories.reserve(buffers_.size());
    for (const Buffer& b : buffers_)
      memories.emplace_back(b.layout, cpu_engine(), b.user < 0 ? base + b.offset : users[b.user]);
    std::vector<dnnl_exec_arg_t> arguments;
    for (const Step& step : steps_) {
      arguments.clear();
      for (const auto& [name, buffer] : step.arguments) arguments.push_back({name, memories[buffer].get()});
      dnnl::error::wrap_c_api(dnnl_primitive_execute(step.primitive.get(), stream.get(),
                                                     static_cast<int>(arguments.size()), arguments.data()),
                              "a oneDNN primitive failed");
    }
    stream.wait();
  }

 private:
  struct Buffer {
    desc layout;
    int user;  // -1: workspace
    size_t offset;
  };
  struct Step {
    dnnl::primitive primitive;
    std::map<int, int> arguments;
  };

  int add(Buffer buffer) {
    buffers_.push_back(std::move(buffer));
    return static_cast<int>(buffers_.size()) - 1;
  }
  void convert(int from, int to, const dnnl::post_ops& post_ops = {}) {
    dnnl::primitive_attr attributes;
    attributes.set_post_ops(post_ops);
    attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
    const dnnl::reorder::primitive_desc pd(cpu_engine(), buffers_[from].layout, cpu_engine(), buffers_[to].layout,
                                           attributes);
    add_step(pd, dnnl::reorder(pd), {{DNNL_ARG_FROM, from}, {DNNL_ARG_TO, to}});
  }

  std::vector<Buffer> buffers_;
  std::vector<Step> steps_;
  std::vector<std::pair<int, int>> converted_;
  size_t bytes_ = 0;
};

// The plans used last, by shape and number of threads, which oneDNN fixes in a primitive. A plan in use stays alive when
// it is dropped here.
class PlanCache {
 public:
  using Key = std::vector<int64_t>;
  static constexpr size_t kCapacity = 1024;

  template <class Make>
  std::shared_ptr<const Plan> get(Key key, const Make& make) {
    key.push_back(omp_get_max_threads());
    const std::lock_guard<std::mutex> guard(mutex_);
    const auto found = index_.find(key);
    if (found != index_.end()) {
      order_.splice(order_.begin(), order_, found->second);
      return found->second->second;
    }
    order_.emplace_front(key, std::make_shared<const Plan>(make()));
    index_[key] = order_.begin();
    if (order_.size() > kCapacity) {
      index_.erase(order_.back().first);
      order_.pop_back();
    }
    return order_.front().second;
  }

 private:
  using Entries = std::list<std::pair<Key, std::shared_ptr<const Plan>>>;
  std::mutex mutex_;
  Entries order_;
  std::map<Key, Entries::iterator> index_;
};

}  // namespace ppeffconv
