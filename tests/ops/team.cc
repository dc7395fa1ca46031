// Exercises engine::Team: `team THREADS RUNS` checks who does what and in which order, `team fork` forks.
#include "cpu/engine/team.h"

#include <sys/wait.h>

#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <string>

using ppeffconv::engine::Piece;
using ppeffconv::engine::Task;
using ppeffconv::engine::Team;

namespace {

void check(bool condition, const char* what) {
  if (condition) return;
  std::fprintf(stderr, "wrong: %s\n", what);
  std::exit(1);
}

// Each task's pieces read all that the pieces of the task before have written, without a lock.
void run_chain(int64_t threads, int64_t length) {
  std::vector<std::vector<int64_t>> values(length);
  std::vector<Task> tasks;
  for (int64_t t = 0; t < length; ++t) {
    values[t].resize(1 + t * 7 % 40);
    tasks.push_back({[&, t](Piece piece) {
                       check(piece.count == int64_t(values[t].size()) && piece.worker < threads, "the piece");
                       int64_t sum = 1;
                       for (int64_t before : t ? values[t - 1] : std::vector<int64_t>()) sum += before;
                       check(values[t][piece.index] == 0, "a piece is done once");
                       values[t][piece.index] = sum % 1000 + 1;
                     },
                     int64_t(values[t].size())});
  }
  int64_t ended = 0;
  Team::of_thread(threads).run(tasks.data(), tasks.size(), [&](int64_t task) { check(task == ended++, "the order"); });
  check(ended == length, "every task ends");
  for (const auto& row : values) {
    for (int64_t value : row) check(value > 0 && value == row[0], "every piece is done, after the task before");
  }
}

void run_failing(int64_t threads) {
  int64_t begun = 0;
  const Task fails{[](Piece piece) { if (piece.index == 3) throw std::runtime_error("no memory"); }, 8};
  const Task after{[&](Piece) { ++begun; }, 1};
  const std::vector<Task> tasks{fails, after};
  bool thrown = false;
  try {
    Team::of_thread(threads).run(tasks.data(), tasks.size(), [](int64_t) {});
  } catch (const std::runtime_error&) {
    thrown = true;
  }
  check(thrown && begun == 0, "an exception ends the run and arrives");
}

// A child ends with its destructors, whether it has run anything or not.
int run_in_children() {
  for (bool runs : {false, true}) {
    run_chain(3, 20);
    const pid_t child = fork();
    if (child == 0) {
      for (int64_t threads : {3, 1, 2}) {
        if (runs) run_chain(threads, 20);
      }
      std::exit(0);
    }
    int status = 1;
    waitpid(child, &status, 0);
    run_chain(3, 20);
    if (status != 0) return 1;
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 2 && std::string(argv[1]) == "fork") return run_in_children();
  const int64_t threads = std::atoll(argv[1]), runs = std::atoll(argv[2]);
  std::vector<std::thread> callers;  // each with a team of its own
  for (int caller = 0; caller < 2; ++caller) {
    callers.emplace_back([=] {
      for (int64_t run = 0; run < runs; ++run) {
        run_chain(threads, 1 + run % 30);
        if (run % 10 == 0) run_failing(threads), run_chain(1 + run % threads, 5);
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  return 0;
}
