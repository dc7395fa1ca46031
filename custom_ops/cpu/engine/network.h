// A deployed network: its operations, with weights packed for T, and plans of how they run on images of a size.
#pragma once

#include <omp.h>

#include <set>

#include "cpu/engine/ddf.h"
#include "cpu/engine/depthwise.h"
#include "cpu/engine/nested.h"
#include "cpu/engine/pooling.h"
#include "cpu/engine/resize.h"
#include "cpu/engine/sampling.h"
#include "cpu/engine/spconv.h"
#include "cpu/engine/workspace.h"

namespace ppeffconv::engine {

// What an op of Paddle sees of a network, whatever the type of its maps.
class AnyNetwork {
 public:
  virtual ~AnyNetwork() = default;

  virtual std::vector<Dims> infer(const Dims& images) const = 0;
  // Runs on images [N, C, H, W]; writes each output in that layout, and the densities of the masks.
  virtual void run(const float* images, const Dims& dims, const std::vector<float*>& outputs, float* densities) = 0;

  bool flat = false;
  int64_t masks = 0, channels = 0;
};

// Milliseconds of each step of the last run on this thread, while somebody measures.
struct Profile {
  bool on = false;
  std::vector<double> ms;

  static Profile& of_thread() {
    static thread_local Profile profile;
    return profile;
  }
};

template <typename T>
class Network : public AnyNetwork {
 public:
  Network(const Program& program, const std::vector<Weight>& weights) {
    flat = program.flat, channels = program.channels;
    name(program.input, program.channels);
    for (const Step& step : program.steps) add(step, weights, program);
    for (const std::string& output : program.outputs) {
      outputs_.push_back(find(output, "output"));
      PD_CHECK(mask_of_.count(outputs_.back()) == 0, "deployed: a mask cannot be an output");
    }
    for (auto& operation : operations_) operation->settle();
    settle_masked();
  }

  std::vector<Dims> infer(const Dims& images) const override {
    const std::vector<Dims> dims = sizes(images);
    std::vector<Dims> result;
    for (int output : outputs_) {
      PD_CHECK(!flat || dims[output].height * dims[output].width == 1, "deployed: an output that is flat must be 1x1");
      result.push_back(dims[output]);
    }
    return result;
  }

  ~Network() override { Kept::all().forget(this); }

  void run(const float* images, const Dims& dims, const std::vector<float*>& outputs, float* densities) override {
    std::unique_ptr<Plan> plan = take_plan(dims);
    std::unique_ptr<Workspace> workspace = Workspace::take(plan->room, plan->memory);
    if (plan->memory != workspace->data()) bind(plan.get(), workspace->data());
    plan->images = images, plan->outputs = outputs.data();
    Profile& profile = Profile::of_thread();
    if (profile.on) profile.ms.assign(operation_of_.size() + 2, 0);
    double last = omp_get_wtime();
    const auto ended = [&](int64_t task) {
      if (!profile.on) return;
      const double now = omp_get_wtime();
      profile.ms[plan->steps[task]] += 1e3 * (now - last);
      last = now;
    };
    Team::of_thread(plan->threads).run(plan->tasks.data(), plan->tasks.size(), ended);
    for (const auto& [value, index] : mask_of_) densities[index] = float(plan->active[value]->density());
    Workspace::give(std::move(workspace));
    Kept::all().put(std::move(plan));
  }

 private:
  struct Plan : Working {
    using Working::Working;

    Dims dims;
    int64_t threads;
    int64_t maps_bytes = 0, room = 0;  // of the maps, and of all that it needs of a workspace
    std::vector<int64_t> places;       // of the maps among those bytes
    const char* memory = nullptr;      // the workspace to which it is bound
    const float* images = nullptr;
    float* const* outputs = nullptr;
    std::vector<Task> tasks;
    std::vector<size_t> steps;  // each task's; behind all steps for the input's conversion, then for the outputs'
    std::vector<Map<T>> maps;
    std::vector<std::shared_ptr<Active>> active;
    Aligned<T> zeros;
    Context context;
    RowFunctions<T> rows;

    void add(size_t step, Task task) {
      steps.push_back(step);
      tasks.push_back(std::move(task));
    }
  };

  int name(const std::string& value, int64_t width) {
    PD_CHECK(values_.emplace(value, int(widths_.size())).second, "deployed: the value ", value, " is made twice");
    widths_.push_back(width);
    return int(widths_.size()) - 1;
  }
  void add(const Step& step, const std::vector<Weight>& weights, const Program& program) {
    auto* before = operations_.empty() ? nullptr : dynamic_cast<Mask<T>*>(operations_.back().get());
    const bool joins = step.op == "mask" && before && before->inputs[0] == find(step.word("in"), step.text) &&
                       before->join({step, weights});
    if (!joins) operations_.push_back(make(step, weights, program));
    operation_of_.push_back(operations_.size() - 1);
    step.check_known();
    const int out = name(step.out, joins ? 1 : made_channels_);
    if (step.op == "mask") mask_of_[out] = masks++;
    if (joins) before->more.push_back(out);
    if (!joins) operations_.back()->out = out;
  }

  int find(const std::string& value, const std::string& where) const {
    const auto found = values_.find(value);
    PD_CHECK(found != values_.end(), "deployed: there is no value '", value, "' yet: ", where);
    return found->second;
  }

  std::unique_ptr<Operation<T>> make(const Step& step, const std::vector<Weight>& weights, const Program& program);

  // The first step that the operation stands for.
  size_t step_of(size_t operation) const {
    return std::find(operation_of_.begin(), operation_of_.end(), operation) - operation_of_.begin();
  }

  // A convolution under a mask leaves out pixels that nobody reads: those who read it are under the same mask, and
  // look at single pixels. Others find zeros there.
  void settle_masked() {
    for (auto& operation : operations_) {
      auto* conv = dynamic_cast<Convolution<T>*>(operation.get());
      if (conv == nullptr || !conv->masked()) continue;
      const int mask = conv->inputs.back();
      bool hidden = std::find(outputs_.begin(), outputs_.end(), conv->out) == outputs_.end();
      for (auto& reader : operations_) {
        const auto& in = reader->inputs;
        const int64_t times = std::count(in.begin(), in.end(), conv->out);
        if (times == 0) continue;
        const auto* next = dynamic_cast<const Convolution<T>*>(reader.get());
        const bool fill = dynamic_cast<const Fill<T>*>(reader.get()) && in[0] == conv->out && in[1] == mask;
        hidden = hidden && times == 1 && (fill || (next && next->masked() && next->pointwise() && in.back() == mask));
      }
      conv->zeros_left_out = !hidden;
    }
  }

  std::vector<Dims> sizes(const Dims& images) const {
    PD_CHECK(images.channels == channels, "deployed: expected ", channels, " channels, got ", images.channels);
    std::vector<Dims> dims(widths_.size());
    dims[0] = images;
    for (const auto& operation : operations_) {
      std::vector<Dims> in;
      for (int value : operation->inputs) in.push_back(dims[value]);
      const auto set = [&](int value, const Dims& out) {
        PD_CHECK(out.height != 0 && out.width != 0,
                 "deployed: the images are too small, nothing is left for: ", operation->text);
        check_size({out.batch, out.height, out.width, round_up(out.channels, 32)},
                   ("deployed: the map of '" + operation->text + "'").c_str());
        dims[value] = out;
      };
      set(operation->out, operation->infer(in));
      for (size_t i = 0; i < operation->more.size(); ++i) set(operation->more[i], operation->infer_more(in, i));
    }
    return dims;
  }

  // Operations that want the images as a map; a convolution may read them in Paddle's layout.
  bool reads_map(const Operation<T>& operation) const {
    const auto* conv = dynamic_cast<const Convolution<T>*>(&operation);
    const auto& in = operation.inputs;
    return !(conv && conv->reads_images()) || std::count(in.begin() + 1, in.end(), 0) > 0;
  }

  std::unique_ptr<Plan> take_plan(const Dims& dims) {
    const int64_t threads = omp_get_max_threads();
    auto found = Kept::all().take([&](const Kept::Item& item) -> int64_t {
      if (item.owner != this) return 0;
      const Plan& plan = static_cast<const Plan&>(item);
      return same_size(plan.dims, dims) && plan.threads == threads;
    });
    if (found) return std::unique_ptr<Plan>(static_cast<Plan*>(found.release()));
    return make_plan(dims, threads);
  }

  std::unique_ptr<Plan> make_plan(const Dims& images, int64_t threads);
  void bind(Plan* plan, char* memory) const;
  Binder<T> binder(const Operation<T>& operation, Plan* plan, char* scratch, std::vector<Task>* tasks) const;
  std::vector<int64_t> place(const std::vector<Dims>& dims, int64_t* bytes) const;

  std::vector<std::unique_ptr<Operation<T>>> operations_;
  std::vector<size_t> operation_of_;  // each step's
  std::map<std::string, int> values_;
  std::map<int, int64_t> mask_of_;
  std::vector<int64_t> widths_;
  std::vector<int> outputs_;
  int64_t made_channels_ = 0;
};

}  // namespace ppeffconv::engine

#include "cpu/engine/make.h"
#include "cpu/engine/plan.h"
