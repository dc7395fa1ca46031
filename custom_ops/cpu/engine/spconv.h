// sp: SPConv in one pass. The gates depend on the branches' means alone, and those follow from sums over the input: so
// they are known before the branches are computed, which then are blended where they arise.
#pragma once

#include "cpu/engine/conv.h"

namespace ppeffconv::engine {

template <typename T>
class SPConv : public Operation<T> {
 public:
  SPConv(const Definition& d, int64_t in_channels)
      : Operation<T>(d.step), windows_(d.step, 3, 3), act_(d.step.act()), in_channels_(in_channels) {
    windows_.padding_h = windows_.dilation_h, windows_.padding_w = windows_.dilation_w;
    const Weight &grouped = d.weight("grouped", 4), &pointwise = d.weight("pointwise", 4);
    const Weight& redundant = d.weight("redundant", 4);
    channels_ = grouped.shape[0], heavy_ = pointwise.shape[1], groups_ = d.step.number("groups", 1);
    pooled_ = windows_.stride_h == 2;
    this->check(groups_ > 0 && heavy_ > 0 && heavy_ < in_channels && heavy_ % groups_ == 0 &&
                    channels_ % groups_ == 0 &&
                    grouped.shape == std::vector<int64_t>{channels_, heavy_ / groups_, 3, 3} &&
                    pointwise.size() == channels_ * heavy_ && redundant.size() == channels_ * (in_channels - heavy_) &&
                    windows_.stride_h == windows_.stride_w && windows_.stride_h <= 2,
                "the weights do not fit the channels");
    shift3_ = d.vector("shift3", channels_), shift1_ = d.vector("shift1", channels_);
    gate_ = d.vector("gate", channels_);
    if (!grouped.data) return;
    product_ = pack<T>(groups(grouped.data, pointwise.data, redundant.data), 1);
    if (may_winograd()) {
      pointwise_ = pack<T>(without_windows(pointwise.data, redundant.data), 1);
      const int64_t own = heavy_ / groups_, columns = channels_ / groups_;
      for (int64_t g = 0; g < groups_; ++g) {
        winograd_.emplace_back().pack_weights(own, columns, [&](int64_t o, int64_t c, int64_t t) {
          return grouped.data[((g * columns + o) * own + c) * 9 + t];
        });
      }
    }
    find_means();
  }

  bool add = false;

  Dims infer(const std::vector<Dims>& in) const override {
    const Dims out = windows_.output(in[0], channels_);
    this->check(!add || (same_size(in[1], out) && in[1].channels == channels_), "'add' does not fit the output");
    return out;
  }

  void bind(Binder<T>& b) const override {
    Call<T> call(b.out);
    call.sources = {windows_.over(b.in[0]), {pooled_ ? pool(b) : b.in[0]}};
    const int64_t pitch = round_up(channels_, kPanel) + kPanel;
    call.gates = {b.template scratch<float>(b.out.batch * 3 * pitch), b.out.batch, 1, 1, channels_, 3 * pitch};
    call.finish.gates = pitch;
    find_gates(b, call);
    call.finish.act = act_;
    if (add) call.add = b.in[1];
    call.targets = {{0, channels_}};
    if constexpr (sizeof(T) == 4) {
      if (may_winograd() && winograd_[0].pays(b.out.plane())) {
        call.begun = by_winograd(b);
        return b.product(&pointwise_, std::move(call));
      }
    }
    b.product(&product_, std::move(call));
  }

 private:
  // The 3x3 kernels by Winograd, and all 1x1 ones by themselves: more to do than one product for a few channels.
  bool may_winograd() const {
    const int64_t own = heavy_ / groups_;
    return sizeof(T) == 4 && !pooled_ && windows_.dilation_h * windows_.dilation_w == 1 && own >= 2 * kLanes &&
           own % kLanes == 0 && Winograd::pays(own, channels_ / groups_);
  }
  std::vector<Group> without_windows(const float* pointwise, const float* redundant) const {
    PhaseBuilder<T> heavy(channels_, 0, 0), light(channels_, 0, 0);
    const int64_t rest = in_channels_ - heavy_;
    heavy.add(1, 0, 0, 0, heavy_, [&](int64_t c, int64_t k) { return pointwise[k * heavy_ + c]; });
    light.add(1, 0, 0, heavy_, rest, [&](int64_t c, int64_t k) { return redundant[k * rest + c]; });
    std::vector<Group> one(1, {0, channels_, {}, {}});
    add_branches(&one[0], heavy.take(), light.take());
    return one;
  }
  static void add_branches(Group* group, Phase heavy, Phase light) {
    light.gated = true;
    group->phases.push_back(std::move(heavy));
    group->phases.push_back(std::move(light));
  }
  Map<T> by_winograd(Binder<T>& b) const {
    const Map<T> sums = b.scratch_map({b.out.batch, b.out.height, b.out.width, channels_});
    const int64_t own = heavy_ / groups_, columns = channels_ / groups_;
    for (int64_t g = 0; g < groups_; ++g) {
      Call<T> call(sums.part(g * columns, columns));
      call.sources = {windows_.over(b.in[0].part(g * own, own))};
      winograd_[g].bind(b, call, nullptr);
    }
    return sums;
  }

  // Source 0 is read by the 3x3 windows, source 1, pooled at stride 2, by the 1x1 kernels.
  std::vector<Group> groups(const float* grouped, const float* pointwise, const float* redundant) const {
    const int64_t merged = merged_groups(groups_, channels_ / groups_, false), columns = channels_ / merged;
    const int64_t own = heavy_ / groups_, per_group = channels_ / groups_, together = groups_ / merged;
    std::vector<Group> all;
    for (int64_t g = 0; g < merged; ++g) {
      PhaseBuilder<T> heavy(columns), light(columns, 0, 0);
      const int64_t begin = g * own * together, end = begin + own * together, o = g * columns;
      const auto point = [&](int64_t first) {
        return [=](int64_t c, int64_t k) { return pointwise[(o + k) * heavy_ + first + c]; };
      };
      for (int64_t t = 0; t < 9; ++t) {
        const bool folds = t == 4 && !pooled_;  // the 1x1 kernel lies on the centre tap
        heavy.add(0, t / 3 * windows_.dilation_h, t % 3 * windows_.dilation_w, begin, own * together,
                  [&](int64_t c, int64_t k) {
                    const int64_t channel = c - k / per_group * own;
                    const float at_centre = folds ? pointwise[(o + k) * heavy_ + begin + c] : 0.0f;
                    if (channel < 0 || channel >= own) return at_centre;
                    return grouped[((o + k) * own + channel) * 9 + t] + at_centre;
                  });
      }
      if (pooled_) {
        heavy.add(1, 0, 0, 0, heavy_, point(0));
      } else {
        if (begin > 0) heavy.add(1, 0, 0, 0, begin, point(0));
        if (end < heavy_) heavy.add(1, 0, 0, end, heavy_ - end, point(end));
      }
      const int64_t rest = in_channels_ - heavy_;
      light.add(1, 0, 0, heavy_, rest, [&](int64_t c, int64_t k) { return redundant[(o + k) * rest + c]; });
      Group group{o, columns, {}, {}};
      add_branches(&group, heavy.take(), light.take());
      all.push_back(std::move(group));
    }
    return all;
  }

  Map<T> pool(Binder<T>& b) const {
    const Map<T>& in = b.in[0];
    const Map<T> to = b.scratch_map({in.batch, (in.height + 1) / 2, (in.width + 1) / 2, in.channels});
    b.task([in, to, run = pick_map_functions<T>()](Piece piece) {
      for_each_pixel(to, piece, [&](int64_t i, int64_t image, int64_t y, int64_t x) {
        const T* pixels[4];
        int64_t count = 0;
        for (int64_t r = 2 * y; r < std::min(2 * y + 2, in.height); ++r) {
          for (int64_t c = 2 * x; c < std::min(2 * x + 2, in.width); ++c)
            pixels[count++] = in.pixel((image * in.height + r) * in.width + c);
        }
        run.pool(pixels, count, false, 1.0f / count, to.pitch, to.pixel(i));
      });
    });
    return to;
  }

  // What lies under some segments, which differ in the tap's row alone: the rows' sums are theirs.
  struct Strip {
    Segment segment;
    std::vector<std::pair<int64_t, int64_t>> taps;  // the row, and where its mean goes
  };

  // The product with means: the same weights, on one pixel of a map that holds what lies under each segment.
  void find_means() {
    sums_ = product_, sums_.tiles = 2;
    for (Group& group : sums_.groups) {
      bool light = false;
      for (Phase& phase : group.phases) {
        const bool begins = phase.gated;
        light = light || begins;
        phase.gated = false, phase.tile = light;
        phase.from = begins || phase.from == kNothing ? kNothing : phase.tile;
        const int64_t depth = phase.depth();
        int64_t at = depth_;
        for (const Segment& s : phase.segments) add_to_strip(s, at), at += s.count;
        phase.segments.assign(1, {0, 0, 0, depth_, depth});
        depth_ += depth;
      }
    }
  }
  void add_to_strip(const Segment& s, int64_t at) {
    for (Strip& strip : strips_) {
      const Segment& o = strip.segment;
      if (o.source == s.source && o.dx == s.dx && o.channel == s.channel && o.count == s.count)
        return strip.taps.emplace_back(s.dy, at), void();
    }
    strips_.push_back({s, {{s.dy, at}}});
  }

  void find_gates(Binder<T>& b, const Call<T>& call) const {
    const int64_t batch = b.out.batch, padded = round_up(depth_, kPanel) + kPanel;
    const Map<T> means{b.template scratch<T>(batch * padded), batch, 1, 1, depth_, padded};
    int64_t widest = 0;
    size_t most = 0;
    for (const Strip& s : strips_) {
      widest = std::max(widest, round_up(s.segment.count, kPanel)), most = std::max(most, s.taps.size());
    }
    const int64_t room = (most + 1) * widest;
    float* sums = b.template scratch<float>(b.threads * room);
    b.task([=, sources = call.sources, out = b.out, run = pick_map_functions<T>(), this](Piece piece) {
      const Share share = piece.share(batch * strips_.size());
      for (int64_t k = share.begin; k < share.end; ++k) {
        const Strip& strip = strips_[k % strips_.size()];
        const int64_t image = k / strips_.size();
        float* sum = sums + piece.worker * room;
        std::fill(sum, sum + room, 0.0f);
        add_up(sources[strip.segment.source], strip, image, out, run, sum, widest);
        for (const auto& [dy, at] : strip.taps) {
          sum += widest;
          T* mean = means.pixel(image) + at;
          for (int64_t c = 0; c < strip.segment.count; ++c) mean[c] = to_element(sum[c] / out.plane(), T{});
        }
      }
    });
    Call<T> one(Map<T>{nullptr, batch, 1, 1, channels_, 0});
    one.sources = {{means}};
    one.gates = call.gates;
    one.opens = {shift3_.data(), shift1_.data(), gate_.data(), call.finish.gates};
    b.product(&sums_, std::move(one));
  }

  // Sums of the input's pixels under the taps of all windows: each row's, and from those each tap's, `widest` apart.
  static void add_up(const Source<T>& source, const Strip& strip, int64_t image, const Map<T>& out,
                     const MapFunctions<T>& run, float* sums, int64_t widest) {
    const Map<T>& map = source.map;
    const Segment& s = strip.segment;
    const auto first = [](int64_t offset, int64_t stride) { return offset >= 0 ? 0 : (-offset + stride - 1) / stride; };
    const int64_t left = s.dx - source.padding_w, begin = first(left, source.stride_w);
    if (map.width - 1 < left) return;
    const int64_t end = std::min(out.width, (map.width - 1 - left) / source.stride_w + 1);
    for (int64_t row = 0; row < map.height && begin < end; ++row) {
      bool known = false;
      for (size_t t = 0; t < strip.taps.size(); ++t) {
        const int64_t y = row + source.padding_h - strip.taps[t].first;
        if (y < 0 || y % source.stride_h != 0 || y / source.stride_h >= out.height) continue;
        if (!known) {
          std::fill(sums, sums + s.count, 0.0f);
          const T* from =
              map.pixel((image * map.height + row) * map.width + begin * source.stride_w + left) + s.channel;
          run.sum(from, source.stride_w * map.pitch, end - begin, 0, s.count, sums);
          known = true;
        }
        float* to = sums + (t + 1) * widest;
        for (int64_t c = 0; c < s.count; ++c) to[c] += sums[c];
      }
    }
  }

  Windows windows_;
  Act act_;
  int64_t in_channels_, channels_, heavy_, groups_, depth_ = 0;
  bool pooled_;
  std::vector<float> shift3_, shift1_, gate_;
  Product<T> product_, sums_, pointwise_;
  std::vector<Strip> strips_;
  std::vector<Winograd> winograd_;
};

}  // namespace ppeffconv::engine
