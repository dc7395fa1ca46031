// filters and ddf: decoupled dynamic filters, their normalisation, and DDF-Up, whose branches write where they belong.
#pragma once

#include "cpu/engine/maps.h"

namespace ppeffconv::engine {

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
    b.task([in = b.in[0], out = b.out, functions = pick_filter_functions<T>(), this](Piece piece) {
      const int64_t filters = in.channels / taps_, runs = (filters + kRun - 1) / kRun;
      const Share share = piece.share(in.pixels() * runs);
      std::vector<float> normal(taps_ * kRun);
      for (int64_t k = share.begin; k < share.end; ++k) {
        const int64_t pixel = k / runs, begin = k % runs * kRun, count = std::min(filters - begin, kRun);
        const T* from = in.pixel(pixel) + begin * taps_;
        T* to = out.pixel(pixel) + begin * taps_;
        functions.standardise(from, taps_, count, taps_, 1, normal.data());
        for (int64_t i = 0; i < count * taps_; ++i) {
          to[i] = to_element(normal[i % taps_ * kRun + i / taps_] * std_[begin * taps_ + i], T{});
        }
        if (begin + count == filters) std::fill(to + count * taps_, out.pixel(pixel) + out.pitch, T{});
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
    this->check(same_side(channel.batch, low.batch) && channel.height * channel.width == 1 &&
                    channel.channels == branches * channels_ * taps(),
                "the channel filters do not fit");
    this->check(same_size(spatial, low) && spatial.channels == branches * heads_ * taps(),
                "the spatial filters do not fit");
    const Dims out{low.batch, times(low.height, up_), times(low.width, up_), channels_};
    this->check(!add || (same_size(in[3], out) && in[3].channels == channels_), "'add' does not fit the output");
    return out;
  }

  void bind(Binder<T>& b) const override {
    const int64_t branches = up_ * up_, padded = b.in[0].pitch;
    float* channel = b.template scratch<float>(b.out.batch * branches * taps() * padded);
    b.task([=, filters = b.in[1], this](Piece piece) { transpose(filters, padded, channel, piece); });
    b.task([=, in = b.in[0], spatial = b.in[2], extra = add ? b.in[3] : Map<T>{}, out = b.out,
            functions = pick_filter_functions<T>(), this](Piece piece) {
      const T* pixels[kWindow];
      int64_t at[kWindow];
      std::vector<float> normal(heads_ * taps() * kRun);
      for_each_run(in, spatial, windows_, piece, [&](int64_t i, int64_t image, int64_t y, int64_t x, int64_t run) {
        const int64_t count = find_window(in, image, y, x, windows_, pixels, at);
        for (int64_t branch = 0; branch < branches; ++branch) {
          for (int64_t h = 0; h < heads_; ++h) {
            functions.standardise(spatial.pixel(i) + (branch * heads_ + h) * taps(), spatial.pitch, run, taps(), gain_,
                                  normal.data() + h * taps() * kRun);
          }
          const int64_t to = (image * out.height + y * up_ + branch / up_) * out.width + x * up_ + branch % up_;
          const Filtering filters{channel + (image * branches + branch) * taps() * padded,
                                  normal.data(),
                                  padded,
                                  taps(),
                                  heads_,
                                  channels_ / heads_,
                                  adds_};
          const Stretch<T> stretch{run,
                                   windows_.stride_w * in.pitch,
                                   out.pixel(to),
                                   extra.data ? extra.pixel(to) : nullptr,
                                   up_ * out.pitch,
                                   scale_.data(),
                                   shift_.data(),
                                   act_};
          functions.filter(filters, pixels, at, count, stretch);
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
  void transpose(const Map<T>& filters, int64_t padded, float* to, Piece piece) const {
    const Share share = piece.share(filters.batch * up_ * up_ * taps());
    for (int64_t k = share.begin; k < share.end; ++k) {
      const int64_t part = k / taps(), tap = k % taps();
      const T* from = filters.pixel(part / (up_ * up_)) + part % (up_ * up_) * channels_ * taps() + tap;
      float* row = to + k * padded;
      for (int64_t c = 0; c < channels_; ++c) row[c] = to_float(from[c * taps()]);
      std::fill(row + channels_, row + padded, 0.0f);
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
