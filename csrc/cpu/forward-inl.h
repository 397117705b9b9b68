// The forward pass of any cell over a sequence.
//
// W x of a chunk of time steps is one matrix product; then, step by step, each panel's accumulators start from it, take
// in R h, and the cell finishes its units while they are in L1. y itself is the h that the next step reads.
#pragma once

#include "math-inl.h"
#include "tile-inl.h"

namespace fastrnn::FASTRNN_ISA {

/// What a cell sees of one row and one vector of units in the forward pass (csrc/cells/cell.h).
template <class T, bool Training>
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
    if constexpr (Training) keep(column, v);
  }
  FASTRNN_INLINE void set_h(V v) { v.store(y_, lanes_); }
  FASTRNN_INLINE void set_c(V v) { v.store(c_); }
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

/// gates += W x for the rows listed in input_rows, in blocks of rows that stay in L2 while the panels pass.
template <class T, int PV>
static void project_inputs(const ForwardCall<T>& call, const cells::Phase& phase, const Panels<T>& panels, Index n) {
  using V = Vec<T>;
  constexpr int U = V::kLanes;
  const Layer<T>& layer = call.layer;
  const Index padded = layer.padded;
  const Index row_bytes = (layer.inputs + 1) * Index(sizeof(T));
  Index block = (192 * 1024) / row_bytes;
  if (block < max_rows<PV>()) block = max_rows<PV>();
  for (Index first = 0; first < n; first += block) {
    const Index rows = n - first < block ? n - first : block;
    const Factor<T> factor = {call.input_rows + first, layer.inputs};
    T* const* out = call.output_rows + first;
    const auto each = [&](Index p, auto&& copy) {
      for (int b = 0; b < panels.blocks; ++b) {
        const Index unit = (p * panels.blocks + b) * U;
        if (unit >= padded) break;
        for (int g = 0; g < panels.gates; ++g) copy((b * panels.gates + g) * U, (phase.first_gate + g) * padded + unit);
      }
    };
    sweep<T, PV>(
        panels, 0, &factor, 1, rows,
        [&](T* acc, Index, Index p) {
          each(p, [&](int i, Index column) { V::load(call.bias + column).store(acc + i); });
        },
        [&](const T* acc, Index row, Index p) {
          each(p, [&](int i, Index column) { V::load(acc + i).store(out[row] + column); });
        });
  }
}

template <class T, class Cell, int Phase, bool Training>
static void step_phase(const ForwardCall<T>& call, Index n) {
  using V = Vec<T>;
  constexpr int U = V::kLanes;
  constexpr cells::Description fixed = Cell::describe(cells::Options{});
  constexpr int G = fixed.phase[Phase].gates;
  constexpr int first_gate = fixed.phase[Phase].first_gate;
  constexpr int blocks = blocks_in_panel(G);
  constexpr int late = fixed.start_from_b_hh;
  const Layer<T>& layer = call.layer;
  const cells::Phase& phase = layer.cell.phase[Phase];
  const Index padded = layer.padded;
  Factor<T> factors[2];
  for (int s = 0; s < phase.sources; ++s) factors[s] = {operand_rows(call, phase.source[s].operand), layer.hidden};
  sweep<T, G * blocks>(
      call.panels[Phase], layer.inputs, factors, phase.sources, n,
      [&](T* acc, Index row, Index p) {
        for (int b = 0; b < blocks; ++b) {
          const Index unit = (p * blocks + b) * U;
          if (unit >= padded) break;
          const T* gates = call.gates[row] + unit;
#pragma GCC unroll 4
          for (int g = 0; g < G; ++g) {
            const T* from = first_gate + g == late ? call.recurrent_bias + unit : gates + (first_gate + g) * padded;
            V::load(from).store(acc + (b * G + g) * U);
          }
        }
      },
      [&](const T* acc, Index row, Index p) {
        for (int b = 0; b < blocks; ++b) {
          const Index unit = (p * blocks + b) * U;
          if (unit >= padded) break;
          const Index left = layer.hidden - unit;
          ForwardUnit<T, Training> u;
          u.acc_ = acc + b * G * U;
          u.gates_ = call.gates[row] + unit;
          u.padded_ = padded;
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
      });
}

/// The row of `gates` and of `c` that belongs to step s of batch row b.
template <class T>
FASTRNN_INLINE static Index gates_row(const ForwardCall<T>& call, Index first, Index s, Index b) {
  return (call.training ? call.layer.time(b, s) : s - first) * call.layer.batch + b;
}
template <class T>
FASTRNN_INLINE static Index c_row(const ForwardCall<T>& call, Index s, Index b) {
  return (call.training ? call.layer.time(b, s) : s & 1) * call.layer.batch + b;
}

template <class T, class Cell, bool Training>
static void forward_steps(const ForwardCall<T>& call) {
  constexpr cells::Description fixed = Cell::describe(cells::Options{});
  const Layer<T>& layer = call.layer;
  const Index padded = layer.padded, gates_width = layer.gates_width;
  const Index longest = layer.longest();
  Index active = layer.batch;
  for (Index first = 0; first < longest; first += call.chunk) {
    const Index last = first + call.chunk < longest ? first + call.chunk : longest;
    Index n = 0, still = active;
    for (Index s = first; s < last; ++s) {
      while (layer.length[layer.order[still - 1]] <= s) --still;
      for (Index i = 0; i < still; ++i, ++n) {
        const Index b = layer.order[i];
        call.input_rows[n] = layer.x.at(layer.time(b, s), b);
        call.output_rows[n] = layer.gates + gates_row(call, first, s, b) * gates_width;
      }
    }
    project_inputs<T, fixed.phase[0].gates * blocks_in_panel(fixed.phase[0].gates)>(call, layer.cell.phase[0],
                                                                                    call.panels[0], n);
    if constexpr (Cell::kPhases > 1)
      project_inputs<T, fixed.phase[1].gates * blocks_in_panel(fixed.phase[1].gates)>(call, layer.cell.phase[1],
                                                                                      call.panels[1], n);
    for (Index s = first; s < last; ++s) {
      while (layer.length[layer.order[active - 1]] <= s) --active;
      for (Index i = 0; i < active; ++i) {
        const Index b = layer.order[i];
        call.h_prev[i] = s > 0 ? layer.y.at(layer.time(b, s - 1), b) : layer.h0 + b * padded;
        call.y[i] = layer.y.at(layer.time(b, s), b);
        call.gates[i] = layer.gates + gates_row(call, first, s, b) * gates_width;
        if constexpr (fixed.columns > cells::kOperandColumn)
          call.kept[i] = call.gates[i] + cells::kOperandColumn * padded;
        if constexpr (fixed.has_c) {
          call.c_prev[i] = s > 0 ? layer.c + c_row(call, s - 1, b) * padded : layer.c0 + b * padded;
          call.c[i] = layer.c + c_row(call, s, b) * padded;
        }
      }
      step_phase<T, Cell, 0, Training>(call, active);
      if constexpr (Cell::kPhases > 1) step_phase<T, Cell, 1, Training>(call, active);
    }
  }
}

template <class T>
static void copy(const T* from, T* to, Index n) {
  for (Index i = 0; i < n; ++i) to[i] = from[i];
}

template <class T>
static void fill_zero(T* to, Index n) {
  for (Index i = 0; i < n; ++i) to[i] = T(0);
}

template <class T>
static void forward(const ForwardCall<T>& call) {
  const Layer<T>& layer = call.layer;
  switch (layer.kind) {
#define FASTRNN_CASE(name, type)                  \
  case cells::Kind::name:                         \
    if (call.training)                            \
      forward_steps<T, cells::type, true>(call);  \
    else                                          \
      forward_steps<T, cells::type, false>(call); \
    break;
    FASTRNN_CELL_LIST(FASTRNN_CASE)
#undef FASTRNN_CASE
  }
  for (Index b = 0; b < layer.batch; ++b) {
    const Index length = layer.length[b], end = length - 1;
    copy(length > 0 ? layer.y.at(layer.time(b, end), b) : layer.h0 + b * layer.padded, call.h_n + b * layer.hidden,
         layer.hidden);
    if (layer.cell.has_c)
      copy(length > 0 ? layer.c + c_row(call, end, b) * layer.padded : layer.c0 + b * layer.padded,
           call.c_n + b * layer.hidden, layer.hidden);
    for (Index t = length; t < layer.steps; ++t) fill_zero(layer.y.at(t, b), layer.hidden);
  }
}

}  // namespace fastrnn::FASTRNN_ISA
