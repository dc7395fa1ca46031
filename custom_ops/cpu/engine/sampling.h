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

// Convolutions to one logit each, of one map: as a 1x1 convolution to a channel per tap, which then are shifted and
// summed. Masks that follow one another share it.
template <typename T>
class Mask : public Operation<T> {
 public:
  Mask(const Definition& d, int64_t channels, int64_t seed) : Operation<T>(d.step), channels_(channels), seed_(seed) {
    add(d);
  }

  // One more mask of the same map.
  bool join(const Definition& d) {
    const Weight& weight = d.weight("weight", 4);
    if ((branches_.size() + 1) * kLanes > kPanel || weight.shape[2] * weight.shape[3] > kLanes) return false;
    add(d);
    return true;
  }
  // Once all have joined.
  void settle() override {
    if (branches_[0].weights.empty()) return;
    const int64_t columns = int64_t(branches_.size() - 1) * kLanes + branches_.back().taps();
    PhaseBuilder<T> phase(columns);
    phase.add(0, 0, 0, 0, channels_, [&](int64_t c, int64_t column) {
      const Branch& branch = branches_[column / kLanes];
      const int64_t tap = column % kLanes;
      return tap < branch.taps() ? branch.weights[c * branch.taps() + tap] : 0.0f;
    });
    std::vector<Group> one(1, {0, columns, {}, {}});
    one[0].phases.push_back(phase.take());
    product_ = pack<T>(std::move(one), 1);
  }

  Dims infer(const std::vector<Dims>& in) const override { return branches_[0].windows.output(in[0], 1); }
  Dims infer_more(const std::vector<Dims>& in, size_t i) const override {
    return branches_[i + 1].windows.output(in[0], 1);
  }

  void bind(Binder<T>& b) const override {
    const Map<T>& in = b.in[0];
    const int64_t columns = int64_t(branches_.size() - 1) * kLanes + branches_.back().taps();
    const Map<T> shares = b.scratch_map({in.batch, in.height, in.width, columns});
    Call<T> call(shares);
    call.sources = {{in}};
    call.targets = {{0, columns}};
    b.product(&product_, std::move(call));
    for (size_t i = 0; i < branches_.size(); ++i) bind_branch(b, branches_[i], shares, i);
  }

 private:
  struct Branch {
    Windows windows;
    float bias;
    int64_t grid, stream;
    bool noise;
    std::vector<float> weights;

    int64_t taps() const { return windows.kernel_h * windows.kernel_w; }
  };

  void add(const Definition& d) {
    const Weight& weight = d.weight("weight", 4);
    Branch branch{Windows(d.step, weight.shape[2], weight.shape[3]),
                  d.vector("bias", 1)[0],
                  d.step.number("grid", 0),
                  d.step.number("stream", 0),
                  d.step.number("noise", 0) != 0,
                  {}};
    this->check(weight.shape[0] == 1 && weight.shape[1] == channels_ && branch.taps() <= kLanes && branch.grid >= 0,
                "the weight does not fit, or the grid is negative");
    if (weight.data) branch.weights.assign(weight.data, weight.data + weight.size());
    branches_.push_back(std::move(branch));
  }

  void bind_branch(Binder<T>& b, const Branch& branch, const Map<T>& shares, size_t i) const {
    const Map<T> out = b.outs[i];
    Active* active = b.active[i].get();
    active->pixels = out.pixels();
    active->kept.resize(active->pixels + 8);
    active->list.resize(active->pixels);
    const int64_t pixels = out.pixels();
    int64_t* counts = b.template scratch<int64_t>(b.pieces(pixels));
    b.task(pixels, [=, which = &branch, this](Piece piece) {
      int64_t count = 0;
      for_each_run(shares, out, which->windows, piece, [&](auto at, auto image, auto y, auto x, auto run) {
        float logits[kRun];
        sum_up(*which, shares, i * kLanes, image, y, x, run, logits);
        const int64_t grid = which->grid > 0 && y % which->grid == 0 ? which->grid : 0;  // of this row
        for (int64_t k = 0; k < run; ++k) {
          const bool kept = keep(*which, logits[k], y * out.width + x + k) || (grid > 0 && (x + k) % grid == 0);
          count += active->kept[at + k] = kept;
        }
      });
      counts[piece.index] = count;
    });
    b.task(pixels, [=](Piece piece) {
      const Share share = piece.share(active->pixels);
      int64_t at = 0;
      for (int64_t r = 0; r < piece.index; ++r) at += counts[r];
      for (int64_t p = share.begin; p < share.end; p += 8) {
        uint64_t kept = active->kept_bytes(p, std::min<int64_t>(share.end - p, 8));
        for (; kept; kept &= kept - 1) active->list[at++] = int32_t(p + __builtin_ctzll(kept) / 8);
      }
      if (piece.index + 1 == piece.count) active->count = at;
    });
  }

  // The logits of a run: each tap's share lies under that tap.
  static void sum_up(const Branch& branch, const Map<T>& shares, int64_t first, int64_t image, int64_t y, int64_t x,
                     int64_t run, float* logits) {
    const T* pixels[kLanes];
    int64_t taps[kLanes];
    const int64_t count = find_window(shares, image, y, x, branch.windows, pixels, taps);
    const int64_t step = branch.windows.stride_w * shares.pitch;
    std::fill(logits, logits + run, branch.bias);
    for (int64_t i = 0; i < count; ++i) {
      const T* from = pixels[i] + first + taps[i];
      for (int64_t k = 0; k < run; ++k) logits[k] += to_float(from[k * step]);
    }
  }

  bool keep(const Branch& branch, float logit, int64_t position) const {
    if (!branch.noise) return logit >= 0;
    return uniform(position, branch.stream, seed_) < 1 / (1 + std::exp(-logit));
  }

  int64_t channels_, seed_;
  std::vector<Branch> branches_;
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
    radius_ = table.shape[0] / 2;
    for (int64_t i = 0; table.data && i < table.size(); ++i)
      this->check(table.data[i] >= 0, "the table must not be negative");
    if (table.data) table_.assign(table.data, table.data + table.size());
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
            this](Piece piece) {
      const float* shift = shift_.empty() ? nullptr : shift_.data();
      const bool ready = keeps() && in.data == out.data;
      for_each_pixel(out, piece, [&](int64_t i, int64_t image, int64_t y, int64_t x) {
        const T* other = extra.data ? extra.pixel(i) : nullptr;
        if (active->kept[i]) {
          if (!ready) run.affine(in.pixel(i), nullptr, shift, other, act_, out.pitch, out.pixel(i));
          return;
        }
        const T* pixels[kWindow];
        float weights[kWindow];
        const int64_t count = neighbours(in, *active, image, y, x, pixels, weights);
        run.weigh(pixels, weights, count, shift, other, act_, out.pitch, out.pixel(i));
      });
    });
  }

 private:
  // The active pixels around one, with weights that are normalised. Those too small to be seen are left out.
  int64_t neighbours(const Map<T>& in, const Active& active, int64_t image, int64_t y, int64_t x, const T** pixels,
                     float* weights) const {
    constexpr float kUnseen = 2e-6f;  // of the whole: in a 7x7 window they are less than a ten-thousandth of it
    const int64_t left = std::max(x - radius_, int64_t{0}), right = std::min(x + radius_ + 1, in.width);
    const int64_t top = std::max(y - radius_, int64_t{0}), bottom = std::min(y + radius_ + 1, in.height);
    int64_t count = 0, seen = 0;
    float total = 1e-5f;
    for (int64_t row = top; row < bottom; ++row) {
      const float* table = table_.data() + (row - y + radius_) * (2 * radius_ + 1) + radius_ - x;
      const int64_t first = (image * in.height + row) * in.width;
      for (int64_t column = left; column < right; column += 8) {
        uint64_t kept = active.kept_bytes(first + column, right - column);
        for (; kept; kept &= kept - 1) {
          const int64_t at = column + __builtin_ctzll(kept) / 8;
          pixels[count] = in.pixel(first + at);
          total += weights[count++] = table[at];
        }
      }
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
  int64_t radius_ = -1;  // of the window; without a table nothing lies in it
  std::vector<float> table_;
};

}  // namespace ppeffconv::engine
