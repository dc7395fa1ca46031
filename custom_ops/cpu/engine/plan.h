// How a network runs on images of one size: where in one block of memory each map lies, and the tasks in order.
#pragma once

#include "cpu/engine/network.h"

namespace ppeffconv::engine {

// Gives out ranges of an arena; each takes the first gap that is large enough.
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
Binder<T> Network<T>::binder(const Operation<T>& operation, Plan* plan, char* arena, std::vector<Task>* tasks) const {
  Binder<T> binder(arena, tasks);
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
  auto plan = std::make_unique<Plan>();
  plan->dims = images, plan->threads = threads;
  const std::vector<Dims> dims = sizes(images);
  int64_t bytes = 0, widest = 0, scratch = 0;
  const std::vector<int64_t> places = place(dims, &bytes);
  for (size_t v = 0; v < dims.size(); ++v) {
    const int64_t pitch = round_up(dims[v].channels, unit<T>());
    plan->maps.push_back({nullptr, dims[v].batch, dims[v].height, dims[v].width, dims[v].channels, pitch});
    plan->active.push_back(mask_of_.count(v) ? std::make_shared<Active>() : nullptr);
    widest = std::max(widest, pitch);
  }
  plan->zeros = Aligned<T>(2 * widest + 2 * kPanel);
  plan->rows = row_functions<T>(native_bfloat16());
  for (int64_t t = 0; t < threads; ++t) plan->context.scratch.emplace_back(Run<T>::kScratch);

  std::vector<Task> tasks;  // a rehearsal: how much scratch memory do the operations ask for?
  for (const auto& operation : operations_) {
    Binder<T> trial = binder(*operation, plan.get(), nullptr, &tasks);
    operation->bind(trial);
    scratch = std::max(scratch, trial.used());
  }
  plan->arena = Aligned<char>(bytes + scratch);
  for (size_t v = 0; v < dims.size(); ++v) {
    if (places[v] >= 0) plan->maps[v].data = reinterpret_cast<T*>(plan->arena.data() + places[v]);
  }
  if (plan->maps[0].data) {
    const auto read = [to = plan->maps[0], plan = plan.get()](Piece piece) {
      interleave(plan->images, to, to, 0, 0, piece);
    };
    plan->add(operation_of_.size(), {read, threads});
  }
  for (size_t i = 0; i < operations_.size(); ++i) {
    tasks.clear();
    Binder<T> real = binder(*operations_[i], plan.get(), plan->arena.data() + bytes, &tasks);
    operations_[i]->bind(real);
    for (Task& task : tasks) plan->add(step_of(i), std::move(task));
  }
  const auto write = [this, plan = plan.get()](Piece piece) {
    for (size_t i = 0; i < outputs_.size(); ++i) separate(plan->maps[outputs_[i]], plan->outputs[i], piece);
  };
  plan->add(operation_of_.size() + 1, {write, threads});
  return plan;
}

}  // namespace ppeffconv::engine
