// The Unit of a step kernel: what a cell sees of one row and one hidden unit (csrc/cells/cell.h says what each name
// means). At every step one thread has a pair of row and unit for itself, and so may change its state in place.
#pragma once

#include "cuda/kernels/graph/activations.h"
#include "cuda/kernels/primitives.h"
#include "cuda/shared/steps.h"

namespace fastrnn::cuda {

/// A row and a unit at a step.
struct StepPlace {
  int b, unit, step, time;
};

/// What forward and backward share: places in arrays, parameters, and activations, masks and clips by the options.
struct StepUnit {
  using V = Value;
  static constexpr bool kPlain = false;
  const LayerParams& layer;
  const StepPlace place;

  FASTRNN_DEVICE StepUnit(const LayerParams& layer, const StepPlace& place) : layer(layer), place(place) {}

  FASTRNN_DEVICE const cells::Options& options() const { return layer.options; }
  FASTRNN_DEVICE static V from(const float* array, Index at) { return V(array != nullptr ? array[at] : 0.0f); }
  /// The offset of this place in (S,B,H).
  FASTRNN_DEVICE Index in_states(int state = 0) const {
    return (Index(state) * layer.batch + place.b) * layer.hidden + place.unit;
  }
  /// The offset in (B,P).
  FASTRNN_DEVICE Index in_h() const { return Index(place.b) * layer.width() + place.unit; }
  /// The offset in (T,B,columns,H).
  FASTRNN_DEVICE Index saved_at(int time, int columns, int column) const {
    return ((Index(time) * layer.batch + place.b) * columns + column) * layer.hidden + place.unit;
  }
  /// The offset in (B,columns,H).
  FASTRNN_DEVICE Index in_columns(int columns, int column) const {
    return (Index(place.b) * columns + column) * layer.hidden + place.unit;
  }

  FASTRNN_DEVICE V param(int j) const { return V(layer.w_peep[Index(j) * layer.hidden + place.unit]); }
  FASTRNN_DEVICE static V sigmoid(V v) { return cuda::sigmoid(v); }
  FASTRNN_DEVICE static V tanh(V v) { return V(tanhf(v.v)); }
  FASTRNN_DEVICE static V exp(V v) { return V(expf(clamp(v, kLargestExponent).v)); }
  FASTRNN_DEVICE static V softplus(V v) { return cuda::softplus(v); }
  FASTRNN_DEVICE V gate(V v) const { return activation(options().gate, v); }
  FASTRNN_DEVICE V candidate(V v) const { return activation(options().candidate, v); }
  FASTRNN_DEVICE V output(V v) const { return activation(options().output, v); }
  /// The element of a mask; `otherwise` where there is no mask.
  FASTRNN_DEVICE V mask(const RandomMask& mask, double otherwise) const {
    return V(mask.threshold > 0 ? mask.at(place.unit, place.b, place.time) : float(otherwise));
  }
  /// Applies the dropout of h before w_hh; the gradient takes the same factor.
  FASTRNN_DEVICE V mask_operand(V v) const {
    const RandomMask& mask = layer.extension.recurrent;
    return mask.threshold > 0 ? v * V(mask.at(place.unit, place.b, 0)) : v;
  }
  FASTRNN_DEVICE V drop(V v) const {
    return layer.extension.candidate.threshold > 0 ? v * mask(layer.extension.candidate, 1) : v;
  }
  FASTRNN_DEVICE V clip_c(V v) const { return options().cell_clip > 0 ? clamp(v, options().cell_clip) : v; }
  FASTRNN_DEVICE V clip_h(V v) const { return options().projection_clip > 0 ? clamp(v, options().projection_clip) : v; }
  /// The share of a new state that zoneout lets through.
  FASTRNN_DEVICE V share_h() const { return mask(layer.extension.zoneout_h, 1 - options().zoneout_h); }
  FASTRNN_DEVICE V share_c() const { return mask(layer.extension.zoneout_c, 1 - options().zoneout_c); }
};

template <class Cell>
struct ForwardStepUnit : StepUnit {
  static constexpr cells::Description kCell = Cell::describe(cells::Options{});
  const ForwardStep& step;
  int first_gate, gates;  // the gates of the phase
  bool has_input;

  FASTRNN_DEVICE ForwardStepUnit(const ForwardStep& step, const StepPlace& place)
      : StepUnit(step.layer, place), step(step) {}

  /// W x + b, without b_hh for the gate that starts from it.
  FASTRNN_DEVICE V input(int gate) const {
    constexpr int kStart = kCell.start_from_b_hh;
    const Index row = Index(gate) * layer.hidden + place.unit;
    V bias = from(layer.b_ih, row);
    if (gate != kStart) bias = bias + from(layer.b_hh, row) + V(layer.extension.gate_bias[gate]);
    return step.input_in_sums ? bias : V(step.layer.input[saved_at(place.time, kCell.gates, gate)]) + bias;
  }
  FASTRNN_DEVICE V acc(int g) const {
    constexpr int kStart = kCell.start_from_b_hh;
    const int gate = first_gate + g;
    V start = V(0);
    if (step.from >= 0)
      start = kept(step.from);
    else if (has_input)
      start = gate == kStart ? from(layer.b_hh, Index(gate) * layer.hidden + place.unit) : input(gate);
    return start + from(step.at.sums, in_columns(gates, g));
  }
  FASTRNN_DEVICE V h_prev() const { return V(step.layer.h_n[in_h()]); }
  FASTRNN_DEVICE V h_operand() const { return mask_operand(h_prev()); }
  FASTRNN_DEVICE V c_prev(int state = 0) const { return V(step.layer.c_n[in_states(state)]); }
  FASTRNN_DEVICE V c(int state = 0) const { return V(step.c[in_states(state)]); }
  FASTRNN_DEVICE V kept(int column) const { return V(step.kept[in_columns(step.at.columns, column)]); }
  FASTRNN_DEVICE void save(int column, V v) {
    if (layer.gates != nullptr) layer.gates[saved_at(place.time, step.at.columns, column)] = v.v;
  }
  FASTRNN_DEVICE void keep(int column, V v) {
    step.kept[in_columns(step.at.columns, column)] = v.v;
    save(column, v);
  }
  FASTRNN_DEVICE void set_h(V v) {
    if (options().zoneout_h > 0) v = fmadd(share_h(), v - h_prev(), h_prev());
    step.layer.h_n[in_h()] = v.v;
    if (step.h_operand != nullptr) step.h_operand[in_h()] = mask_operand(v).v;
    layer.y.at(place.time, place.b)[place.unit] = v.v;
  }
  FASTRNN_DEVICE void set_c(V v, int state = 0) {
    if (options().zoneout_c > 0) v = fmadd(share_c(), v - c_prev(state), c_prev(state));
    step.c[in_states(state)] = v.v;
    if (layer.c != nullptr) layer.c[saved_at(place.time, kCell.c_states, state)] = v.v;
  }
};

template <class Cell>
struct BackwardStepUnit : StepUnit {
  static constexpr cells::Description kCell = Cell::describe(cells::Options{});
  const BackwardStep& step;
  V rest_h = V(0), rest_c = V(0);  // the part of the gradient that zoneout passes by the cell

  FASTRNN_DEVICE BackwardStepUnit(const BackwardStep& step, const StepPlace& place)
      : StepUnit(step.layer, place), step(step) {}

  FASTRNN_DEVICE V acc() const { return from(step.at.sums, in_states()); }
  FASTRNN_DEVICE V saved(int column) const { return V(layer.gates[saved_at(place.time, step.at.columns, column)]); }
  /// A saved column as the cell saw it: normalised, where cell states are.
  FASTRNN_DEVICE V normalised(int column) const {
    if (!options().cell_norm) return saved(column);
    const float* gain = layer.extension.ln_c + place.unit;
    return fmadd(saved(step.hat_of_c), V(gain[0]), V(gain[layer.hidden]));
  }
  FASTRNN_DEVICE V c(int state = 0) const { return V(layer.c[saved_at(place.time, kCell.c_states, state)]); }
  FASTRNN_DEVICE V c_prev(int state = 0) const {
    if (layer.begins(place.b, place.step)) return V(0);
    if (place.step == 0) return from(layer.c0, in_states(state));
    return V(layer.c[saved_at(layer.time(place.b, place.step - 1), kCell.c_states, state)]);
  }
  FASTRNN_DEVICE V h_prev() const {
    if (layer.begins(place.b, place.step)) return V(0);
    if (place.step == 0) return from(layer.h0, in_h());
    return V(layer.y.at(layer.time(place.b, place.step - 1), place.b)[place.unit]);
  }
  FASTRNN_DEVICE V h_operand() const { return mask_operand(h_prev()); }
  FASTRNN_DEVICE V dh() {
    const auto& dy = step.layer.dy;
    const V from_y = V(dy.data != nullptr ? dy.at(place.time, place.b)[place.unit] : 0.0f);
    const V sum = mask_operand(acc()) + from_y + V(step.layer.dh0[in_h()]);
    if (options().zoneout_h <= 0) return sum;
    const V share = share_h();
    rest_h = fnmadd(share, sum, sum);
    return share * sum;
  }
  FASTRNN_DEVICE V dc() {
    const V sum = carry_c();
    if (options().zoneout_c <= 0) return sum;
    const V share = share_c();
    rest_c = fnmadd(share, sum, sum);
    return share * sum;
  }
  FASTRNN_DEVICE V carry_c(int state = 0) const { return V(step.layer.dc0[in_states(state)]); }
  FASTRNN_DEVICE void set_carry_h(V v) { step.layer.dh0[in_h()] = (v + rest_h).v; }
  FASTRNN_DEVICE void add_carry_h(V v) { step.layer.dh0[in_h()] += v.v; }
  FASTRNN_DEVICE void set_carry_c(V v, int state = 0) { step.layer.dc0[in_states(state)] = (v + rest_c).v; }
  FASTRNN_DEVICE V dgate(int column) const { return V(step.dgates[in_columns(step.at.dcolumns, column)]); }
  FASTRNN_DEVICE void set_dgate(int column, V v) {
    step.dgates[in_columns(step.at.dcolumns, column)] = v.v;
    step.layer.dgates[saved_at(place.time, step.at.dcolumns, column)] = v.v;
  }
  FASTRNN_DEVICE V gate_slope(V y) const { return slope(options().gate, y); }
  FASTRNN_DEVICE V candidate_slope(V y) const { return slope(options().candidate, y); }
  FASTRNN_DEVICE V output_slope(V y) const { return slope(options().output, y); }
  FASTRNN_DEVICE static V within(double bound, V v, V d) { return where_positive(V(float(bound)) - magnitude(v), d); }
  FASTRNN_DEVICE V clip_c_slope(V c, V d) const {
    return options().cell_clip > 0 ? within(options().cell_clip, c, d) : d;
  }
  FASTRNN_DEVICE V clip_h_slope(V h, V d) const {
    return options().projection_clip > 0 ? within(options().projection_clip, h, d) : d;
  }
};

}  // namespace fastrnn::cuda
