// The cell kernels of Tier::graph: one launch is one phase of one step, for any cell and options, with the products
// done before it. A thread has a row and a unit. Launches are the same at every step, so that a recorded graph of a few
// steps can be replayed: the number of the step is read from device memory.
#pragma once

#include "cuda/kernels/graph/step_units.h"

namespace fastrnn::cuda {

/// Returns the number of the step; the first thread of the grid writes the next one. All threads call it.
FASTRNN_DEVICE int read_clock(const Clock& clock) {
  const int now = *clock.now;
  if (block_index() == 0 && thread_index() == 0) *clock.next = clock.ticks ? now + 1 : now;
  return now;
}

/// This thread's row and unit; false if it has none.
FASTRNN_DEVICE bool find_place(const LayerParams& layer, StepPlace& place) {
  const int i = block_index() * block_threads() + thread_index();
  place.b = i / layer.hidden;
  place.unit = i % layer.hidden;
  return place.b < layer.batch;
}
/// The same at a step; false, too, if the row has no such step.
FASTRNN_DEVICE bool find_place(const LayerParams& layer, int step, StepPlace& place) {
  place.step = step;
  if (!find_place(layer, place) || step < 0 || step >= layer.length_of(place.b)) return false;
  place.time = layer.time(place.b, step);
  return true;
}

template <class Cell, int Phase>
FASTRNN_DEVICE void forward_phase(const ForwardStep& step, ForwardStepUnit<Cell>& u) {
  constexpr cells::Phase phase = ForwardStepUnit<Cell>::kCell.phase[Phase];
  if (phase.over_state && u.place.unit >= step.layer.width()) return;
  u.first_gate = phase.first_gate;
  u.gates = phase.gates;
  u.has_input = phase.input;
  Cell::template forward<Phase>(step.layer.options, u);
}

template <class Cell>
FASTRNN_KERNEL(kStepThreads)
forward_step(FASTRNN_CONSTANT ForwardStep step) {
  constexpr int c_states = ForwardStepUnit<Cell>::kCell.c_states;
  StepPlace place;
  if (!find_place(step.layer, read_clock(step.at.clock), place)) return;
  ForwardStepUnit<Cell> u(step, place);
  if (step.at.phase == 0) forward_phase<Cell, 0>(step, u);
  if constexpr (Cell::kPhases > 1)
    if (step.at.phase == 1) forward_phase<Cell, 1>(step, u);
  if constexpr (Cell::kPhases > 2)
    if (step.at.phase == 2) forward_phase<Cell, 2>(step, u);
  if (!step.at.clock.ticks) return;
  const bool over = step.layer.begins(place.b, place.step + 1);
  for (int j = 0; j < c_states; ++j) step.layer.c_n[u.in_states(j)] = over ? 0.0f : step.c[u.in_states(j)];
  if (!over || place.unit >= step.layer.width()) return;
  step.layer.h_n[u.in_h()] = 0;
  if (step.h_operand != nullptr) step.h_operand[u.in_h()] = 0;
}

template <class Cell, int Phase>
FASTRNN_DEVICE void backward_phase(const BackwardStep& step, BackwardStepUnit<Cell>& u) {
  constexpr bool over_state = BackwardStepUnit<Cell>::kCell.back[Phase].over_state;
  if (over_state && u.place.unit >= step.layer.width()) return;
  Cell::template backward<Phase>(step.layer.options, u);
}

template <class Cell>
FASTRNN_KERNEL(kStepThreads)
backward_step(FASTRNN_CONSTANT BackwardStep step) {
  StepPlace place;
  const int s = step.layer.steps - 1 - read_clock(step.at.clock);
  if (!find_place(step.layer, s, place)) return;
  BackwardStepUnit<Cell> u(step, place);
  if (step.at.phase == 0) backward_phase<Cell, 0>(step, u);
  if constexpr (Cell::kBackPhases > 1)
    if (step.at.phase == 1) backward_phase<Cell, 1>(step, u);
  if constexpr (Cell::kBackPhases > 2)
    if (step.at.phase == 2) backward_phase<Cell, 2>(step, u);
  if (!step.at.clock.ticks || !step.layer.cuts(place.b, s)) return;
  for (int j = 0; j < step.at.dcolumns; ++j) step.dgates[u.in_columns(step.at.dcolumns, j)] = 0;
  for (int j = 0; j < step.at.c_states; ++j) step.layer.dc0[u.in_states(j)] = 0;
  if (place.unit < step.layer.width()) step.layer.dh0[u.in_h()] = 0;
}

}  // namespace fastrnn::cuda
