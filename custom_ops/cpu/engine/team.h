// The threads that run a plan. They take a task's pieces one by one, so that a thread whose core somebody else uses does
// fewer of them, and nobody waits for a thread that holds none. Who has nothing left to take looks on for a moment and
// then sleeps: it may be the sleeper's core that the last piece needs.
#pragma once

#include <sched.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "cpu/engine/types.h"

namespace ppeffconv::engine {

// Work in pieces, at least one, of which any thread may do any.
struct Task {
  std::function<void(Piece)> work;
  int64_t pieces = 1;
};

class Team {
 public:
  // The calling thread's own, of `size` threads with itself.
  static Team& of_thread(int64_t size) {
    static thread_local std::unique_ptr<Team, End> team;
    if (!team || team->size_ != size || team->process_ != getpid()) {
      team.reset();
      team.reset(new Team(size));
    }
    return *team;
  }
  ~Team() {
    stopping_ = true;
    publish(0);
    for (std::thread& helper : helpers_) helper.join();
  }

  // Runs `count` tasks, each after the one before, and calls ended(i) after the i-th. Throws what a piece has thrown.
  void run(const Task* tasks, int64_t count, const std::function<void(int64_t)>& ended) {
    if (count == 0) return;
    tasks_ = tasks, count_ = count, ended_ = &ended, current_ = 0, failure_ = nullptr;
    publish(tasks[0].pieces);
    work(0, [](State state) { return state.pieces() > 0; });
    if (failure_) std::rethrow_exception(failure_);
  }

 private:
  // Where the present task stands: a number that changes with every task, how many pieces it has, and how many of them
  // are taken. More may seem to be taken than there are.
  struct State {
    uint64_t bits;

    // Without pieces there is no task.
    static State begin(uint64_t turn, uint64_t pieces) { return {turn << 32 | pieces << 16}; }
    uint32_t turn() const { return uint32_t(bits >> 32); }
    int64_t pieces() const { return bits >> 16 & 0xffff; }
    int64_t taken() const { return bits & 0xffff; }
    bool left() const { return taken() < pieces(); }
  };

  // A fork leaves the other threads behind: what waits for them in the child is not destroyed there.
  struct End {
    void operator()(Team* team) const {
      if (team->process_ == getpid()) delete team;
    }
  };

  explicit Team(int64_t size) : size_(size), process_(getpid()) {
    for (int64_t worker = 1; worker < size; ++worker) {
      helpers_.emplace_back([this, worker] {
        work(worker, [this](State) { return !stopping_; });
      });
    }
  }

  State state() const { return {state_.load()}; }

  // The state is looked at first: what ends the work also ends the turn, and so the waiting for its end.
  template <typename GoesOn>
  void work(int64_t worker, const GoesOn& goes_on) {
    while (true) {
      const State present = state();
      if (!goes_on(present)) return;
      if (!take(worker)) wait(present.turn());
    }
  }

  // Does a piece if there is one. While somebody holds a piece, its task is the present one.
  bool take(int64_t worker) {
    if (!state().left()) return false;
    const State mine{state_.fetch_add(1)};
    if (!mine.left()) return false;
    try {
      tasks_[current_].work({mine.taken(), mine.pieces(), worker});
    } catch (...) {
      const std::lock_guard<std::mutex> guard(mutex_);
      failure_ = std::current_exception();
    }
    if (++done_ == mine.pieces()) finish();
    return true;
  }

  // By whoever did the last piece of a task, while the others have nothing to take.
  void finish() {
    done_ = 0;
    (*ended_)(current_);
    const bool more = ++current_ < count_ && !failure_;
    publish(more ? tasks_[current_].pieces : 0);
  }

  void publish(int64_t pieces) {
    state_ = State::begin(state().turn() + 1, pieces).bits;
    if (sleeping_ == 0) return;
    const std::lock_guard<std::mutex> guard(mutex_);
    wake_.notify_all();
  }

  // Until there is another task.
  void wait(uint32_t turn) {
    const auto start = std::chrono::steady_clock::now();
    while (state().turn() == turn) {
      for (int i = 0; i < 32 && state().turn() == turn; ++i) pause();
      if (state().turn() == turn) sched_yield();
      if (std::chrono::steady_clock::now() - start > kPatience) return sleep(turn);
    }
  }
  void sleep(uint32_t turn) {
    std::unique_lock<std::mutex> guard(mutex_);
    ++sleeping_;
    wake_.wait(guard, [&] { return state().turn() != turn; });
    --sleeping_;
  }
  static void pause() {
#ifdef __x86_64__
    __builtin_ia32_pause();
#endif
  }

  // Longer than most threads wait for one another where all have a core, shorter than it takes to get one back.
  static constexpr std::chrono::microseconds kPatience{100};

  const int64_t size_;
  const pid_t process_;
  const Task* tasks_ = nullptr;  // this and what follows: of the present run
  const std::function<void(int64_t)>* ended_ = nullptr;
  int64_t count_ = 0, current_ = 0;
  std::exception_ptr failure_;
  std::atomic<bool> stopping_{false};
  alignas(kAlign) std::atomic<uint64_t> state_{0};
  alignas(kAlign) std::atomic<int64_t> done_{0};  // pieces of the present task
  std::atomic<int> sleeping_{0};
  std::mutex mutex_;
  std::condition_variable wake_;
  std::vector<std::thread> helpers_;
};

}  // namespace ppeffconv::engine
