// How a network runs on images of one size: where in a workspace each map lies, and the tasks in order.
#pragma once

#include "cpu/engine/network.h"

namespace ppeffconv::engine {

// Gives out ranges of memory; each takes the first gap that is large enough.
class Gaps {
 public:
  int64_t take(int64_t bytes) {
    int64_t at = 0;
    auto place = taken_.begin();
    for (; place != taken_.end() && place->first - at < bytes; ++place) at = place->first + place->second;
    taken_[at] = bytes;
    size_ = std::max(size_, at + bytes);
    return at;
  }
  void give(int64_t at) { taken_.erase(at); }
  int64_t size() const { return size_; }

 private:
  std::map<int64_t, int64_t> taken_;
  int64_t size_ = 0;
};

// Places of the maps, -1 for those without memory. A map's memory is free after its last reader, and goes to the
// reader's own output where that may overwrite it.
template <typename T>
std::vector<int64_t> Network<T>::place(const std::vector<Dims>& dims, int64_t* bytes) const {
  const size_t count = dims.size(), end = operations_.size();
  std::vector<size_t> last(count, 0);
  bool images = false;
  for (size_t i = 0; i < end; ++i) {
    for (int value : operations_[i]->inputs) {
      last[value] = i;
      images = images || (value == 0 && reads_map(*operations_[i]));
    }
    last[operations_[i]->out] = i;
  }
  for (int output : outputs_) {
    last[output] = end;
    images = images || output == 0;
  }

  Gaps gaps;
  std::vector<int64_t> places(count, -1);
  const auto size = [&](int value) {
    const Dims& d = dims[value];
    const int64_t pitch = round_up(d.channels, unit<T>());
    return round_up(d.batch * d.height * d.width * pitch * sizeof(T) + 4 * kAlign, 4096);
  };
  if (images) places[0] = gaps.take(size(0));
  for (size_t i = 0; i < end; ++i) {
    const Operation<T>& operation = *operations_[i];
    const auto& in = operation.inputs;
    if (mask_of_.count(operation.out) == 0) {
      const int over = operation.in_place >= 0 ? in[operation.in_place] : -1;
      const bool reusable = over > 0 && last[over] == i && std::count(in.begin(), in.end(), over) == 1 &&
                            places[over] >= 0 && size(over) == size(operation.out) &&
                            dims[over].channels == dims[operation.out].channels;
      places[operation.out] = reusable ? places[over] : gaps.take(size(operation.out));
    }
    std::set<int> done(in.begin(), in.end());
    done.insert(operation.out);
    for (int value : done) {
      const bool moved = value != operation.out && places[value] == places[operation.out];
      if (last[value] == i && places[value] >= 0 && !moved) gaps.give(places[value]);
    }
  }
  *bytes = gaps.size();
  return places;
}

template <typename T>
Binder<T> Network<T>::binder(const Operation<T>& operation, Plan* plan, char* scratch, std::vector<Task>* tasks) const {
  Binder<T> binder(scratch, tasks);
  for (int value : operation.inputs) {
    binder.in.push_back(plan->maps[value]);
    binder.masks.push_back(plan->active[value]);
  }
  binder.out = plan->maps[operation.out];
  if (mask_of_.count(operation.out)) {
    binder.outs = {binder.out}, binder.active = {plan->active[operation.out]};
    for (int value : operation.more) {
      binder.outs.push_back(plan->maps[value]);
      binder.active.push_back(plan->active[value]);
    }
  }
  binder.images = &plan->images, binder.rows = &plan->rows, binder.zeros = plan->zeros.data();
  binder.context = &plan->context, binder.threads = plan->threads;
  return binder;
}

template <typename T>
std::unique_ptr<typename Network<T>::Plan> Network<T>::make_plan(const Dims& images, int64_t threads) {
  constexpr int64_t kTaskBytes = 1024;  // about
  auto plan = std::make_unique<Plan>(this);
  plan->dims = images, plan->threads = threads;
  const std::vector<Dims> dims = sizes(images);
  int64_t widest = 0, scratch = 0, bytes = 0;
  plan->places = place(dims, &plan->maps_bytes);
  for (size_t v = 0; v < dims.size(); ++v) {
    const int64_t pitch = round_up(dims[v].channels, unit<T>());
    plan->maps.push_back({nullptr, dims[v].batch, dims[v].height, dims[v].width, dims[v].channels, pitch});
    plan->active.push_back(mask_of_.count(v) ? std::make_shared<Active>() : nullptr);
    widest = std::max(widest, pitch);
  }
  plan->zeros = Aligned<T>(2 * widest + 2 * kPanel);
  plan->rows = row_functions<T>(native_bfloat16());

  std::vector<Task> tasks;  // a rehearsal: how much scratch memory do the operations ask for?
  for (const auto& operation : operations_) {
    Binder<T> trial = binder(*operation, plan.get(), nullptr, &tasks);
    operation->bind(trial);
    scratch = std::max(scratch, trial.used());
  }
  plan->room = threads * Context::kScratch + plan->maps_bytes + scratch;
  for (const auto& active : plan->active) bytes += active ? active->bytes() : 0;
  plan->resize(bytes + kTaskBytes * int64_t(tasks.size()) + 4 * widest * int64_t(sizeof(T)));
  return plan;
}

// Tasks hold addresses: they are made anew for other memory.
template <typename T>
void Network<T>::bind(Plan* plan, char* memory) const {
  char* maps = memory + plan->threads * Context::kScratch;
  plan->memory = memory, plan->context.scratch = memory;
  plan->tasks.clear(), plan->steps.clear();
  for (size_t v = 0; v < plan->maps.size(); ++v) {
    if (plan->places[v] >= 0) plan->maps[v].data = reinterpret_cast<T*>(maps + plan->places[v]);
  }
  if (plan->maps[0].data) {
    const auto read = [to = plan->maps[0], plan](Piece piece) {
      interleave(plan->images, to, to, 0, 0, piece);
    };
    plan->add(operation_of_.size(), {read, plan->threads});
  }
  std::vector<Task> tasks;
  for (size_t i = 0; i < operations_.size(); ++i) {
    tasks.clear();
    Binder<T> real = binder(*operations_[i], plan, maps + plan->maps_bytes, &tasks);
    operations_[i]->bind(real);
    for (Task& task : tasks) plan->add(step_of(i), std::move(task));
  }
  const auto write = [this, plan](Piece piece) {
    for (size_t i = 0; i < outputs_.size(); ++i) separate(plan->maps[outputs_[i]], plan->outputs[i], piece);
  };
  plan->add(operation_of_.size() + 1, {write, plan->threads});
}

}  // namespace ppeffconv::engine
