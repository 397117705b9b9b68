// The recurrence kernels: a whole sequence in one launch, forward and backward, for any cell whose matrices are w_hh
// alone, any type of weights and any way in which blocks share the hidden units.
//
// The weights are read once. Each block keeps its slab of the recurrent matrix in registers and shared memory for the
// whole sequence (persistent weights), so that a step reads no weights from memory, only h. A step, for each phase of
// the cell: multiply the slab by the operand; when all warps are done, compute the cell for this block's rows and
// units; publish what the next product needs; tell the other blocks; store what was computed and fetch W x (backward,
// what was saved) for the next step; wait for the others.
#pragma once

#include "cuda/kernels/resident/tile.h"

namespace fastrnn::cuda {

template <class Cell, class Format, Tier tier>
class Forward {
  static constexpr cells::Description kCell = Cell::describe(cells::Options{});
  static constexpr int kPhases = kCell.phases;
  using Unit = ForwardUnit<Cell>;
  using PhaseSlab = Slab<Format, Format::kShape.register_slices / kPhases>;

 public:
  FASTRNN_DEVICE static void run(const ForwardParams& params) { Forward(params).sequence(); }

 private:
  const ForwardParams& params_;
  const Layout& layout_;
  Tile<Format, tier> tile_;
  PhaseSlab slab0_, slab1_;  // not an array: it would not stay in registers

  FASTRNN_DEVICE Forward(const ForwardParams& params) : params_(params), layout_(params.layout), tile_(params) {}

  FASTRNN_DEVICE void sequence() {
    load_slab<0>();
    if constexpr (kPhases > 1) load_slab<1>();
    tile_.clear_operand();
    tile_.load_rows();
    load_units();
    sync_block();
    tile_.find_elements();
    begin_rows();
    tile_.each_element([&](const Element& e) {
      if (e.length > 0) fetch(e, 0);
    });
    tile_.exchange.begin();
    if (tile_.exchange.idle()) return;
    for (int s = 0; s < tile_.longest; ++s) {
      if (!phase<0>(s)) return;
      if constexpr (kPhases > 1)
        if (!phase<1>(s)) return;
    }
  }

  template <int Phase>
  FASTRNN_DEVICE PhaseSlab& slab() {
    if constexpr (Phase == 0) return slab0_;
    return slab1_;
  }

  template <int Phase>
  FASTRNN_DEVICE void load_slab() {
    constexpr int kGates = kCell.phase[Phase].gates;  // those of a unit follow each other
    slab<Phase>().load(layout_, layout_.cut[Phase], tile_.shared + layout_.weights[Phase], [&](int row, int k) {
      const int gate = row % kGates, u = row / kGates;
      if (u >= tile_.units || k >= params_.hidden) return 0.0f;
      const int block = kCell.phase[Phase].first_gate + gate;
      return params_.w_hh[(Index(block) * params_.hidden + tile_.first_unit + u) * params_.hidden + k];
    });
  }

  /// Biases and peepholes of this block's units.
  FASTRNN_DEVICE void load_units() const {
    constexpr int kStart = kCell.start_from_b_hh;
    const int hidden = params_.hidden;
    for (int u = thread_index(); u < tile_.units; u += block_threads()) {
      const int unit = tile_.first_unit + u;
      float* bias = tile_.parameters(u);
      for (int g = 0; g < kCell.gates; ++g) {
        const float recurrent = tile_.value_or_zero(params_.b_hh, g * hidden + unit);
        bias[g] = tile_.value_or_zero(params_.b_ih, g * hidden + unit) + (g == kStart ? 0.0f : recurrent);
        if (g == kStart) bias[kCell.gates] = recurrent;
      }
      for (int j = 0; j < 3; ++j) bias[Unit::kPeepholes + j] = tile_.value_or_zero(params_.w_peep, j * hidden + unit);
    }
  }

  /// h0 and c0 become the state of this block's units; all of h0 becomes the operand of the first product, which every
  /// block reads for itself.
  FASTRNN_DEVICE void begin_rows() {
    tile_.each_element([&](const Element& e) {
      if (e.length < 0) return;
      const Index at = Index(e.b) * params_.hidden + e.unit;
      const float h = tile_.value_or_zero(params_.h0, at);
      float* record = tile_.record(e);
      record[Unit::kH] = h;
      if (e.length == 0) params_.h_n[at] = h;
      if constexpr (kCell.c_states > 0) {
        const float c = tile_.value_or_zero(params_.c0, at);
        record[Unit::kC] = c;
        if (e.length == 0) params_.c_n[at] = c;
      }
      for (int t = e.length; t < params_.steps; ++t) params_.y.at(t, e.b)[e.unit] = 0;
    });
    if (params_.h0 == nullptr) return;
    auto* operand = tile_.exchange.operand();
    for (int i = thread_index(); i < tile_.rows * params_.hidden; i += block_threads()) {
      const int row = i / params_.hidden, k = i % params_.hidden;
      operand[row * layout_.operand_stride + k] =
          round_to<typename Format::Element>(params_.h0[Index(tile_.batch_row(row)) * params_.hidden + k]);
    }
  }

  FASTRNN_DEVICE void fetch(const Element& e, int s) const {
    const float* wx = params_.input + tile_.saved(e, s, kCell.gates);
    float* record = tile_.record(e);
    for (int g = 0; g < kCell.gates; ++g) copy_async<4>(record + g, wx + Index(g) * params_.hidden);
  }

  template <int Phase>
  FASTRNN_DEVICE void multiply() {
    slab<Phase>().multiply(layout_, layout_.cut[Phase], tile_.shared + layout_.weights[Phase], tile_.exchange.operand(),
                           tile_.floats(layout_.partial));
  }

  /// False if the launch is lost.
  template <int Phase>
  FASTRNN_DEVICE bool phase(int s) {
    constexpr bool kLast = Phase + 1 == kPhases;
    multiply<Phase>();
    sync_block();
    if (Phase == 0) wait_copies();
    tile_.each_element([&](const Element& e) {
      if (s < e.length) compute<Phase>(e, s);
    });
    tile_.exchange.template arrive<1>(tile_.row_places(), tile_.rows, kLast ? s + 1 : s);
    if (kLast) finish(s);
    return tile_.exchange.wait();
  }

  template <int Phase>
  FASTRNN_DEVICE void compute(const Element& e, int s) {
    constexpr int kNext = (Phase + 1) % kPhases;
    constexpr cells::Operand kOperand = kCell.phase[kNext].source[0].operand;
    float sums[kCell.phase[Phase].gates];
    tile_.sums(e, Phase, sums);
    Unit u;
    u.first_gate = kCell.phase[Phase].first_gate;
    u.sums = sums;
    u.record = tile_.record(e);
    u.parameters = tile_.parameters(e);
    u.keeps = kPhases > 1 || params_.gates != nullptr;
    Cell::template forward<Phase>(params_.options, u);
    // At the last step of a row nobody needs its state.
    if (Phase + 1 < kPhases || s + 1 < e.length) {
      const bool kept = kOperand == cells::Operand::kept;
      tile_.publish(e, 0, u.record[kept ? Unit::kKept + cells::kOperandColumn : Unit::kH]);
    }
  }

  /// Stores what a step has computed, and fetches what the next one needs: each thread for its own elements.
  FASTRNN_DEVICE void finish(int s) const {
    tile_.each_element([&](const Element& e) {
      if (s >= e.length) return;
      const float* record = tile_.record(e);
      params_.y.at(tile_.time(e, s), e.b)[e.unit] = record[Unit::kH];
      if (params_.gates != nullptr) {
        float* gates = params_.gates + tile_.saved(e, s, kCell.columns);
        for (int j = 0; j < kCell.columns; ++j) gates[Index(j) * params_.hidden] = record[Unit::kKept + j];
        if constexpr (kCell.c_states > 0) params_.c[tile_.saved(e, s, 1)] = record[Unit::kC];
      }
      if (s + 1 < e.length) return fetch(e, s + 1);
      const Index at = Index(e.b) * params_.hidden + e.unit;
      params_.h_n[at] = record[Unit::kH];
      if constexpr (kCell.c_states > 0) params_.c_n[at] = record[Unit::kC];
    });
  }
};

template <class Cell, class Format, Tier tier>
class Backward {
  static constexpr cells::Description kCell = Cell::describe(cells::Options{});
  static constexpr int kPhases = kCell.back_phases;
  using Unit = BackwardUnit<Cell>;
  using PhaseSlab = Slab<Format, Format::kShape.register_slices / kPhases>;

 public:
  FASTRNN_DEVICE static void run(const BackwardParams& params) { Backward(params).sequence(); }

 private:
  const BackwardParams& params_;
  const Layout& layout_;
  Tile<Format, tier> tile_;
  PhaseSlab slab0_, slab1_;  // not an array: it would not stay in registers

  FASTRNN_DEVICE Backward(const BackwardParams& params) : params_(params), layout_(params.layout), tile_(params) {}

  FASTRNN_DEVICE void sequence() {
    load_slab<0>();
    if constexpr (kPhases > 1) load_slab<1>();
    tile_.clear_operand();
    tile_.load_rows();
    load_units();
    sync_block();
    tile_.find_elements();
    begin_rows();
    tile_.each_element([&](const Element& e) {
      if (e.length > 0 && e.length == tile_.longest) fetch(e, e.length - 1);
    });
    tile_.exchange.begin();
    if (tile_.exchange.idle()) return;
    for (int s = tile_.longest - 1; s >= 0; --s) {
      if (!phase<0>(s)) return;
      if constexpr (kPhases > 1)
        if (!phase<1>(s)) return;
    }
    end_rows();
  }

  template <int Phase>
  FASTRNN_DEVICE PhaseSlab& slab() {
    if constexpr (Phase == 0) return slab0_;
    return slab1_;
  }

  /// Rows of the slab are hidden units of h; the operand has a source of H gate gradients for each block of w_hh.
  template <int Phase>
  FASTRNN_DEVICE void load_slab() {
    slab<Phase>().load(layout_, layout_.cut[Phase], tile_.shared + layout_.weights[Phase], [&](int u, int k) {
      const int source = k / layout_.padded, j = k % layout_.padded;
      if (u >= tile_.units || source >= kCell.back[Phase].sources || j >= params_.hidden) return 0.0f;
      const int block = block_of<Phase>(source);
      return params_.w_hh[(Index(block) * params_.hidden + j) * params_.hidden + tile_.first_unit + u];
    });
  }
  template <int Phase, int I = 0>
  FASTRNN_DEVICE static int block_of(int source) {
    constexpr int kBlock = kCell.back[Phase].source[I].block;
    if constexpr (I + 1 < kCell.back[Phase].sources)
      if (source > I) return block_of<Phase, I + 1>(source);
    return kBlock;
  }

  FASTRNN_DEVICE void load_units() const {
    for (int u = thread_index(); u < tile_.units; u += block_threads())
      for (int j = 0; j < 3; ++j)
        tile_.parameters(u)[j] = tile_.value_or_zero(params_.w_peep, j * params_.hidden + tile_.first_unit + u);
  }

  FASTRNN_DEVICE void begin_rows() const {
    tile_.each_element([&](const Element& e) {
      if (e.length < 0) return;
      const Index at = Index(e.b) * params_.hidden + e.unit;
      float* record = tile_.record(e);
      record[Unit::kCarryH] = tile_.value_or_zero(params_.dh_n, at);
      if constexpr (kCell.c_states > 0) record[Unit::kCarryC] = tile_.value_or_zero(params_.dc_n, at);
      for (int t = e.length; t < params_.steps; ++t)
        for (int j = 0; j < kCell.dcolumns; ++j)
          params_.dgates[((Index(t) * params_.batch + e.b) * kCell.dcolumns + j) * params_.hidden + e.unit] = 0;
    });
  }

  FASTRNN_DEVICE void fetch(const Element& e, int s) const {
    const Index first = Index(e.b) * params_.hidden + e.unit;
    const float* column = params_.gates + tile_.saved(e, s, kCell.columns);
    int j = 0;
    for (; j < kCell.columns; ++j) tile_.fetch(e, j, column + Index(j) * params_.hidden);
    if constexpr (kCell.c_states > 0) {
      tile_.fetch(e, j++, params_.c + tile_.saved(e, s, 1));
      tile_.fetch(e, j++,
                  s > 0                   ? params_.c + tile_.saved(e, s - 1, 1)
                  : params_.c0 != nullptr ? params_.c0 + first
                                          : nullptr);
    }
    tile_.fetch(e, j++,
                s > 0                   ? params_.y.at(tile_.time(e, s - 1), e.b) + e.unit
                : params_.h0 != nullptr ? params_.h0 + first
                                        : nullptr);
    tile_.fetch(e, j, params_.dy.data != nullptr ? params_.dy.at(tile_.time(e, s), e.b) + e.unit : nullptr);
  }

  template <int Phase>
  FASTRNN_DEVICE void multiply() {
    slab<Phase>().multiply(layout_, layout_.cut[Phase], tile_.shared + layout_.weights[Phase], tile_.exchange.operand(),
                           tile_.floats(layout_.partial));
  }

  template <int Phase>
  FASTRNN_DEVICE bool phase(int s) {
    constexpr bool kNextStep = kCell.back[Phase].source[0].next;
    if (!kNextStep || s + 1 < tile_.longest) multiply<Phase>();
    sync_block();
    if (Phase == 0) wait_copies();
    tile_.each_element([&](const Element& e) {
      if (s >= e.length) return;
      const bool has_sum = !kNextStep || s + 1 < e.length;
      compute<Phase>(e, has_sum ? sum<Phase>(e) : 0.0f);
    });
    constexpr int kSources = kCell.back[(Phase + 1) % kPhases].sources;
    tile_.exchange.template arrive<kSources>(tile_.row_places(), tile_.rows, s);
    if (Phase + 1 == kPhases) finish(s);
    return tile_.exchange.wait();
  }

  template <int Phase>
  FASTRNN_DEVICE float sum(const Element& e) const {
    float sums[1];
    tile_.sums(e, Phase, sums);
    return sums[0];
  }

  template <int Phase>
  FASTRNN_DEVICE void compute(const Element& e, float sum) {
    Unit u;
    u.sum = Value(sum);
    u.record = tile_.record(e);
    u.peep = tile_.parameters(e);
    Cell::template backward<Phase>(params_.options, u);
    publish<(Phase + 1) % kPhases>(e, u);
  }

  /// Stores the gate gradients of a step, and fetches what the one before it needs: each thread for its own elements.
  FASTRNN_DEVICE void finish(int s) const {
    tile_.each_element([&](const Element& e) {
      if (s < e.length) {
        const float* record = tile_.record(e);
        float* dgates = params_.dgates + tile_.saved(e, s, kCell.dcolumns);
        for (int j = 0; j < kCell.dcolumns; ++j) dgates[Index(j) * params_.hidden] = record[Unit::kGates + j];
      }
      if (s > 0 && s <= e.length) fetch(e, s - 1);
    });
  }

  /// Publishes the operand of a phase: the gate gradients of its sources, side by side.
  template <int Phase, int I = 0>
  FASTRNN_DEVICE void publish(const Element& e, const Unit& u) {
    constexpr int kColumn = kCell.back[Phase].source[I].column;
    tile_.publish(e, I, u.dgate(kColumn).v);
    if constexpr (I + 1 < kCell.back[Phase].sources) publish<Phase, I + 1>(e, u);
  }

  /// What the matrices give for the first step, and the carries, are the gradients of h0 and c0.
  FASTRNN_DEVICE void end_rows() {
    if (tile_.longest > 0) multiply<0>();
    sync_block();
    tile_.each_element([&](const Element& e) {
      if (e.length < 0) return;
      const Index at = Index(e.b) * params_.hidden + e.unit;
      const float* record = tile_.record(e);
      params_.dh0[at] = record[Unit::kCarryH] + (e.length > 0 ? sum<0>(e) : 0.0f);
      if constexpr (kCell.c_states > 0) params_.dc0[at] = record[Unit::kCarryC];
    });
  }
};

template <class Cell, class Format, Tier tier>
FASTRNN_KERNEL(kThreads)
forward_recurrence(FASTRNN_CONSTANT ForwardParams params) {
  Forward<Cell, Format, tier>::run(params);
}
template <class Cell, class Format, Tier tier>
FASTRNN_KERNEL(kThreads)
backward_recurrence(FASTRNN_CONSTANT BackwardParams params) {
  Backward<Cell, Format, tier>::run(params);
}

}  // namespace fastrnn::cuda
