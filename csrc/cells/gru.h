// Gated recurrent unit (Cho et al. 2014, "Learning phrase representations using RNN encoder-decoder").
//
//   r = sigmoid(W_r x + R_r h + b_r)      z = sigmoid(W_z x + R_z h + b_z)
//
//   reset="after"   n = tanh(W_n x + b_in + r * (R_n h + b_hn))    h' = (1-z) * n + z * h    (cuDNN, PyTorch, Keras)
//   reset="before"  n = tanh(W_n x + b_in + R_n (r * h) + b_hn)    h' = (1-z) * n + z * h    (Cho et al., ONNX default)
//   reset="output"  n = tanh(W_n x + b_in + R_n h + b_hn)          h' = (1-z) * h + r * n    (here 1-z keeps h)
//
// With layer normalisation (Ba, Kiros & Hinton 2016, eq. 24-27) every product is LN(product) * gain: those of r and z
// side by side, that of n alone, on either side.
#pragma once

#include "cell.h"

namespace fastrnn::cells {

namespace gru {

enum Gate { R, Z, N };
constexpr int kRecurrentN = 3;  // "after": R_n h + b_hn, and its gradient

constexpr Description common() {
  Description d = begin_description(3);
  d.has_candidate = true;
  d.group[0] = {R, 2};
  d.group[1] = {N, 1};
  d.phases = 1;
  d.phase[0] = {0, 3, 1, {{Operand::h_prev, Matrix::w_hh, {R, Z, N}}}};
  d.back_phases = 1;
  d.back[0] = {Target::h, 3, {{R, true, Matrix::w_hh, R}, {Z, true, Matrix::w_hh, Z}, {N, true, Matrix::w_hh, N}}};
  return d;
}

/// Layer normalisation of a GRU with one phase: r and z together, n alone.
constexpr Description normalised(Description d, const Options& options) {
  if (!options.layer_norm) return d;
  d.phase[0].norm = d.back[0].norm = kFirstGates | kLastGates;
  return with_norm(d, false);
}

/// h' = (1-z) * n + z * h
template <class V>
FASTRNN_CELL V mix(V z, V n, V h) {
  return fmadd(z, h - n, n);
}

}  // namespace gru

struct GruAfter {
  static constexpr int kPhases = 1;
  static constexpr int kBackPhases = 1;
  static constexpr bool kHasPlain = true;
  static constexpr Names kNames = {"rzn", ""};
  static constexpr CellType kType = CellType::gru;
  static constexpr bool fits(const Options& o) { return o.reset == Reset::after; }

  static constexpr Description describe(const Options& options) {
    using namespace gru;
    Description d = common();
    d.columns = 4;
    d.dcolumns = 4;
    d.start_from_b_hh = N;
    d.back[0].source[N].column = d.recurrent_column[N] = kRecurrentN;
    return normalised(d, options);
  }

  template <int Phase, class Unit>
  FASTRNN_CELL static void forward(const Options&, Unit& u) {
    using namespace gru;
    using V = typename Unit::V;
    const V r = u.gate(u.acc(R)), z = u.gate(u.acc(Z)), recurrent_n = u.acc(N);
    const V n = u.candidate(fmadd(r, recurrent_n, u.input(N)));
    u.save(R, r);
    u.save(Z, z);
    u.save(N, n);
    u.save(kRecurrentN, recurrent_n);
    u.set_h(mix(z, u.drop(n), u.h_prev()));
  }

  template <int Phase, class Unit>
  FASTRNN_CELL static void backward(const Options&, Unit& u) {
    using namespace gru;
    using V = typename Unit::V;
    const V r = u.saved(R), z = u.saved(Z), n = u.saved(N);
    const V dh = u.dh();
    const V dan = u.drop(dh * (V(1) - z)) * u.candidate_slope(n);
    u.set_dgate(R, dan * u.saved(kRecurrentN) * u.gate_slope(r));
    u.set_dgate(Z, dh * (u.h_prev() - u.drop(n)) * u.gate_slope(z));
    u.set_dgate(N, dan);
    u.set_dgate(kRecurrentN, dan * r);
    u.set_carry_h(dh * z);
  }
};

struct GruBefore {
  static constexpr int kPhases = 2;
  static constexpr int kBackPhases = 2;
  static constexpr bool kHasPlain = true;
  static constexpr Names kNames = {"rzn", ""};
  static constexpr CellType kType = CellType::gru;
  static constexpr bool fits(const Options& o) { return o.reset == Reset::before; }

  static constexpr Description describe(const Options& options) {
    using namespace gru;
    Description d = common();
    d.columns = 4;  // r, z, n, r * h
    d.phases = 2;
    d.phase[0] = {R, 2, 1, {{Operand::h_prev, Matrix::w_hh, {R, Z}}}};
    d.phase[1] = {N, 1, 1, {{Operand::kept, Matrix::w_hh, {N}}}};
    d.back_phases = 2;
    d.back[0] = {Target::h, 2, {{R, true, Matrix::w_hh, R}, {Z, true, Matrix::w_hh, Z}}};
    d.back[1] = {Target::kept, 1, {{N, false, Matrix::w_hh, N}}};
    if (options.layer_norm) {
      d.phase[0].norm = d.back[1].norm = kFirstGates;
      d.phase[1].norm = d.back[0].norm = kLastGates;
      d = with_norm(d, false);
    }
    return d;
  }

  template <int Phase, class Unit>
  FASTRNN_CELL static void forward(const Options&, Unit& u) {
    using namespace gru;
    using V = typename Unit::V;
    if constexpr (Phase == 0) {
      const V r = u.gate(u.acc(R));
      u.save(R, r);
      u.keep(Z, u.gate(u.acc(Z)));
      u.keep(kOperandColumn, r * u.h_operand());
    } else {
      const V n = u.candidate(u.acc(0));
      u.save(N, n);
      u.set_h(mix(u.kept(Z), u.drop(n), u.h_prev()));
    }
  }

  template <int Phase, class Unit>
  FASTRNN_CELL static void backward(const Options&, Unit& u) {
    using namespace gru;
    using V = typename Unit::V;
    if constexpr (Phase == 0) {
      const V z = u.saved(Z), n = u.saved(N);
      const V dh = u.dh();
      u.set_dgate(Z, dh * (u.h_prev() - u.drop(n)) * u.gate_slope(z));
      u.set_dgate(N, u.drop(dh * (V(1) - z)) * u.candidate_slope(n));
      u.set_carry_h(dh * z);
    } else {
      const V r = u.saved(R), d_rh = u.acc();
      u.set_dgate(R, d_rh * u.h_operand() * u.gate_slope(r));
      u.add_carry_h(u.mask_operand(d_rh * r));
    }
  }
};

struct GruOutput {
  static constexpr int kPhases = 1;
  static constexpr int kBackPhases = 1;
  static constexpr bool kHasPlain = true;
  static constexpr Names kNames = {"rzn", ""};
  static constexpr CellType kType = CellType::gru;
  static constexpr bool fits(const Options& o) { return o.reset == Reset::output; }

  static constexpr Description describe(const Options& options) { return gru::normalised(gru::common(), options); }

  template <int Phase, class Unit>
  FASTRNN_CELL static void forward(const Options&, Unit& u) {
    using namespace gru;
    using V = typename Unit::V;
    const V r = u.gate(u.acc(R)), z = u.gate(u.acc(Z)), n = u.candidate(u.acc(N)), h = u.h_prev();
    u.save(R, r);
    u.save(Z, z);
    u.save(N, n);
    u.set_h(fmadd(r, u.drop(n), fnmadd(z, h, h)));
  }

  template <int Phase, class Unit>
  FASTRNN_CELL static void backward(const Options&, Unit& u) {
    using namespace gru;
    using V = typename Unit::V;
    const V r = u.saved(R), z = u.saved(Z), n = u.saved(N), h = u.h_prev();
    const V dh = u.dh();
    u.set_dgate(R, dh * u.drop(n) * u.gate_slope(r));
    u.set_dgate(Z, fnmadd(dh, h, V(0)) * u.gate_slope(z));
    u.set_dgate(N, u.drop(dh * r) * u.candidate_slope(n));
    u.set_carry_h(dh * (V(1) - z));
  }
};

}  // namespace fastrnn::cells
