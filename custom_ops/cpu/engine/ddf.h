// filters and ddf: decoupled dynamic filters, their normalisation, and DDF-Up, whose branches write where they belong.
#pragma once

#include "cpu/engine/maps.h"

namespace ppeffconv::engine {

// (v - mean) / (std + 1e-10), std with n - 1; exactly 0 where all are equal.
inline void standardise(const float* from, int64_t count, float* to) {
  float mean = 0, squares = 0;
  for (int64_t i = 0; i < count; ++i) mean += from[i] - from[0];
  mean /= count;
  for (int64_t i = 0; i < count; ++i) {
    to[i] = from[i] - from[0] - mean;
    squares += to[i] * to[i];
  }
  const float factor = 1 / (std::sqrt(squares / std::max<int64_t>(count - 1, 1)) + 1e-10f);
  for (int64_t i = 0; i < count; ++i) to[i] *= factor;
}

template <typename T>
class Filters : public Operation<T> {
 public:
  Filters(const Definition& d, int64_t channels)
      : Operation<T>(d.step), taps_(d.step.required("taps")), std_(d.vector("std", channels)) {
    this->check(taps_ > 0 && taps_ <= kWindow && channels % taps_ == 0, "the channels are no whole filters");
    this->in_place = 0;
  }
  Dims infer(const std::vector<Dims>& in) const override { return in[0]; }
  void bind(Binder<T>& b) const override {
    b.task([in = b.in[0], out = b.out, this](Team team) {
      const int64_t filters = in.channels / taps_;
      const Share share = team.share(in.pixels() * filters);
      float logits[kWindow], normal[kWindow];
      for (int64_t k = share.begin; k < share.end; ++k) {
        const int64_t first = k % filters * taps_;
        const T* from = in.pixel(k / filters) + first;
        T* to = out.pixel(k / filters) + first;
        for (int64_t t = 0; t < taps_; ++t) logits[t] = to_float(from[t]);
        standardise(logits, taps_, normal);
        for (int64_t t = 0; t < taps_; ++t) to[t] = to_element(normal[t] * std_[first + t], T{});
        if (k % filters == filters - 1) std::fill(to + taps_, out.pixel(k / filters) + out.pitch, T{});
      }
    });
  }

 private:
  int64_t taps_;
  std::vector<float> std_;
};

template <typename T>
class DDF : public Operation<T> {
 public:
  DDF(const Definition& d, int64_t channels)
      : Operation<T>(d.step), windows_(windows(d)), act_(d.step.act()), channels_(channels) {
    heads_ = d.step.required("heads"), up_ = d.step.required("up"), gain_ = d.step.real("gain", 1);
    const std::string mode = d.step.word("mode", "mul");
    this->check(mode == "mul" || mode == "add", "the mode must be mul or add");
    this->check(heads_ > 0 && channels % heads_ == 0 && up_ > 0 && up_ < 64 && (up_ == 1 || windows_.stride_h == 1) &&
                    taps() <= kWindow,
                "the heads or factors do not fit");
    adds_ = mode == "add";
    scale_ = d.vector("scale", channels), shift_ = d.vector("shift", channels);
  }

  bool add = false;

  Dims infer(const std::vector<Dims>& in) const override {
    const int64_t branches = up_ * up_;
    const Dims low = windows_.output(in[0], channels_), &channel = in[1], &spatial = in[2];
    this->check(channel.batch == low.batch && channel.height * channel.width == 1 &&
                    channel.channels == branches * channels_ * taps(),
                "the channel filters do not fit");
    this->check(same_size(spatial, low) && spatial.channels == branches * heads_ * taps(),
                "the spatial filters do not fit");
    const Dims out{low.batch, low.height * up_, low.width * up_, channels_};
    this->check(!add || (same_size(in[3], out) && in[3].channels == channels_), "'add' does not fit the output");
    return out;
  }

  void bind(Binder<T>& b) const override {
    const int64_t branches = up_ * up_, padded = b.in[0].pitch;
    float* channel = b.template scratch<float>(b.out.batch * branches * taps() * padded);
    b.task([=, filters = b.in[1], this](Team team) { transpose(filters, padded, channel, team); });
    b.task([=, in = b.in[0], spatial = b.in[2], extra = add ? b.in[3] : Map<T>{}, out = b.out, run = pick_filter<T>(),
            this](Team team) {
      const T* pixels[kWindow];
      int64_t at[kWindow];
      std::vector<float> normal(heads_ * taps() + kLanes);
      for_each_pixel(spatial, team, [&](int64_t i, int64_t image, int64_t y, int64_t x) {
        const int64_t count = find_window(in, image, y, x, windows_, pixels, at);
        for (int64_t branch = 0; branch < branches; ++branch) {
          normalise(spatial.pixel(i) + branch * heads_ * taps(), normal.data());
          const Filtering f{channel + (image * branches + branch) * taps() * padded,
                            scale_.data(),
                            shift_.data(),
                            channels_,
                            padded,
                            taps(),
                            heads_,
                            channels_ / heads_,
                            adds_,
                            act_};
          const int64_t to = (image * out.height + y * up_ + branch / up_) * out.width + x * up_ + branch % up_;
          run(f, pixels, at, count, normal.data(), extra.data ? extra.pixel(to) : nullptr, out.pixel(to));
        }
      });
    });
  }

 private:
  static Windows windows(const Definition& d) {
    return {d.step, d.step.required("kernel"), d.step.required("stride"), d.step.required("dilation")};
  }
  int64_t taps() const { return windows_.kernel_h * windows_.kernel_w; }

  // [channel][tap] of each image and branch to [tap][channel].
  void transpose(const Map<T>& filters, int64_t padded, float* to, Team team) const {
    const Share share = team.share(filters.batch * up_ * up_ * taps());
    for (int64_t k = share.begin; k < share.end; ++k) {
      const int64_t part = k / taps(), tap = k % taps();
      const T* from = filters.pixel(part / (up_ * up_)) + part % (up_ * up_) * channels_ * taps() + tap;
      float* row = to + k * padded;
      for (int64_t c = 0; c < channels_; ++c) row[c] = to_float(from[c * taps()]);
      std::fill(row + channels_, row + padded, 0.0f);
    }
  }

  void normalise(const T* logits, float* to) const {
    float values[kWindow];
    for (int64_t h = 0; h < heads_; ++h, to += taps()) {
      for (int64_t t = 0; t < taps(); ++t) values[t] = to_float(logits[h * taps() + t]);
      standardise(values, taps(), to);
      for (int64_t t = 0; t < taps(); ++t) to[t] *= gain_;
    }
  }

  Windows windows_;
  Act act_;
  int64_t channels_, heads_, up_;
  float gain_;
  bool adds_;
  std::vector<float> scale_, shift_;
};

}  // namespace ppeffconv::engine
