// One time step of any cell, and W x of many at once. The loop over time is core's (core/forward.cc).
//
// W x of a chunk of time steps is one matrix product; then, step by step, each panel's accumulators start from it, take
// in R h, and the cell finishes its units while they are in L1. y itself is the h that the next step reads.
#pragma once

#include "math-inl.h"
#include "tile-inl.h"

namespace fastrnn::FASTRNN_ISA {

/// What a cell sees of one row and one vector of units in the forward pass (csrc/cells/cell.h).
template <class T, Mode mode>
struct ForwardUnit {
  using V = Vec<T>;
  const T* acc_;  // (gates, lanes)
  T* gates_;      // column 0 of these units
  Index padded_;
  const T* param_;
  const T* h_prev_;
  const T* c_prev_;
  T* c_;
  T* y_;
  int lanes_;

  FASTRNN_INLINE V acc(int gate) const { return V::load(acc_ + gate * V::kLanes); }
  FASTRNN_INLINE V input(int gate) const { return V::load(gates_ + gate * padded_); }
  FASTRNN_INLINE V param(int row) const { return V::load(param_ + row * padded_); }
  FASTRNN_INLINE V h_prev() const { return V::load(h_prev_, lanes_); }
  FASTRNN_INLINE V c_prev() const { return V::load(c_prev_); }
  FASTRNN_INLINE V c() const { return V::load(c_); }
  FASTRNN_INLINE V kept(int column) const { return V::load(gates_ + column * padded_); }
  FASTRNN_INLINE void keep(int column, V v) { v.store(gates_ + column * padded_); }
  FASTRNN_INLINE void save(int column, V v) {
    if constexpr (mode == Mode::training) keep(column, v);
  }
  FASTRNN_INLINE void set_h(V v) { v.store(y_, lanes_); }
  FASTRNN_INLINE void set_c(V v) { v.store(c_); }
  FASTRNN_INLINE static V sigmoid(V v) {
    if constexpr (mode == Mode::fast)
      return fast_sigmoid(v);
    else
      return FASTRNN_ISA::sigmoid(v);
  }
  FASTRNN_INLINE static V tanh(V v) {
    if constexpr (mode == Mode::fast)
      return fast_tanh(v);
    else
      return FASTRNN_ISA::tanh(v);
  }
};

template <class T>
FASTRNN_INLINE static const T* const* operand_rows(const ForwardCall<T>& call, cells::Operand operand) {
  switch (operand) {
    case cells::Operand::h_prev: return call.h_prev;
    case cells::Operand::c_prev: return call.c_prev;
    case cells::Operand::c: return call.c;
    default: return call.kept;
  }
}

/// The n rows of operand number `part` of a phase (0: x, then its sources) as the format multiplies them; `slot` is the
/// place where converted rows are kept.
template <class F>
FASTRNN_INLINE static Factor<F> factor_of(const ForwardCall<typename F::Value>& call,
                                          const Panels<typename F::Value>& panels, int part, int slot,
                                          const typename F::Value* const* rows, Index width, Index n) {
  using T = typename F::Value;
  const Index k = packed_rows<F>(width);
  if constexpr (!F::kConverts) {
    (void)call, (void)panels, (void)part, (void)slot, (void)n;
    return {rows, k, nullptr, nullptr};
  } else {
    const OperandSpace<T>& space = call.operands;
    char* memory = space.memory + slot * call.layer.rows * space.row_bytes;
    for (Index i = 0; i < n; ++i, memory += space.row_bytes) {
      F::convert(rows[i], width, memory, space.scales[slot] + i);
      space.rows[slot][i] = memory;
    }
    const T* unit_scales = nullptr;
    if (panels.scales != nullptr)
      unit_scales = panels.scales + part * panels.count * panels.blocks * panels.gates * Vec<T>::kLanes;
    return {reinterpret_cast<const typename F::Row* const*>(space.rows[slot]), k,
            panels.scales != nullptr ? space.scales[slot] : nullptr, unit_scales};
  }
}

template <class F, int PV>
static void project_panels(const ForwardCall<typename F::Value>& call, const cells::Phase& phase,
                           const Panels<typename F::Value>& panels, Index first, Index n, Range range) {
  using T = typename F::Value;
  using V = Vec<T>;
  constexpr int U = V::kLanes;
  const Index padded = call.layer.padded;
  const auto each = [&](Index p, auto&& copy) {
    for (int b = 0; b < panels.blocks; ++b) {
      const Index unit = (p * panels.blocks + b) * U;
      if (unit >= padded) break;
      for (int g = 0; g < panels.gates; ++g) copy((b * panels.gates + g) * U, (phase.first_gate + g) * padded + unit);
    }
  };
  for (const Index end = first + n; first < end; first += call.operands.block) {
    const Index rows = end - first < call.operands.block ? end - first : call.operands.block;
    const Factor<F> factor = factor_of<F>(call, panels, 0, 0, call.input_rows + first, call.layer.inputs, rows);
    T* const* out = call.output_rows + first;
    sweep<F, PV>(
        panels, range, 0, &factor, 1, rows,
        [&](T* acc, Index, Index p) {
          each(p, [&](int i, Index column) { V::load(call.bias + column).store(acc + i); });
        },
        [&](const T* acc, Index row, Index p) {
          each(p, [&](int i, Index column) { V::load(acc + i).store(out[row] + column); });
        });
  }
}

/// gates = W x + b for the rows listed in input_rows, in blocks of rows that stay in L2 while the panels pass.
template <class F>
static void project(const ForwardCall<typename F::Value>& call, int phase_index, Index first, Index n, Range range) {
  const cells::Phase& phase = call.layer.cell.phase[phase_index];
  const Panels<typename F::Value>& panels = call.panels[phase_index];
  if (phase.gates == 3)
    project_panels<F, 3>(call, phase, panels, first, n, range);
  else
    project_panels<F, 4>(call, phase, panels, first, n, range);
}

/// The accumulators of a phase start from W x + b, or from b_hh where the cell says so.
template <class T, class Cell, int Phase>
static void init_rows(const ForwardCall<T>& call, T* acc, Index first, Index n, Index p) {
  using V = Vec<T>;
  constexpr int U = V::kLanes;
  constexpr cells::Description fixed = Cell::describe(cells::Options{});
  constexpr int G = fixed.phase[Phase].gates, first_gate = fixed.phase[Phase].first_gate;
  constexpr int blocks = blocks_in_panel(G);
  const Index padded = call.layer.padded;
  for (Index r = 0; r < n; ++r, acc += blocks * G * U)
    for (int b = 0; b < blocks; ++b) {
      const Index unit = (p * blocks + b) * U;
      if (unit >= padded) break;
      const T* gates = call.gates[first + r] + unit;
#pragma GCC unroll 4
      for (int g = 0; g < G; ++g) {
        const bool late = first_gate + g == fixed.start_from_b_hh;
        V::load(late ? call.recurrent_bias + unit : gates + (first_gate + g) * padded).store(acc + (b * G + g) * U);
      }
    }
}

template <class T, class Cell, int Phase, Mode mode>
static void finish_rows(const ForwardCall<T>& call, const T* acc, Index first, Index n, Index p) {
  constexpr int U = Vec<T>::kLanes;
  constexpr cells::Description fixed = Cell::describe(cells::Options{});
  constexpr int G = fixed.phase[Phase].gates;
  constexpr int blocks = blocks_in_panel(G);
  const Layer<T>& layer = call.layer;
  for (Index row = first; row < first + n; ++row, acc += blocks * G * U)
    for (int b = 0; b < blocks; ++b) {
      const Index unit = (p * blocks + b) * U;
      if (unit >= layer.padded) break;
      const Index left = layer.hidden - unit;
      ForwardUnit<T, mode> u;
      u.acc_ = acc + b * G * U;
      u.gates_ = call.gates[row] + unit;
      u.padded_ = layer.padded;
      u.param_ = layer.params + unit;
      u.h_prev_ = call.h_prev[row] + unit;
      u.y_ = call.y[row] + unit;
      u.lanes_ = int(left < U ? left : U);
      if constexpr (fixed.has_c) {
        u.c_prev_ = call.c_prev[row] + unit;
        u.c_ = const_cast<T*>(call.c[row]) + unit;
      }
      Cell::template forward<Phase>(layer.options, u);
    }
}

/// The two functions of a cell, as the sweep calls them.
template <class T>
struct CellEnds {
  const ForwardCall<T>& call;
  const CellKernels<T>& cell;
  FASTRNN_INLINE void init(T* acc, Index first, Index n, Index p) const { cell.init(call, acc, first, n, p); }
  FASTRNN_INLINE void finish(const T* acc, Index first, Index n, Index p) const { cell.finish(call, acc, first, n, p); }
};

template <class F>
static void step(const ForwardCall<typename F::Value>& call, int phase_index,
                 const CellKernels<typename F::Value>& cell, Index n, Range range) {
  using T = typename F::Value;
  const cells::Phase& phase = call.layer.cell.phase[phase_index];
  const Panels<T>& panels = call.panels[phase_index];
  const Index first_k = packed_rows<F>(call.layer.inputs);
  const CellEnds<T> ends = {call, cell};
  Factor<F> factors[2];
  for (int s = 0; s < phase.sources; ++s)
    factors[s] =
        factor_of<F>(call, panels, 1 + s, s, operand_rows(call, phase.source[s].operand), call.layer.hidden, n);
  if (phase.gates == 3)
    sweep<F, 3>(panels, range, first_k, factors, phase.sources, n, ends);
  else
    sweep<F, 4>(panels, range, first_k, factors, phase.sources, n, ends);
}

template <class F>
constexpr ForwardKernels<typename F::Value> forward_kernels() {
  return {F::kTerms, F::kFlip ? 0x80 : 0, project<F>, step<F>};
}

template <class T, class Cell, int Phase, Mode mode>
constexpr CellKernels<T> cell_kernels() {
  constexpr bool exact = mode == Mode::fast && sizeof(T) == 8;  // float64 has no fast activations
  if constexpr (Phase >= Cell::kPhases)
    return {nullptr, nullptr};
  else
    return {init_rows<T, Cell, Phase>, finish_rows < T, Cell, Phase, exact ? Mode::inference : mode > };
}

template <class T>
static void copy(const T* from, T* to, Index n) {
  for (Index i = 0; i < n; ++i) to[i] = from[i];
}

template <class T>
static void fill_zero(T* to, Index n) {
  for (Index i = 0; i < n; ++i) to[i] = T(0);
}

}  // namespace fastrnn::FASTRNN_ISA
