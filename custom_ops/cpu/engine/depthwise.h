// Convolutions of each channel by itself.
#pragma once

#include "cpu/engine/maps.h"

namespace ppeffconv::engine {

template <typename T>
class Depthwise : public Operation<T> {
 public:
  Depthwise(const Definition& d, int64_t channels)
      : Operation<T>(d.step),
        windows_(d.step, d.weight("weight", 4).shape[2], d.weight("weight", 4).shape[3]),
        act_(d.step.act()),
        channels_(channels) {
    d.step.number("groups", 1);
    if (d.step.has("bias")) bias_ = d.vector("bias", channels);
    if (!d.weight("weight", 4).data) return;
    const int64_t taps = windows_.kernel_h * windows_.kernel_w, pitch = round_up(channels, kPanel);
    weights_.resize(taps * pitch);
    for (int64_t c = 0; c < channels; ++c) {
      for (int64_t t = 0; t < taps; ++t) weights_[t * pitch + c] = d.weight("weight", 4).data[c * taps + t];
    }
  }
  bool add = false;
  static bool fits(const Definition& d, int64_t channels) {
    const Weight& w = d.weight("weight", 4);
    return d.step.number("groups", 1) == channels && w.shape[0] == channels && w.shape[1] == 1 && channels > 1 &&
           w.shape[2] * w.shape[3] <= kWindow &&
           !d.step.has("mask") && !d.step.has("up");
  }
  Dims infer(const std::vector<Dims>& in) const override {
    const Dims out = windows_.output(in[0], channels_);
    this->check(!add || (same_size(in[1], out) && in[1].channels == channels_), "'add' does not fit the output");
    return out;
  }
  void bind(Binder<T>& b) const override {
    b.task([in = b.in[0], extra = add ? b.in[1] : Map<T>{}, out = b.out, functions = pick_map_functions<T>(),
            this](Piece piece) {
      const T* pixels[kWindow];
      int64_t taps[kWindow];
      const float* weights[kWindow];
      const float* shift = bias_.empty() ? nullptr : bias_.data();
      for_each_run(in, out, windows_, piece, [&](int64_t i, int64_t image, int64_t y, int64_t x, int64_t run) {
        const int64_t count = find_window(in, image, y, x, windows_, pixels, taps);
        for (int64_t k = 0; k < count; ++k) weights[k] = weights_.data() + taps[k] * round_up(channels_, kPanel);
        const Stretch<T> to{run,          windows_.stride_w * in.pitch,
                            out.pixel(i), extra.data ? extra.pixel(i) : nullptr,
                            out.pitch,    nullptr,
                            shift,        act_};
        functions.depthwise(pixels, weights, count, to, out.pitch);
      });
    });
  }

 private:
  Windows windows_;
  Act act_;
  int64_t channels_;
  std::vector<float> bias_, weights_;
};

}  // namespace ppeffconv::engine
