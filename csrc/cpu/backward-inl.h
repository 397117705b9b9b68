// The backward pass of any cell over a sequence.
//
// Only one product has to wait for the step after it: R^T times that step's gate gradients, which is the gradient of h.
// It runs on the tiles of the forward pass, over R transposed; the cell then turns the sum of a unit, with dy and the
// carries, into the unit's own gate gradients. All gate gradients are saved. dW, dR, db and dx follow from them after
// the loop, as products over all steps at once (outer-inl.h). Prefetching saved gates gained nothing, tried three ways.
#pragma once

#include "outer-inl.h"

namespace fastrnn::FASTRNN_ISA {

template <class T>
FASTRNN_INLINE static T* dgates_row(const BackwardCall<T>& call, Index b, Index s) {
  return call.dgates + ((s - call.first) * call.layer.batch + b) * call.layer.dgates_width;
}

/// Whether gradients flow from step s + 1 to step s.
template <class T>
FASTRNN_INLINE static bool has_next(const BackwardCall<T>& call, Index b, Index s) {
  return s + 1 < call.layer.length[b] && (s + 1 < call.last || call.carries_on) && !call.layer.cuts(b, s + 1);
}

template <class T>
using BackFinish = void (*)(const BackwardCall<T>&, const T* acc, Index row, Index unit);

/// Multiplies one backward phase's matrices for the first n rows, and hands the sums of each vector of units to
/// `finish`. `s` is the step whose gradients are being computed: sources marked `next` read step s + 1, the others step
/// s itself.
template <class T>
static void back_sweep(const BackwardCall<T>& call, int phase_index, Index s, Index n, BackFinish<T> finish) {
  constexpr int U = Vec<T>::kLanes;
  const Layer<T>& layer = call.layer;
  const cells::BackPhase& phase = layer.cell.back[phase_index];
  const Panels<T>& panels = call.panels[phase_index];
  const Units<T> units(layer, phase.over_state);
  for (int f = 0; f < phase.sources; ++f) {
    const cells::BackSource& source = phase.source[f];
    for (Index i = 0; i < n; ++i) {
      const Index b = layer.order[i];
      const bool exists = source.next ? has_next(call, b, s) : s >= call.first;
      const T* row = exists ? dgates_row(call, b, source.next ? s + 1 : s) : call.zeros;
      call.factor[f][i] = row + source.column * layer.padded;
    }
  }
  const auto init = [](T* acc, Index, Index) { fill_zero(acc, 4 * U); };
  const auto consume = [finish, caller = &call, padded = units.padded](const T* acc, Index row, Index p) {
    for (int b = 0; b < 4; ++b) {
      const Index unit = (p * 4 + b) * U;
      if (unit >= padded) break;
      finish(*caller, acc + b * U, row, unit);
    }
  };
  // At the last step no row has a next one: those sources are zero, and are skipped with their part of the matrix.
  const bool last = n > 0 && s + 1 >= layer.longest();
  Factor<Full<T>> factors[4];
  int count = 0;
  Index first_k = 0;
  for (int f = 0; f < phase.sources; ++f) {
    const Index width = phase.source[f].matrix == cells::Matrix::w_hr ? layer.state : layer.hidden;
    if (last && phase.source[f].next) {
      if (count == 0) first_k += width;
      continue;
    }
    factors[count++] = {call.factor[f], width, nullptr, nullptr};
  }
  sweep<Full<T>, 4>(call.watch, panels, {0, panels.count, (s & 1) != 0}, first_k, factors, count, n, init, consume);
  if (s >= call.first && phase.norm != cells::kNoNorm)
    for (Index i = 0; i < n; ++i)
      norm_step_backward(layer, phase.norm, const_cast<T*>(call.gates[i]), call.dgate_rows[i]);
}

template <class T, class Cell, int Phase, bool Plain>
static void finish_backward(const BackwardCall<T>& call, const T* acc, Index row, Index unit) {
  constexpr int U = Vec<T>::kLanes;
  constexpr cells::Description fixed = Cell::describe(cells::Options{});
  const Layer<T>& layer = call.layer;
  const Index left = Units<T>(layer, fixed.back[Phase].over_state).count - unit;
  BackwardUnit<T, Plain> u;
  u.layer_ = &layer;
  u.unit_ = unit;
  u.acc_ = acc;
  u.gates_ = const_cast<T*>(call.gates[row]) + unit;
  u.dgates_ = call.dgate_rows[row] + unit;
  u.padded_ = layer.padded;
  u.param_ = layer.params + unit;
  u.h_prev_ = call.h_prev[row] + unit;
  u.h_operand_ = call.h_operand[row] + unit;
  u.h_mask_ = layer.h_mask != nullptr ? layer.h_mask + layer.order[row] * layer.padded + unit : nullptr;
  u.dy_ = call.dy_rows[row] ? call.dy_rows[row] + unit : nullptr;
  u.carry_h_ = call.carry_h_rows[row] + unit;
  u.lanes_ = int(left < U ? left : U);
  if constexpr (fixed.c_states > 0) {
    u.c_prev_ = call.c_prev[row] + unit;
    u.c_ = const_cast<T*>(call.c[row]) + unit;
    u.carry_c_ = call.carry_c_rows[row] + unit;
  }
  Cell::template backward<Phase>(layer.options, u);
}

template <class T, cells::Target target>
static void add_to_carry(const BackwardCall<T>& call, const T* acc, Index row, Index unit) {
  using V = Vec<T>;
  const Layer<T>& layer = call.layer;
  const Index b = layer.order[row];
  constexpr bool of_h = target == cells::Target::h;
  T* sum = of_h ? call.carry_h + b * layer.padded + unit : call.carry_c + b * layer.c_width + unit;
  V v = V::load(acc);
  if (of_h && layer.h_mask != nullptr) v = v * V::load(layer.h_mask + b * layer.padded + unit);
  (v + V::load(sum)).store(sum);
}

/// Clears the carries where no gradient flows from step s + 1 to step s.
template <class T>
static void cut_carry(const BackwardCall<T>& call, Index b, Index s) {
  const Layer<T>& layer = call.layer;
  if (s + 1 >= layer.length[b] || !layer.cuts(b, s + 1)) return;
  fill_zero(call.carry_h + b * layer.padded, layer.padded);
  fill_zero(call.carry_c + b * layer.c_width, layer.c_width);
}

/// After the last iteration: what the matrices give for the first step, and the carries, are the gradients of h0 and
/// c0.
template <class T>
static void initial_state_gradients(const BackwardCall<T>& call) {
  const Layer<T>& layer = call.layer;
  const cells::Description& cell = layer.cell;
  for (Index i = 0; i < layer.rows; ++i) cut_carry(call, layer.order[i], -1);
  for (int phase = 0; phase < cell.back_phases; ++phase) {
    const cells::Target target = cell.back[phase].target;
    if (target == cells::Target::kept) continue;
    // There is no step -1, so sources of the step itself read zeros.
    back_sweep(call, phase, -1, layer.rows,
               target == cells::Target::h ? add_to_carry<T, cells::Target::h> : add_to_carry<T, cells::Target::c>);
  }
  for (Index i = 0; i < layer.rows; ++i) {
    const Index b = layer.order[i];
    copy(call.carry_h + b * layer.padded, call.dh0 + b * layer.state, layer.state);
    for (Index j = 0; j < cell.c_states; ++j)
      copy(call.carry_c + b * layer.c_width + j * layer.padded, call.dc0 + layer.in_cell_states(j, b), layer.hidden);
  }
}

template <class T, class Cell, bool Plain>
static void backward_steps(const BackwardCall<T>& call) {
  constexpr cells::Description fixed = Cell::describe(cells::Options{});
  const Layer<T>& layer = call.layer;
  const Index padded = layer.padded;
  Index active = 0;
  const Index longest = layer.longest();
  for (Index s = (call.last < longest ? call.last : longest) - 1; s >= call.first && !stopped(call.watch); --s) {
    while (active < layer.rows && layer.length[layer.order[active]] > s) ++active;
    for (Index i = 0; i < active; ++i) {
      const Index b = layer.order[i];
      cut_carry(call, b, s);
      call.h_prev[i] = layer.h_before(b, s);
      call.h_operand[i] = layer.h_mask ? layer.h_operand + layer.saved_row(b, s) * padded : call.h_prev[i];
      call.gates[i] = layer.saved_gates(b, s);
      call.dgate_rows[i] = dgates_row(call, b, s);
      call.dy_rows[i] = call.dy.data ? call.dy.at(layer.time(b, s), b) : nullptr;
      call.carry_h_rows[i] = call.carry_h + b * padded;
      if constexpr (fixed.c_states > 0) {
        call.c[i] = layer.c + layer.saved_row(b, s) * layer.c_width;
        call.c_prev[i] = layer.c_before(b, s);
        call.carry_c_rows[i] = call.carry_c + b * layer.c_width;
      }
    }
    back_sweep(call, 0, s, active, finish_backward<T, Cell, 0, Plain>);
    if constexpr (Cell::kBackPhases > 1) back_sweep(call, 1, s, active, finish_backward<T, Cell, 1, Plain>);
    if constexpr (Cell::kBackPhases > 2) back_sweep(call, 2, s, active, finish_backward<T, Cell, 2, Plain>);
  }
}

template <class T, class Cell>
static void backward_cell(const BackwardCall<T>& call) {
  if constexpr (Cell::kHasPlain)
    if (!call.layer.general) return backward_steps<T, Cell, true>(call);
  backward_steps<T, Cell, false>(call);
}

template <class T>
static void backward(const BackwardCall<T>& call) {
  switch (call.layer.kind) {
#define FASTRNN_CASE(name, type) \
  case cells::Kind::name: backward_cell<T, cells::type>(call); break;
    FASTRNN_CELL_LIST(FASTRNN_CASE)
#undef FASTRNN_CASE
  }
}

}  // namespace fastrnn::FASTRNN_ISA
