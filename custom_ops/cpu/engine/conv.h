// conv: the convolution, over one map or the concatenation of several, with all that follows it. Also on the program's
// input, whose few channels are multiplied by rows of a kernel, and on the pixels of a mask alone.
#pragma once

#include "cpu/engine/winograd.h"

namespace ppeffconv::engine {

// Weights of some taps, as [depth][columns].
template <typename T>
class PhaseBuilder {
 public:
  PhaseBuilder(int64_t columns, int tile = 0, int from = kNothing) : columns_(columns) {
    phase_.tile = tile, phase_.from = from;
  }

  // `value(c, o)` is the weight of channel first + c for column o.
  template <typename Value>
  void add(int64_t source, int64_t dy, int64_t dx, int64_t first, int64_t channels, const Value& value) {
    const int64_t count = round_up(channels, 4 / sizeof(T));  // half a unit more is read, and multiplied by zero
    phase_.segments.push_back({source, dy, dx, first, count});
    const int64_t start = phase_.weights.size();
    phase_.weights.resize(start + count * columns_);
    for (int64_t c = 0; c < channels; ++c) {
      for (int64_t o = 0; o < columns_; ++o) phase_.weights[start + c * columns_ + o] = value(c, o);
    }
  }
  Phase take() { return std::move(phase_); }

 private:
  int64_t columns_;
  Phase phase_;
};

// How many products there are for the groups: narrow ones are multiplied together, with zeros between them, until their
// columns fill vectors, or half a one where that is `wanted`.
inline int64_t merged_groups(int64_t groups, int64_t columns_per_group, bool wanted) {
  const int64_t unit = wanted && columns_per_group <= kHalf ? kHalf : kLanes;
  for (int64_t merge = 1; merge < groups; ++merge) {
    if (groups % merge == 0 && merge * columns_per_group % unit == 0) return groups / merge;
  }
  return 1;
}

template <typename T>
class Convolution : public Operation<T> {
 public:
  // `widths`: channels of each input map. `images`: the only input is the program's, in Paddle's layout.
  Convolution(const Definition& d, const std::vector<int64_t>& widths, bool images)
      : Operation<T>(d.step),
        weight_(d.weight("weight", 4)),
        windows_(d.step, weight_.shape[2], weight_.shape[3]),
        act_(d.step.act()),
        widths_(widths),
        masked_(d.step.has("mask")),
        images_(images) {
    channels_ = weight_.shape[0], groups_ = d.step.number("groups", 1);
    for (int64_t width : widths) in_channels_ += width;
    this->check(groups_ > 0 && channels_ % groups_ == 0 && in_channels_ == weight_.shape[1] * groups_ &&
                    (groups_ == 1 || widths.size() == 1),
                "the weight does not fit the channels");
    this->check(!masked_ || (!d.step.has("add") && !d.step.has("up")), "a masked convolution adds nothing");
    if (d.step.has("bias")) bias_ = d.vector("bias", channels_);
    d.step.word("bias");
    if (weight_.data) {
      product_ = pack<T>(images_ ? rows_of_kernel() : groups(), 1);
      if (may_winograd())
        winograd_.pack_weights(in_channels_, padded(), [this](int64_t o, int64_t c, int64_t t) {
          return o < channels_ ? tap(o, c, t / 3, t % 3) : 0.0f;
        });
    }
    weight_.data = nullptr;
  }

  // Whether a convolution of the program's input is better done on a padded copy of it, by rows of the kernel.
  static bool takes_images(const Definition& d, int64_t channels) {
    const Weight& w = d.weight("weight", 4);
    const std::vector<int64_t> padding = d.step.pair("padding", 0);
    return channels * int64_t(sizeof(T)) < kAlign / 2 && d.step.pair("dilation", 1) == std::vector<int64_t>{1, 1} &&
           d.step.number("groups", 1) == 1 && padding[0] < w.shape[2] && padding[1] < w.shape[3] &&
           !d.step.has("mask") && w.shape[3] * channels <= kPanel;
  }

  Dims infer(const std::vector<Dims>& in) const override {
    for (size_t i = 1; i < widths_.size(); ++i) this->check(same_size(in[i], in[0]), "the maps differ in size");
    const Dims out = windows_.output(in[0], channels_);
    size_t at = widths_.size();
    if (add >= 0)
      this->check(same_size(in[at], out) && in[at].channels == channels_, "'add' does not fit the output"), ++at;
    if (up >= 0) {
      const Dims& low = in[at++];
      this->check(has_half(low, out) && low.channels == channels_, "'up' must have half of the output's size");
    }
    if (masked_) this->check(same_size(in[at], out), "the mask does not fit the output");
    return out;
  }

  int add = -1, up = -1;        // positions among the inputs; a mask is the last one
  bool zeros_left_out = false;  // somebody sees the pixels that a mask leaves out

  bool masked() const { return masked_; }
  bool reads_images() const { return images_; }
  // Whether an output pixel depends on the input's same pixel alone.
  bool pointwise() const {
    const Windows& w = windows_;
    return w.kernel_h * w.kernel_w * w.stride_h * w.stride_w == 1 && w.padding_h + w.padding_w == 0;
  }

  void bind(Binder<T>& b) const override {
    Call<T> call(b.out);
    if (images_) {
      call.sources = {padded_images(b)};
    } else {
      for (size_t i = 0; i < widths_.size(); ++i) call.sources.push_back(windows_.over(b.in[i]));
    }
    call.finish.shift = bias_.empty() ? nullptr : bias_.data(), call.finish.act = act_;
    if (add >= 0) call.add = b.in[add];
    if (up >= 0) call.up = b.in[up];
    call.targets = {{0, channels_}};
    const bool winograd = may_winograd() && winograd_.pays(b.out.plane()) && !zeros_left_out;
    const Active* active = masked_ ? b.masks.back().get() : nullptr;
    if constexpr (sizeof(T) == 4) {
      if (winograd) winograd_.bind(b, call, active);
    }
    if (!masked_) return winograd ? void() : b.product(&product_, std::move(call));
    if (zeros_left_out) {
      b.task([out = b.out](Piece piece) {
        const Share share = piece.share(out.pixels());
        std::memset(static_cast<void*>(out.pixel(share.begin)), 0, share.size() * out.pitch * sizeof(T));
      });
    }
    b.product(&product_, std::move(call), [=, all = !zeros_left_out] {
      return winograd && active->dense_enough_for_winograd() ? Rows{0} : active->rows(all);
    });
  }

 private:
  std::vector<Group> groups() const {
    const int64_t merged = merged_groups(groups_, channels_ / groups_, sizeof(T) == 4), together = groups_ / merged;
    const int64_t own = weight_.shape[1], columns = channels_ / merged, per_group = channels_ / groups_;
    std::vector<Group> all;
    for (int64_t g = 0; g < merged; ++g) {
      PhaseBuilder<T> phase(columns);
      for (int64_t y = 0; y < windows_.kernel_h; ++y) {
        for (int64_t x = 0; x < windows_.kernel_w; ++x) {
          for (size_t s = 0, first = 0; s < widths_.size(); first += widths_[s++]) {
            const auto value = [&, this](int64_t c, int64_t o) {
              const int64_t group = o / per_group, channel = int64_t(first) + c - group * own * (groups_ > 1);
              return groups_ > 1 && (channel < 0 || channel >= own) ? 0.0f : tap(g * columns + o, channel, y, x);
            };
            const int64_t count = groups_ > 1 ? own * together : widths_[s];
            phase.add(s, y * windows_.dilation_h, x * windows_.dilation_w, g * own * together * (groups_ > 1), count,
                      value);
          }
        }
      }
      all.push_back({g * columns, columns, {}, {}});
      all.back().phases.push_back(phase.take());
    }
    return all;
  }

  // A kernel's row covers neighbouring pixels: one segment.
  std::vector<Group> rows_of_kernel() const {
    PhaseBuilder<T> phase(channels_);
    const int64_t count = windows_.kernel_w * in_channels_;
    for (int64_t y = 0; y < windows_.kernel_h; ++y) {
      const auto value = [&, this](int64_t c, int64_t o) { return tap(o, c % in_channels_, y, c / in_channels_); };
      phase.add(0, y, 0, 0, count, value);
    }
    std::vector<Group> one(1, {0, channels_, {}, {}});
    one[0].phases.push_back(phase.take());
    return one;
  }

  bool may_winograd() const {
    const Windows& w = windows_;
    return sizeof(T) == 4 && w.kernel_h == 3 && w.kernel_w == 3 && w.stride_h * w.stride_w == 1 &&
           w.dilation_h * w.dilation_w == 1 && groups_ == 1 && !images_ && is_limit(act_) && channels_ > kHalf &&
           Winograd::pays(in_channels_, padded());
  }
  int64_t padded() const { return round_up(channels_, kLanes); }  // to the output's pitch

  float tap(int64_t o, int64_t c, int64_t y, int64_t x) const {
    return weight_.data[((o * weight_.shape[1] + c) * windows_.kernel_h + y) * windows_.kernel_w + x];
  }

  Source<T> padded_images(Binder<T>& b) const {
    const Map<T>& in = b.in[0];  // of the images' size, without data
    const int64_t height = std::max(in.height + 2 * windows_.padding_h, windows_.kernel_h);
    const int64_t width = std::max(in.width + 2 * windows_.padding_w, windows_.kernel_w);
    Map<T> to{nullptr, in.batch, height, width, in_channels_, in_channels_};
    to.data = b.template scratch<T>((to.pixels() + 1) * to.pitch);
    b.task([to, in, images = b.images, w = windows_](Piece piece) {
      // behind the last pixel half a unit more may be read
      if (piece.index == 0) std::fill(to.pixel(to.pixels()), to.pixel(to.pixels() + 1), T{});
      interleave(*images, in, to, w.padding_h, w.padding_w, piece);
    });
    return {to, windows_.stride_h, windows_.stride_w, 0, 0};
  }

  Weight weight_;
  Windows windows_;
  Act act_;
  std::vector<int64_t> widths_;
  bool masked_, images_;
  int64_t channels_, in_channels_ = 0, groups_;
  std::vector<float> bias_;
  Product<T> product_;
  Winograd winograd_;
};

}  // namespace ppeffconv::engine
