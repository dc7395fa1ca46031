// Runs CUDA kernels on the CPU, so that their numbers can be tested where there is no GPU.
//
// Each CUDA thread is a fiber of one OS thread: it runs until it waits at __syncthreads() or a shuffle, then the next
// one runs. `set_order` chooses the order of threads and of blocks; code without races gives the same bits in every
// order. Shared memory is allocated anew for each block, full of NaN and at its exact size, so that AddressSanitizer
// sees what leaves it. Only x86-64. It cannot show races in the memory system, tensor cores or speed.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <numeric>
#include <random>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __restrict__ __restrict
#define __launch_bounds__(...)

using cudaStream_t = void*;
using std::isnan;
using std::max;
using std::min;

struct dim3 {
  unsigned x, y, z;
  dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
  uint64_t size() const { return uint64_t(x) * y * z; }
};

// The two half types hold bits; a float takes the nearest value, ties to even.
struct __half {
  _Float16 value;
};
inline float __half2float(__half v) { return float(v.value); }
inline __half __float2half(float v) { return {_Float16(v)}; }

struct __nv_bfloat16 {
  uint16_t bits;
};
inline float __bfloat162float(__nv_bfloat16 v) {
  const uint32_t bits = uint32_t(v.bits) << 16;
  float value;
  std::memcpy(&value, &bits, sizeof(value));
  return value;
}
inline __nv_bfloat16 __float2bfloat16(float v) {
  uint32_t bits;
  std::memcpy(&bits, &v, sizeof(bits));
  if (std::isnan(v)) return {0x7fff};
  return {uint16_t((bits + 0x7fff + (bits >> 16 & 1)) >> 16)};
}

namespace emulation {

constexpr size_t kStack = 128 << 10, kSharedLimit = 48 << 10, kWarp = 32;

// Saves the callee-saved registers on the stack, keeps the stack pointer in *from, and goes on at `to`.
extern "C" void emulation_switch(void** from, void* to);
#ifdef EMULATION_MAIN
asm(R"(
.text
.globl emulation_switch
.type emulation_switch,@function
emulation_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size emulation_switch,.-emulation_switch
)");
#endif

enum class State { kReady, kAtBarrier, kAtShuffle, kFinished };

struct Thread {
  std::unique_ptr<char[]> stack;
  void* stack_pointer = nullptr;
  State state = State::kReady;
  dim3 index;
  int site = 0;     // the source line of the barrier it waits at
  int parity = 0;   // shuffles alternate between two exchange buffers, so that one wait per shuffle is enough
};

class Device {
 public:
  static Device& get() {
    static Device device;
    return device;
  }

  dim3 grid, block, block_index, thread_index;

  // 0: in order, 1: reversed, else a seed to shuffle by.
  void set_order(unsigned order) { order_ = order; }

  void launch(dim3 grid_size, dim3 block_size, size_t shared_bytes, const std::function<void()>& kernel) {
    grid = grid_size, block = block_size, kernel_ = &kernel;
    if (!grid.size() || !block.size()) throw std::runtime_error("launch: an empty grid or block");
    if (grid.x >= 1u << 31 || std::max(grid.y, grid.z) > 65535) throw std::runtime_error("launch: too large a grid");
    if (block.size() > 1024 || block.z > 64) throw std::runtime_error("launch: the block is too large");
    if (threads_.size() < block.size()) threads_.resize(block.size());
    error_.clear();
    for (uint64_t i : permutation(grid.size())) {
      block_index = dim3(i % grid.x, i / grid.x % grid.y, i / grid.x / grid.y);
      shared_.clear();
      shared(kDynamic, shared_bytes);
      run_block();
    }
  }

  static constexpr int kDynamic = -1;

  // The block's array of this name; allocated by the first thread that comes.
  void* shared(int name, size_t bytes) {
    auto& memory = shared_[{name, name == kDynamic ? 0 : bytes}];
    if (!memory) {
      memory.reset(static_cast<char*>(std::aligned_alloc(16, (std::max<size_t>(bytes, 1) + 15) / 16 * 16)));
      std::memset(memory.get(), 0xff, bytes);
      size_t total = 0;
      for (const auto& entry : shared_) total += entry.first.second;
      if (total + (name == kDynamic ? bytes : 0) > kSharedLimit) fail("more than 48 KB of shared memory");
    }
    return memory.get();
  }

  void wait(State state, int site) {
    Thread& thread = threads_[current_];
    thread.state = state;
    thread.site = site;
    emulation_switch(&thread.stack_pointer, scheduler_);
    thread_index = thread.index;
  }

  template <typename T>
  T exchange(T value, unsigned lane_mask) {
    static_assert(sizeof(T) <= 8, "a shuffle moves at most 8 bytes");
    Thread& thread = threads_[current_];
    const size_t me = current_;
    auto& buffer = exchanged_[thread.parity ^= 1];
    std::memcpy(buffer[me], &value, sizeof(T));
    wait(State::kAtShuffle, 0);
    std::memcpy(&value, buffer[me ^ lane_mask], sizeof(T));
    return value;
  }

  void fail(const char* reason) { error_ = reason; }

 private:
  struct Free {
    void operator()(char* memory) const { std::free(memory); }
  };

  std::vector<uint64_t> permutation(uint64_t count) {
    std::vector<uint64_t> order(count);
    std::iota(order.begin(), order.end(), 0);
    if (order_ == 1) std::reverse(order.begin(), order.end());
    if (order_ > 1) std::shuffle(order.begin(), order.end(), std::mt19937(order_));
    return order;
  }

  static void thread_main() {
    Device& device = get();
    (*device.kernel_)();
    device.wait(State::kFinished, 0);
    std::abort();
  }

  void prepare(Thread& thread, unsigned i) {
    if (!thread.stack) thread.stack.reset(new char[kStack]);
    thread.index = dim3(i % block.x, i / block.x % block.y, i / block.x / block.y);
    thread.state = State::kReady;
    thread.parity = 0;
    auto top = reinterpret_cast<void**>((reinterpret_cast<uintptr_t>(thread.stack.get()) + kStack) & ~uintptr_t(15));
    *--top = nullptr;  // what thread_main would return to; it also aligns the stack as the ABI asks at an entry
    *--top = reinterpret_cast<void*>(&thread_main);
    for (int i = 0; i < 6; ++i) *--top = nullptr;
    thread.stack_pointer = top;
  }

  void resume(uint64_t i) {
    current_ = i;
    threads_[i].state = State::kReady;
    thread_index = threads_[i].index;
    emulation_switch(&scheduler_, threads_[i].stack_pointer);
  }

  bool all(State state, uint64_t first, uint64_t last) const {
    return std::all_of(threads_.begin() + first, threads_.begin() + last,
                       [&](const Thread& thread) { return thread.state == state; });
  }

  void run_block() {
    const uint64_t count = block.size();
    const std::vector<uint64_t> order = permutation(count);
    for (uint64_t i = 0; i < count; ++i) prepare(threads_[i], i);
    for (uint64_t i : order) resume(i);
    while (error_.empty() && !all(State::kFinished, 0, count)) {
      const bool barrier = all(State::kAtBarrier, 0, count);
      if (barrier && std::any_of(threads_.begin(), threads_.begin() + count,
                                 [&](const Thread& thread) { return thread.site != threads_[0].site; })) {
        fail("threads wait at different __syncthreads()");
      }
      bool progress = barrier;
      std::vector<char> ready(count, barrier);
      for (uint64_t first = 0; first < count && !barrier; first += kWarp) {
        const uint64_t last = std::min(first + kWarp, count);
        if (!all(State::kAtShuffle, first, last)) continue;
        std::fill(ready.begin() + first, ready.begin() + last, 1);
        progress = true;
      }
      if (!progress) fail("a deadlock: not all threads come to a __syncthreads() or shuffle");
      if (!error_.empty()) break;
      for (uint64_t i : order) {
        if (ready[i]) resume(i);
      }
    }
    if (!error_.empty()) throw std::runtime_error("kernel: " + error_);
  }

  unsigned order_ = 0;
  uint64_t current_ = 0;
  void* scheduler_ = nullptr;
  const std::function<void()>* kernel_ = nullptr;
  std::string error_;
  std::vector<Thread> threads_;
  std::map<std::pair<int, size_t>, std::unique_ptr<char, Free>> shared_;
  char exchanged_[2][1024][8];
};

}  // namespace emulation

#define gridDim (emulation::Device::get().grid)
#define blockDim (emulation::Device::get().block)
#define blockIdx (emulation::Device::get().block_index)
#define threadIdx (emulation::Device::get().thread_index)
#define __syncthreads() emulation::Device::get().wait(emulation::State::kAtBarrier, __LINE__)

template <typename T>
T __shfl_xor_sync(unsigned, T value, int lane_mask) {
  return emulation::Device::get().exchange(value, lane_mask);
}

#define SHARED_ARRAY(type, name, count) \
  type* const name = static_cast<type*>(emulation::Device::get().shared(__COUNTER__, sizeof(type) * (count)))
#define SHARED_DYNAMIC(type, name) \
  type* const name = static_cast<type*>(emulation::Device::get().shared(emulation::Device::kDynamic, 0))

namespace ppeffconv::cuda {

template <typename... Parameters, typename... Arguments>
void launch(void (*kernel)(Parameters...), dim3 grid, dim3 block, size_t shared_bytes, cudaStream_t,
            Arguments... arguments) {
  emulation::Device::get().launch(grid, block, shared_bytes, [&] { kernel(arguments...); });
}

}  // namespace ppeffconv::cuda
