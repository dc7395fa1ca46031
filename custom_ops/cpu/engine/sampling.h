// mask and fill: which pixels are computed, and what the others become from those.
#pragma once

#include "cpu/engine/conv.h"

namespace ppeffconv::engine {

// The seeded noise of a mask, uniform in (0, 1); the same for every image of a batch.
inline float uniform(int64_t position, int64_t stream, int64_t seed) {
  uint32_t v = uint32_t(position) + 0x9E3779B9u * uint32_t(stream + 1) + 0x85EBCA6Bu * uint32_t(seed);
  v ^= v >> 16, v *= 0x7feb352du, v ^= v >> 15, v *= 0x846ca68bu, v ^= v >> 16;
  return (float(v >> 8) + 0.5f) * 0x1p-24f;
}

// A convolution to one logit: as a 1x1 convolution to one map per tap, which then are shifted and summed.
template <typename T>
class Mask : public Operation<T> {
 public:
  Mask(const Definition& d, int64_t channels, int64_t seed)
      : Operation<T>(d.step), windows_(d.step, d.weight("weight", 4).shape[2], d.weight("weight", 4).shape[3]),
        seed_(seed) {
    const Weight& weight = d.weight("weight", 4);
    this->check(weight.shape[0] == 1 && weight.shape[1] == channels && taps() <= kPanel, "the weight does not fit");
    bias_ = d.vector("bias", 1)[0], grid_ = d.step.number("grid", 0), noise_ = d.step.number("noise", 0) != 0;
    stream_ = d.step.number("stream", 0);
    this->check(grid_ >= 0, "the grid must not be negative");
    if (!weight.data) return;
    PhaseBuilder<T> phase(taps());
    phase.add(0, 0, 0, 0, channels, [&](int64_t c, int64_t t) { return weight.data[c * taps() + t]; });
    std::vector<Group> one(1, {0, taps(), {}, {}});
    one[0].phases.push_back(phase.take());
    product_ = pack<T>(std::move(one), 1);
  }
  Dims infer(const std::vector<Dims>& in) const override { return windows_.output(in[0], 1); }

  void bind(Binder<T>& b) const override {
    const Map<T>& in = b.in[0];
    const Map<T> shares = b.scratch_map({in.batch, in.height, in.width, taps()});
    Call<T> call(shares);
    call.sources = {{in}};
    call.targets = {{0, taps()}};
    b.product(&product_, std::move(call));

    Active* active = b.mask_out.get();
    active->pixels = b.out.pixels();
    active->kept.resize(active->pixels);
    active->list.resize(active->pixels);
    int64_t* counts = b.template scratch<int64_t>(b.threads);
    b.task([=, out = b.out, this](Team team) {
      int64_t count = 0;
      for_each_pixel(out, team, [&](int64_t i, int64_t image, int64_t y, int64_t x) {
        count += active->kept[i] = keep(shares, image, y, x, out.width);
      });
      counts[team.rank] = count;
    });
    b.task([=](Team team) {
      const Share share = team.share(active->pixels);
      int64_t at = 0;
      for (int64_t r = 0; r < team.rank; ++r) at += counts[r];
      for (int64_t i = share.begin; i < share.end; ++i) {
        if (active->kept[i]) active->list[at++] = int32_t(i);
      }
      if (team.rank + 1 == team.size) active->count = at;
    });
  }

 private:
  int64_t taps() const { return windows_.kernel_h * windows_.kernel_w; }

  bool keep(const Map<T>& shares, int64_t image, int64_t y, int64_t x, int64_t width) const {
    if (grid_ > 0 && y % grid_ == 0 && x % grid_ == 0) return true;
    const T* pixels[kPanel];
    int64_t at[kPanel];
    const int64_t count = find_window(shares, image, y, x, windows_, pixels, at);
    float logit = bias_;
    for (int64_t k = 0; k < count; ++k) logit += to_float(pixels[k][at[k]]);
    if (!noise_) return logit >= 0;
    return uniform(y * width + x, stream_, seed_) < 1 / (1 + std::exp(-logit));
  }

  Windows windows_;
  float bias_;
  int64_t grid_, stream_, seed_;
  bool noise_;
  Product<T> product_;
};

// y = act(f + shift + add), where f is the feature itself, or interpolated from the active ones around it.
template <typename T>
class Fill : public Operation<T> {
 public:
  Fill(const Definition& d, int64_t channels) : Operation<T>(d.step), act_(d.step.act()) {
    if (d.step.has("shift")) shift_ = d.vector("shift", channels);
    if (!d.step.has("table")) return;
    const Weight& table = d.weight("table", 2);
    this->check(table.shape[0] == table.shape[1] && table.shape[0] % 2 == 1 && table.size() <= kWindow,
                "the table must be square and odd");
    if (!table.data) return;
    const int64_t radius = table.shape[0] / 2;
    for (int64_t y = -radius; y <= radius; ++y) {
      for (int64_t x = -radius; x <= radius; ++x) {
        const float weight = table.data[(y + radius) * table.shape[0] + x + radius];
        if (weight != 0) around_.push_back({y, x, weight});
      }
    }
  }

  bool add = false;
  // Whether active pixels stay as they are, so that the others can be filled in where they lie.
  bool keeps() const { return shift_.empty() && !add && act_ == Act::kNone; }

  Dims infer(const std::vector<Dims>& in) const override {
    this->check(same_size(in[0], in[1]) && in[1].channels == 1, "the mask does not fit the features");
    this->check(!add || (same_size(in[2], in[0]) && in[2].channels == in[0].channels), "'add' does not fit");
    return in[0];
  }

  void bind(Binder<T>& b) const override {
    const Active* active = b.masks[1].get();
    b.task([=, in = b.in[0], extra = add ? b.in[2] : Map<T>{}, out = b.out, run = pick_map_functions<T>(),
            this](Team team) {
      const float* shift = shift_.empty() ? nullptr : shift_.data();
      const bool ready = keeps() && in.data == out.data;
      for_each_pixel(out, team, [&](int64_t i, int64_t image, int64_t y, int64_t x) {
        const T* other = extra.data ? extra.pixel(i) : nullptr;
        if (active->kept[i]) {
          if (!ready) run.affine(in.pixel(i), nullptr, shift, other, act_, out.pitch, out.pixel(i));
          return;
        }
        const T* pixels[kWindow];
        float weights[kWindow];
        const float* each[kWindow];
        const int64_t count = neighbours(in, *active, image, y, x, pixels, weights);
        for (int64_t k = 0; k < count; ++k) each[k] = weights + k;
        run.weigh(pixels, each, count, 0, shift, other, act_, out.pitch, out.pixel(i));
      });
    });
  }

 private:
  struct Neighbour {
    int64_t y, x;
    float weight;
  };

  // The active pixels around one, with weights that are normalised. Those too small to be seen are left out.
  int64_t neighbours(const Map<T>& in, const Active& active, int64_t image, int64_t y, int64_t x, const T** pixels,
                     float* weights) const {
    constexpr float kUnseen = 3e-8f;
    int64_t count = 0, seen = 0;
    float total = 1e-5f;
    for (const Neighbour& n : around_) {
      const int64_t row = y + n.y, column = x + n.x;
      if (row < 0 || row >= in.height || column < 0 || column >= in.width) continue;
      const int64_t at = (image * in.height + row) * in.width + column;
      if (!active.kept[at]) continue;
      pixels[count] = in.pixel(at);
      weights[count++] = n.weight;
      total += n.weight;
    }
    for (int64_t k = 0; k < count; ++k) {
      if (!(weights[k] >= kUnseen * total)) continue;
      pixels[seen] = pixels[k];
      weights[seen++] = weights[k] / total;
    }
    return seen;
  }

  Act act_;
  std::vector<float> shift_;
  std::vector<Neighbour> around_;
};

}  // namespace ppeffconv::engine
