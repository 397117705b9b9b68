// The backward pass of any cell over a sequence.
//
// Only dgates * R is sequential. Its tiles are those of the forward pass with R transposed: the accumulator of a unit
// takes in the gate gradients of the step that follows, and the cell turns the sum into its own gate gradients.
// Everything else (dW, dR, db, dx: outer-inl.h) waits until all gate gradients are known.
#pragma once

#include "outer-inl.h"

namespace fastrnn::FASTRNN_ISA {

/// What a cell sees of one row and one vector of units in the backward pass (csrc/cells/cell.h).
template <class T>
struct BackwardUnit {
  using V = Vec<T>;
  const T* acc_;
  const T* gates_;
  T* dgates_;
  Index padded_;
  const T* param_;
  const T* h_prev_;
  const T* c_prev_;
  const T* c_;
  const T* dy_;
  T* carry_h_;
  T* carry_c_;
  int lanes_;

  FASTRNN_INLINE V acc() const { return V::load(acc_); }
  FASTRNN_INLINE V saved(int column) const { return V::load(gates_ + column * padded_); }
  FASTRNN_INLINE V param(int row) const { return V::load(param_ + row * padded_); }
  FASTRNN_INLINE V h_prev() const { return V::load(h_prev_, lanes_); }
  FASTRNN_INLINE V c_prev() const { return V::load(c_prev_); }
  FASTRNN_INLINE V c() const { return V::load(c_); }
  FASTRNN_INLINE V dy() const { return dy_ ? V::load(dy_, lanes_) : V(T(0)); }
  FASTRNN_INLINE void set_dgate(int column, V v) { v.store(dgates_ + column * padded_); }
  FASTRNN_INLINE V carry_h() const { return V::load(carry_h_); }
  FASTRNN_INLINE void set_carry_h(V v) { v.store(carry_h_); }
  FASTRNN_INLINE V carry_c() const { return V::load(carry_c_); }
  FASTRNN_INLINE void set_carry_c(V v) { v.store(carry_c_); }
  FASTRNN_INLINE static V tanh(V v) { return FASTRNN_ISA::tanh(v); }
};

template <class T>
using BackFinish = void (*)(const BackwardCall<T>&, const T* acc, Index row, Index unit);

/// Sweeps one backward phase over `n` rows; `finish` gets each unit vector. `s` is the step whose gradients are being
/// computed: sources marked `next` read step s + 1, the others step s itself.
template <class T>
static void back_sweep(const BackwardCall<T>& call, int phase_index, Index s, Index n, BackFinish<T> finish) {
  constexpr int U = Vec<T>::kLanes;
  const Layer<T>& layer = call.layer;
  const cells::BackPhase& phase = layer.cell.back[phase_index];
  const Panels<T>& panels = call.panels[phase_index];
  const Index width = layer.dgates_width;
  for (int f = 0; f < phase.sources; ++f) {
    const cells::BackSource& source = phase.source[f];
    const Index at = source.next ? s + 1 : s;
    for (Index i = 0; i < n; ++i) {
      const Index b = layer.order[i];
      const bool exists = at >= 0 && at < layer.length[b];
      const T* row = exists ? call.dgates + (layer.time(b, at) * layer.batch + b) * width : call.zeros;
      call.factor[f][i] = row + source.column * layer.padded;
    }
  }
  const auto init = [](T* acc, Index, Index) { fill_zero(acc, 4 * U); };
  const auto consume = [&](const T* acc, Index row, Index p) {
    for (int b = 0; b < 4; ++b) {
      const Index unit = (p * 4 + b) * U;
      if (unit >= layer.padded) break;
      finish(call, acc + b * U, row, unit);
    }
  };
  // A factor that no row has yet (the sequence's last step) is skipped with the rows of the matrix that it would meet.
  const bool last = n > 0 && s + 1 >= layer.longest();
  Factor<Full<T>> factors[4];
  int count = 0;
  Index first_k = 0;
  for (int f = 0; f < phase.sources; ++f) {
    if (last && phase.source[f].next) {
      if (count == 0) first_k += layer.hidden;
      continue;
    }
    factors[count++] = {call.factor[f], layer.hidden, nullptr, nullptr};
  }
  sweep<Full<T>, 4>(panels, {0, panels.count}, first_k, factors, count, n, init, consume);
}

template <class T, class Cell, int Phase>
static void finish_backward(const BackwardCall<T>& call, const T* acc, Index row, Index unit) {
  constexpr int U = Vec<T>::kLanes;
  constexpr cells::Description fixed = Cell::describe(cells::Options{});
  const Layer<T>& layer = call.layer;
  const Index left = layer.hidden - unit;
  BackwardUnit<T> u;
  u.acc_ = acc;
  u.gates_ = call.gates[row] + unit;
  u.dgates_ = call.dgate_rows[row] + unit;
  u.padded_ = layer.padded;
  u.param_ = layer.params + unit;
  u.h_prev_ = call.h_prev[row] + unit;
  u.dy_ = call.dy_rows[row] ? call.dy_rows[row] + unit : nullptr;
  u.carry_h_ = call.carry_h_rows[row] + unit;
  u.lanes_ = int(left < U ? left : U);
  if constexpr (fixed.has_c) {
    u.c_prev_ = call.c_prev[row] + unit;
    u.c_ = call.c[row] + unit;
    u.carry_c_ = call.carry_c_rows[row] + unit;
  }
  Cell::template backward<Phase>(layer.options, u);
}

template <class T, cells::Target target>
static void add_to_carry(const BackwardCall<T>& call, const T* acc, Index row, Index unit) {
  T* carry = target == cells::Target::h ? call.carry_h : call.carry_c;
  T* sum = carry + call.layer.order[row] * call.layer.padded + unit;
  (Vec<T>::load(acc) + Vec<T>::load(sum)).store(sum);
}

/// Before the first step: what the matrices and the carries leave is the gradient of h0 and c0.
template <class T>
static void initial_state_gradients(const BackwardCall<T>& call) {
  const Layer<T>& layer = call.layer;
  const cells::Description& cell = layer.cell;
  for (int phase = 0; phase < cell.back_phases; ++phase) {
    const cells::Target target = cell.back[phase].target;
    if (target == cells::Target::kept) continue;
    // Sources of the step itself have none at step -1: they read zeros.
    back_sweep(call, phase, -1, layer.rows,
               target == cells::Target::h ? add_to_carry<T, cells::Target::h> : add_to_carry<T, cells::Target::c>);
  }
  for (Index i = 0; i < layer.rows; ++i) {
    const Index b = layer.order[i];
    copy(call.carry_h + b * layer.padded, call.dh0 + b * layer.hidden, layer.hidden);
    if (cell.has_c) copy(call.carry_c + b * layer.padded, call.dc0 + b * layer.hidden, layer.hidden);
  }
}

template <class T, class Cell>
static void backward_steps(const BackwardCall<T>& call) {
  constexpr cells::Description fixed = Cell::describe(cells::Options{});
  const Layer<T>& layer = call.layer;
  const Index padded = layer.padded;
  Index active = 0;
  for (Index s = layer.longest() - 1; s >= 0; --s) {
    while (active < layer.rows && layer.length[layer.order[active]] > s) ++active;
    for (Index i = 0; i < active; ++i) {
      const Index b = layer.order[i], t = layer.time(b, s), row = t * layer.batch + b;
      call.h_prev[i] = s > 0 ? layer.y.at(layer.time(b, s - 1), b) : layer.h0 + b * padded;
      call.gates[i] = layer.gates + row * layer.gates_width;
      call.dgate_rows[i] = call.dgates + row * layer.dgates_width;
      call.dy_rows[i] = call.dy.data ? call.dy.at(t, b) : nullptr;
      call.carry_h_rows[i] = call.carry_h + b * padded;
      if constexpr (fixed.has_c) {
        call.c[i] = layer.c + row * padded;
        call.c_prev[i] = s > 0 ? layer.c + (layer.time(b, s - 1) * layer.batch + b) * padded : layer.c0 + b * padded;
        call.carry_c_rows[i] = call.carry_c + b * padded;
      }
    }
    back_sweep(call, 0, s, active, finish_backward<T, Cell, 0>);
    if constexpr (Cell::kBackPhases > 1) back_sweep(call, 1, s, active, finish_backward<T, Cell, 1>);
  }
}

template <class T>
static void backward(const BackwardCall<T>& call) {
  switch (call.layer.kind) {
#define FASTRNN_CASE(name, type) \
  case cells::Kind::name: backward_steps<T, cells::type>(call); break;
    FASTRNN_CELL_LIST(FASTRNN_CASE)
#undef FASTRNN_CASE
  }
  initial_state_gradients(call);
}

}  // namespace fastrnn::FASTRNN_ISA
