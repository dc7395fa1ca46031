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
    product_ = pack<T>(groups(grouped.data, pointwise.data, redundant.data), 2);
    if (may_winograd()) {
      pointwise_ = pack<T>(without_windows(pointwise.data, redundant.data), 2);
      const int64_t own = heavy_ / groups_, columns = channels_ / groups_;
      for (int64_t g = 0; g < groups_; ++g) {
        winograd_.emplace_back().pack_weights(own, columns, [&](int64_t o, int64_t c, int64_t t) {
          return grouped.data[((g * columns + o) * own + c) * 9 + t];
        });
      }
    }
    sums_ = product_;
    for (Group& group : sums_.groups) {
      for (Phase& phase : group.phases) {
        const int64_t depth = phase.depth();
        phase.segments.assign(1, {0, 0, 0, depth_, depth});
        depth_ += depth;
      }
    }
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
    float* gates = b.template scratch<float>(b.out.batch * pitch);
    find_gates(b, call, gates, pitch);
    call.blend = {gates, shift3_.data(), shift1_.data(), nullptr, pitch};
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
  // The 3x3 kernels by Winograd, and all 1x1 ones by themselves.
  bool may_winograd() const {
    const int64_t own = heavy_ / groups_;
    return sizeof(T) == 4 && !pooled_ && windows_.dilation_h * windows_.dilation_w == 1 && own % kLanes == 0 &&
           Winograd::pays(own, channels_ / groups_);
  }
  std::vector<Group> without_windows(const float* pointwise, const float* redundant) const {
    PhaseBuilder<T> heavy(channels_, 0, 0), light(channels_, 1);
    const int64_t rest = in_channels_ - heavy_;
    heavy.add(1, 0, 0, 0, heavy_, [&](int64_t c, int64_t k) { return pointwise[k * heavy_ + c]; });
    light.add(1, 0, 0, heavy_, rest, [&](int64_t c, int64_t k) { return redundant[k * rest + c]; });
    std::vector<Group> one(1, {0, channels_, {}, {}});
    one[0].phases.push_back(heavy.take());
    one[0].phases.push_back(light.take());
    return one;
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
    const int64_t merged = merged_groups(groups_, channels_ / groups_), columns = channels_ / merged;
    const int64_t own = heavy_ / groups_, per_group = channels_ / groups_, together = groups_ / merged;
    std::vector<Group> all;
    for (int64_t g = 0; g < merged; ++g) {
      PhaseBuilder<T> heavy(columns, 0), light(columns, 1);
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
      group.phases.push_back(heavy.take());
      group.phases.push_back(light.take());
      all.push_back(std::move(group));
    }
    return all;
  }

  Map<T> pool(Binder<T>& b) const {
    const Map<T>& in = b.in[0];
    const Map<T> to = b.scratch_map({in.batch, (in.height + 1) / 2, (in.width + 1) / 2, in.channels});
    b.task([in, to, run = pick_map_functions<T>()](Team team) {
      for_each_pixel(to, team, [&](int64_t i, int64_t image, int64_t y, int64_t x) {
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

  // The mean of what lies under each segment, and the product with that instead of pixels.
  void find_gates(Binder<T>& b, const Call<T>& call, float* gates, int64_t pitch) const {
    const int64_t batch = b.out.batch, padded = round_up(depth_, kPanel) + kPanel;
    const Map<T> means{b.template scratch<T>(batch * padded), batch, 1, 1, depth_, padded};
    int64_t widest = 0;
    for (const Group& group : product_.groups) {
      for (const Phase& phase : group.phases) {
        for (const Segment& s : phase.segments) widest = std::max(widest, round_up(s.count, kPanel));
      }
    }
    float* sums = b.template scratch<float>(b.threads * widest);
    b.task([=, sources = call.sources, out = b.out, run = pick_map_functions<T>(), this](Team team) {
      std::vector<std::pair<const Segment*, int64_t>> parts;
      int64_t depth = 0;
      for (const Group& group : product_.groups) {
        for (const Phase& phase : group.phases) {
          for (const Segment& s : phase.segments) parts.emplace_back(&s, depth), depth += s.count;
        }
      }
      const Share share = team.share(batch * parts.size());
      for (int64_t k = share.begin; k < share.end; ++k) {
        const int64_t image = k / parts.size();
        const auto [segment, at] = parts[k % parts.size()];
        float* sum = sums + team.rank * widest;
        std::fill(sum, sum + widest, 0.0f);
        add_up(sources[segment->source], *segment, image, out, run, sum);
        T* mean = means.pixel(image) + at;
        for (int64_t c = 0; c < segment->count; ++c) mean[c] = to_element(sum[c] / out.plane(), T{});
      }
    });
    Call<T> one(Map<T>{nullptr, batch, 1, 1, channels_, 0});
    one.sources = {{means}};
    one.blend = {gates, shift3_.data(), shift1_.data(), gate_.data(), pitch};
    b.product(&sums_, std::move(one));
  }

  // Row by row the input's pixels under one tap of all windows.
  static void add_up(const Source<T>& source, const Segment& s, int64_t image, const Map<T>& out,
                     const MapFunctions<T>& run, float* sum) {
    const Map<T>& map = source.map;
    const auto first = [](int64_t offset, int64_t stride) { return offset >= 0 ? 0 : (-offset + stride - 1) / stride; };
    const int64_t left = s.dx - source.padding_w, begin = first(left, source.stride_w);
    const int64_t end = std::min(out.width, (map.width - 1 - left) / source.stride_w + 1);
    if (map.width - 1 < left) return;
    for (int64_t y = 0; y < out.height; ++y) {
      const int64_t row = y * source.stride_h - source.padding_h + s.dy;
      if (row < 0 || row >= map.height || begin >= end) continue;
      const T* from = map.pixel((image * map.height + row) * map.width + begin * source.stride_w + left) + s.channel;
      run.sum(from, source.stride_w * map.pitch, end - begin, 0, s.count, sum);
    }
  }

  Windows windows_;
  Act act_;
  int64_t in_channels_, channels_, heavy_, groups_, depth_ = 0;
  bool pooled_;
  std::vector<float> shift3_, shift1_, gate_;
  Product<T> product_, sums_, pointwise_;
  std::vector<Winograd> winograd_;
};

}  // namespace ppeffconv::engine
