// The kernels of Tier::graph before the first step and after the last one. A thread has a row and a unit.
#pragma once

#include "cuda/kernels/graph/step_kernels.h"

namespace fastrnn::cuda {

FASTRNN_KERNEL(kStepThreads)
begin_forward(FASTRNN_CONSTANT ForwardStep step) {
  StepPlace place;
  if (!find_place(step.layer, place)) return;
  const StepUnit u(step.layer, place);
  const ForwardParams& layer = step.layer;
  const bool fresh = layer.begins(place.b, 0);
  if (place.unit < layer.width()) {
    const StepUnit::V h = fresh ? StepUnit::V(0) : u.from(layer.h0, u.in_h());
    layer.h_n[u.in_h()] = h.v;
    if (step.h_operand != nullptr) step.h_operand[u.in_h()] = u.mask_operand(h).v;
    for (int t = layer.length_of(place.b); t < layer.steps; ++t) layer.y.at(t, place.b)[place.unit] = 0;
  }
  for (int j = 0; j < step.at.c_states; ++j)
    layer.c_n[u.in_states(j)] = fresh ? 0.0f : u.from(layer.c0, u.in_states(j)).v;
}

FASTRNN_KERNEL(kStepThreads)
end_forward(FASTRNN_CONSTANT ForwardEnd end) {
  StepPlace place;
  const ForwardParams& layer = end.layer;
  if (!find_place(layer, place) || place.unit >= layer.width()) return;
  int done = 0;
  float last = 0;
  for (int i = 0; i < layer.steps; ++i) {
    const int t = layer.reverse ? layer.steps - 1 - i : i;
    float& y = layer.y.at(t, place.b)[place.unit];
    if (done == layer.length_of(place.b) || layer.time(place.b, done) != t) {
      y = last;
      continue;
    }
    ++done;
    if (!end.zeros) last = y;
  }
}

FASTRNN_KERNEL(kStepThreads)
begin_backward(FASTRNN_CONSTANT BackwardStep step) {
  StepPlace place;
  if (!find_place(step.layer, place)) return;
  const StepUnit u(step.layer, place);
  const BackwardParams& layer = step.layer;
  if (place.unit < layer.width()) layer.dh0[u.in_h()] = u.from(layer.dh_n, u.in_h()).v;
  for (int j = 0; j < step.at.c_states; ++j) layer.dc0[u.in_states(j)] = u.from(layer.dc_n, u.in_states(j)).v;
  for (int t = layer.times != nullptr ? 0 : layer.length_of(place.b); t < layer.steps; ++t)
    for (int j = 0; j < step.at.dcolumns; ++j) layer.dgates[u.saved_at(t, step.at.dcolumns, j)] = 0;
}

FASTRNN_KERNEL(kStepThreads)
end_backward(FASTRNN_CONSTANT BackwardEnd end) {
  StepPlace place;
  if (!find_place(end.layer, place)) return;
  const StepUnit u(end.layer, place);
  if (place.unit < end.layer.width()) end.layer.dh0[u.in_h()] += u.mask_operand(u.from(end.h_sums, u.in_states())).v;
  if (end.c_sums != nullptr) end.layer.dc0[u.in_states()] += end.c_sums[u.in_states()];
}

}  // namespace fastrnn::cuda
