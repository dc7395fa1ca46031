// From a step of the program to its operation.
#pragma once

#include "cpu/engine/network.h"

namespace ppeffconv::engine {

template <typename T>
std::unique_ptr<Operation<T>> Network<T>::make(const Step& step, const std::vector<Weight>& weights,
                                               const Program& program) {
  const Definition d{step, weights};
  std::vector<int> in;
  for (const std::string& value : step.words("in")) in.push_back(find(value, step.text));
  PD_CHECK(!in.empty(), "deployed: no input: ", step.text);
  const auto is_mask = [&](int value) { return mask_of_.count(value) > 0; };
  std::vector<int64_t> widths;
  for (int value : in) {
    PD_CHECK(!is_mask(value), "deployed: a mask cannot be read as a map: ", step.text);
    widths.push_back(widths_[value]);
  }
  const auto also = [&](const char* key, bool mask = false) {
    if (!step.has(key)) return step.word(key), -1;
    in.push_back(find(step.word(key), step.text));
    PD_CHECK(is_mask(in.back()) == mask, "deployed: '", key, "' names the wrong kind of value: ", step.text);
    return int(in.size()) - 1;
  };
  const auto finish = [&](auto made, int overwritten = -1) -> std::unique_ptr<Operation<T>> {
    if (overwritten >= 0) made->in_place = overwritten;
    made->inputs = in;
    return made;
  };
  const auto take = [&](size_t count) {
    PD_CHECK(in.size() == count, "deployed: expected ", count, " inputs: ", step.text);
  };
  made_channels_ = widths[0];

  if (step.op == "conv") {
    made_channels_ = d.weight("weight", 4).shape[0];
    if (in.size() == 1 && Depthwise<T>::fits(d, widths[0])) {
      auto made = std::make_unique<Depthwise<T>>(d, widths[0]);
      const int add = also("add");
      made->add = add >= 0;
      return finish(std::move(made), add);
    }
    const bool images = in.size() == 1 && in[0] == 0 && Convolution<T>::takes_images(d, widths[0]);
    auto made = std::make_unique<Convolution<T>>(d, widths, images);
    made->add = also("add"), made->up = also("up");
    also("mask", true);
    return finish(std::move(made), made->add);
  }
  if (step.op == "nested" || step.op == "sp") {
    take(1);
    const auto build = [&](auto made) {
      const int add = also("add");
      made->add = add >= 0;
      return finish(std::move(made), add);
    };
    made_channels_ = step.op == "sp" ? d.weight("grouped", 4).shape[0] : d.weight("shift", 1).size();
    if (step.op == "sp") return build(std::make_unique<SPConv<T>>(d, widths[0]));
    return build(std::make_unique<Nested<T>>(d, widths[0]));
  }
  if (step.op == "ddf") {
    take(1);
    auto made = std::make_unique<DDF<T>>(d, widths[0]);
    also("channel"), also("spatial");
    PD_CHECK(in.size() == 3, "deployed: ddf needs 'channel' and 'spatial': ", step.text);
    made->add = also("add") >= 0;
    return finish(std::move(made), made->add ? 3 : -1);
  }
  if (step.op == "fill") {
    take(1);
    auto made = std::make_unique<Fill<T>>(d, widths[0]);
    PD_CHECK(also("mask", true) == 1, "deployed: fill needs 'mask': ", step.text);
    made->add = also("add") >= 0;
    const int overwritten = made->add ? 2 : made->keeps() ? 0 : -1;
    return finish(std::move(made), overwritten);
  }
  if (step.op == "affine" || step.op == "act") {
    take(1);
    const bool add = also("add") >= 0;
    return finish(std::make_unique<Affine<T>>(d, widths[0], add ? 2 : 1));
  }
  if (step.op == "add") {
    take(2);
    return finish(std::make_unique<Affine<T>>(d, widths[0], 2));
  }
  if (step.op == "mul") {
    take(2);
    return finish(std::make_unique<Multiply<T>>(d));
  }
  if (step.op == "concat") {
    made_channels_ = 0;
    for (int64_t width : widths) made_channels_ += width;
    return finish(std::make_unique<Copy<T>>(d, 0, false));
  }
  take(1);
  if (step.op == "slice") {
    made_channels_ = step.required("count");
    return finish(std::make_unique<Copy<T>>(d, widths[0], true));
  }
  if (step.op == "mask") {
    made_channels_ = 1;
    return finish(std::make_unique<Mask<T>>(d, widths[0], program.seed));
  }
  if (step.op == "pool") return finish(std::make_unique<Pool<T>>(d));
  if (step.op == "mean" || step.op == "adaptive") return finish(std::make_unique<Adaptive<T>>(d, step.op == "mean"));
  if (step.op == "filters") return finish(std::make_unique<Filters<T>>(d, widths[0]));
  if (step.op == "resize") return finish(std::make_unique<Resize<T>>(d));
  if (step.op == "upsample") {
    also("like");
    return finish(std::make_unique<Upsample<T>>(step));
  }
  PD_THROW("deployed: this engine has no operation '", step.op, "': ", step.text);
}

}  // namespace ppeffconv::engine
