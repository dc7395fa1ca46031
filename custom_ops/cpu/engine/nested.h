// nested: versatile filters. The multiply-adds of one convolution give all secondary filters: a crop's sums are the
// next larger one's first part (rings), and windows over the channels differ at their edges alone.
#pragma once

#include "cpu/engine/conv.h"

namespace ppeffconv::engine {

template <typename T>
class Nested : public Operation<T> {
 public:
  Nested(const Definition& d, int64_t in_channels)
      : Operation<T>(d.step),
        weight_(d.weight("weight", 4)),
        windows_(d.step, weight_.shape[2], weight_.shape[3]),
        act_(d.step.act()),
        in_channels_(in_channels),
        paper_(d.step.word("mode", "paper") == "paper") {
    groups_ = d.step.number("groups", 1), delta_ = d.step.number("delta", 0), step_ = d.step.number("g", 1);
    primaries_ = weight_.shape[0], channels_ = d.weight("shift", 1).size();
    this->check(groups_ > 0 && primaries_ % groups_ == 0 && weight_.shape[1] * groups_ == in_channels_ && delta_ >= 0 &&
                    delta_ < in_channels_ && (delta_ == 0 || groups_ == 1) && step_ > 0 && delta_ % step_ == 0,
                "the weight does not fit the channels");
    crops_ = (std::min(weight_.shape[2], weight_.shape[3]) + 1) / 2, shifts_ = delta_ / step_ + 1;
    this->check(channels_ > 0 && channels_ <= crops_ * shifts_ * primaries_, "the channels do not fit the filters");
    made_ = (channels_ + primaries_ - 1) / primaries_;
    scale_ = d.vector("scale", channels_), shift_ = d.vector("shift", channels_);
    expanded_ = crops_ * shifts_ + 1 > kTiles || (delta_ > 0 && (!paper_ || few_multiply_adds()));
    if (!weight_.data) return;
    product_ = expanded_ ? pack<T>(expand(), 1) : pack<T>(share(), int(crops_ * shifts_ + (shifts_ > 1)));
    if (may_winograd()) {
      if (!expanded_) centres_ = pack<T>(centres(), 1);
      winograd_.pack_weights(in_channels_, by_winograd(), [this](int64_t o, int64_t c, int64_t t) {
        if (o >= channels_) return 0.0f;
        return scale_[o] * (expanded_ ? written_out(o, c, t / 3, t % 3) : tap(o, c, t / 3, t % 3));
      });
    }
    weight_.data = nullptr;
  }

  bool add = false;

  Dims infer(const std::vector<Dims>& in) const override {
    const Dims out = windows_.output(in[0], channels_);
    this->check(!add || (same_size(in[1], out) && in[1].channels == channels_), "'add' does not fit the output");
    return out;
  }

  void bind(Binder<T>& b) const override {
    Call<T> call(b.out);
    call.sources = {windows_.over(b.in[0])};
    call.finish.scale = scale_.data(), call.finish.shift = shift_.data(), call.finish.act = act_;
    if (add) call.add = b.in[1];
    if constexpr (sizeof(T) == 4) {
      if (may_winograd() && winograd_.pays(b.out.plane())) {
        winograd_.bind(b, call, nullptr);
        if (expanded_) return;
        call.targets = {{primaries_, channels_ - primaries_}};
        return b.product(&centres_, std::move(call));
      }
    }
    const int64_t targets = expanded_ ? 1 : made_;
    for (int64_t t = 0; t < targets; ++t) {
      const int64_t first = t * primaries_;
      call.targets.push_back({first, expanded_ ? channels_ : std::min(primaries_, channels_ - first)});
    }
    b.product(&product_, std::move(call));
  }

 private:
  // Whether crop `i` has the tap.
  bool within(int64_t crop, int64_t y, int64_t x) const {
    return y >= crop && x >= crop && y < windows_.kernel_h - crop && x < windows_.kernel_w - crop;
  }
  float tap(int64_t o, int64_t c, int64_t y, int64_t x) const {
    return weight_.data[((o * weight_.shape[1] + c) * windows_.kernel_h + y) * windows_.kernel_w + x];
  }

  // Calls what(y, x) for the taps of a crop that the next smaller one (`ring`) lacks, or for all of them.
  template <typename What>
  void for_taps(int64_t crop, bool ring, const What& what) const {
    for (int64_t y = 0; y < windows_.kernel_h; ++y) {
      for (int64_t x = 0; x < windows_.kernel_w; ++x) {
        if (within(crop, y, x) && !(ring && within(crop + 1, y, x))) what(y, x);
      }
    }
  }

  std::vector<Group> share() const {
    const int64_t merged = merged_groups(groups_, primaries_ / groups_, sizeof(T) == 4), columns = primaries_ / merged;
    std::vector<Group> all;
    for (int64_t g = 0; g < merged; ++g) {
      Group group{g * columns, columns, {}, {}};
      for (int64_t crop = crops_ - 1; crop >= 0; --crop) {
        const bool ring = crop + 1 < crops_;
        // with windows over the channels, what they share is summed in a tile of its own, the last
        const int tile = shifts_ > 1 ? int(crops_ * shifts_) : int(crop);
        group.phases.push_back(common(g, merged, crop, ring, tile, ring ? (shifts_ > 1 ? tile : tile + 1) : kNothing));
        for (int64_t shift = 0; shifts_ > 1 && shift < shifts_ && crop * shifts_ + shift < made_; ++shift) {
          group.phases.push_back(edges(crop, shift, int(crop * shifts_ + shift), tile));
        }
      }
      all.push_back(std::move(group));
    }
    return all;
  }

  // Channels that every window has: from delta on, up to the last delta.
  Phase common(int64_t g, int64_t merged, int64_t crop, bool ring, int tile, int from) const {
    const int64_t columns = primaries_ / merged, together = groups_ / merged, own = weight_.shape[1];
    const int64_t per_group = primaries_ / groups_;
    PhaseBuilder<T> phase(columns, tile, from);
    for_taps(crop, ring, [&](int64_t y, int64_t x) {
      const auto value = [&](int64_t c, int64_t o) {
        const int64_t channel = c - o / per_group * own;
        const bool inside = channel >= 0 && channel < own && channel >= delta_ && channel < own - delta_;
        return inside ? tap(g * columns + o, channel, y, x) : 0.0f;
      };
      phase.add(0, y * windows_.dilation_h, x * windows_.dilation_w, g * own * together, own * together, value);
    });
    return phase.take();
  }

  // The other channels of one window, [shift * g, shift * g + C - delta).
  Phase edges(int64_t crop, int64_t shift, int tile, int from) const {
    const int64_t begin = shift * step_, end = begin + in_channels_ - delta_;
    const int64_t first = std::max(begin, std::max(delta_, in_channels_ - delta_));
    PhaseBuilder<T> phase(primaries_, tile, from);
    for_taps(crop, false, [&](int64_t y, int64_t x) {
      const auto run = [&](int64_t first_channel, int64_t last_channel) {
        if (first_channel >= last_channel) return;
        // pairs of bfloat16 must not reach behind the pixel: one channel more in front, times zero
        const int64_t more = sizeof(T) == 2 && (last_channel - first_channel) % 2 && first_channel > 0;
        const auto value = [&](int64_t c, int64_t o) {
          return c < more ? 0.0f : tap(o, first_channel - more + c, y, x);
        };
        phase.add(0, y * windows_.dilation_h, x * windows_.dilation_w, first_channel - more,
                  last_channel - first_channel + more, value);
      };
      run(begin, std::min(end, delta_));
      run(first, end);
    });
    return phase.take();
  }

  // Filters that are written out go by Winograd like any convolution's. Others by it, and their 1x1 crops by
  // themselves: sums are not shared then, yet it is less to multiply.
  bool fits_winograd() const {
    const Windows& w = windows_;
    return sizeof(T) == 4 && w.kernel_h == 3 && w.kernel_w == 3 && w.stride_h * w.stride_w == 1 &&
           w.dilation_h * w.dilation_w == 1 && groups_ == 1 && is_limit(act_);
  }
  int64_t by_winograd() const { return expanded_ ? round_up(channels_, kLanes) : primaries_; }
  bool may_winograd() const {
    const bool centres = delta_ == 0 && channels_ > primaries_;
    return fits_winograd() && (expanded_ || centres) && Winograd::pays(in_channels_, by_winograd());
  }
  // Whether all filters written out take less time than sharing their sums, which costs a phase each: in vectors
  // multiplied and added for a pixel, by measurement. For windows over the channels, of which there are no groups.
  bool few_multiply_adds() const {
    constexpr double kPhase = 40, kTransform = 25;  // of sixteen channels in or out
    const double taps = windows_.kernel_h * windows_.kernel_w, depth = in_channels_;
    const int64_t vectors = (channels_ + kLanes - 1) / kLanes, own = (primaries_ + kLanes - 1) / kLanes;
    double all = taps * depth * vectors;
    if (fits_winograd() && Winograd::pays(in_channels_, vectors * kLanes))
      all = std::min(all, 4 * depth * vectors + kTransform * (depth / kLanes + vectors));
    return all < taps * depth * own * (primaries_ <= kHalf ? 0.6 : 1) + kPhase * crops_ * shifts_;
  }
  std::vector<Group> centres() const {
    const int64_t columns = channels_ - primaries_;
    PhaseBuilder<T> phase(columns);
    phase.add(0, 1, 1, 0, in_channels_, [this](int64_t c, int64_t o) { return tap(o, c, 1, 1); });
    std::vector<Group> one(1, {0, columns, {}, {}});
    one[0].phases.push_back(phase.take());
    return one;
  }

  // One ordinary convolution with every filter written out.
  std::vector<Group> expand() const {
    PhaseBuilder<T> phase(channels_);
    for_taps(0, false, [&](int64_t y, int64_t x) {
      phase.add(0, y * windows_.dilation_h, x * windows_.dilation_w, 0, in_channels_,
                [&](int64_t c, int64_t o) { return written_out(o, c, y, x); });
    });
    std::vector<Group> one(1, {0, channels_, {}, {}});
    one[0].phases.push_back(phase.take());
    return one;
  }
  float written_out(int64_t o, int64_t c, int64_t y, int64_t x) const {
    const int64_t own = weight_.shape[1], filter = o % primaries_, window = o / primaries_;
    const int64_t start = window % shifts_ * step_, channel = c - filter / (primaries_ / groups_) * own;
    if (channel < 0 || channel >= own || !within(window / shifts_, y, x)) return 0.0f;
    if (delta_ > 0 && (channel < start || channel >= start + in_channels_ - delta_)) return 0.0f;
    return tap(filter, paper_ ? channel : channel - start, y, x);
  }

  Weight weight_;
  Windows windows_;
  Act act_;
  int64_t in_channels_, groups_, delta_, step_, primaries_, channels_, crops_, shifts_;
  int64_t made_;  // of the crops' and windows' filters, as few as the channels need
  bool paper_, expanded_;
  std::vector<float> scale_, shift_;
  Product<T> product_, centres_;
  Winograd winograd_;
};

}  // namespace ppeffconv::engine
