// Gated recurrent unit (Cho et al. 2014, "Learning phrase representations using RNN encoder-decoder").
//
//   r = sigmoid(W_r x + R_r h + b_r)      z = sigmoid(W_z x + R_z h + b_z)
//
//   reset="after"   n = tanh(W_n x + b_in + r * (R_n h + b_hn))    h' = (1-z) * n + z * h    (cuDNN, PyTorch, Keras)
//   reset="before"  n = tanh(W_n x + b_in + R_n (r * h) + b_hn)    h' = (1-z) * n + z * h    (Cho et al., ONNX default)
//   reset="output"  n = tanh(W_n x + b_in + R_n h + b_hn)          h' = (1-z) * h + r * n    (here 1-z keeps h)
#pragma once

#include "cell.h"

namespace fastrnn::cells {

namespace gru {

enum Gate { R, Z, N };
constexpr int kRecurrentN = 3;  // "after": R_n h + b_hn, and its gradient

constexpr Description common() {
  Description d{};
  d.gates = 3;
  d.columns = 3;
  d.dcolumns = 3;
  d.start_from_b_hh = -1;
  d.phases = 1;
  d.phase[0] = {0, 3, 1, {{Operand::h_prev, Matrix::w_hh, {R, Z, N}}}};
  d.back_phases = 1;
  d.back[0] = {Target::h, 3, {{R, true, Matrix::w_hh, R}, {Z, true, Matrix::w_hh, Z}, {N, true, Matrix::w_hh, N}}};
  return d;
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

  static constexpr Description describe(const Options&) {
    using namespace gru;
    Description d = common();
    d.columns = 4;
    d.dcolumns = 4;
    d.start_from_b_hh = N;
    d.back[0].source[N].column = kRecurrentN;
    return d;
  }

  template <int Phase, class Unit>
  FASTRNN_CELL static void forward(const Options&, Unit& u) {
    using namespace gru;
    using V = typename Unit::V;
    const V r = u.sigmoid(u.acc(R)), z = u.sigmoid(u.acc(Z)), recurrent_n = u.acc(N);
    const V n = u.tanh(fmadd(r, recurrent_n, u.input(N)));
    u.save(R, r);
    u.save(Z, z);
    u.save(N, n);
    u.save(kRecurrentN, recurrent_n);
    u.set_h(mix(z, n, u.h_prev()));
  }

  template <int Phase, class Unit>
  FASTRNN_CELL static void backward(const Options&, Unit& u) {
    using namespace gru;
    using V = typename Unit::V;
    const V r = u.saved(R), z = u.saved(Z), n = u.saved(N);
    const V dh = u.acc() + u.dy() + u.carry_h();
    const V dan = dh * (V(1) - z) * fnmadd(n, n, V(1));
    u.set_dgate(R, dan * u.saved(kRecurrentN) * r * (V(1) - r));
    u.set_dgate(Z, dh * (u.h_prev() - n) * z * (V(1) - z));
    u.set_dgate(N, dan);
    u.set_dgate(kRecurrentN, dan * r);
    u.set_carry_h(dh * z);
  }
};

struct GruBefore {
  static constexpr int kPhases = 2;
  static constexpr int kBackPhases = 2;

  static constexpr Description describe(const Options&) {
    using namespace gru;
    Description d = common();
    d.columns = 4;  // r, z, n, r * h
    d.phases = 2;
    d.phase[0] = {R, 2, 1, {{Operand::h_prev, Matrix::w_hh, {R, Z}}}};
    d.phase[1] = {N, 1, 1, {{Operand::kept, Matrix::w_hh, {N}}}};
    d.back_phases = 2;
    d.back[0] = {Target::h, 2, {{R, true, Matrix::w_hh, R}, {Z, true, Matrix::w_hh, Z}}};
    d.back[1] = {Target::kept, 1, {{N, false, Matrix::w_hh, N}}};
    return d;
  }

  template <int Phase, class Unit>
  FASTRNN_CELL static void forward(const Options&, Unit& u) {
    using namespace gru;
    using V = typename Unit::V;
    if constexpr (Phase == 0) {
      const V r = u.sigmoid(u.acc(R));
      u.save(R, r);
      u.keep(Z, u.sigmoid(u.acc(Z)));
      u.keep(kOperandColumn, r * u.h_prev());
    } else {
      const V n = u.tanh(u.acc(0));
      u.save(N, n);
      u.set_h(mix(u.kept(Z), n, u.h_prev()));
    }
  }

  template <int Phase, class Unit>
  FASTRNN_CELL static void backward(const Options&, Unit& u) {
    using namespace gru;
    using V = typename Unit::V;
    if constexpr (Phase == 0) {
      const V z = u.saved(Z), n = u.saved(N);
      const V dh = u.acc() + u.dy() + u.carry_h();
      u.set_dgate(Z, dh * (u.h_prev() - n) * z * (V(1) - z));
      u.set_dgate(N, dh * (V(1) - z) * fnmadd(n, n, V(1)));
      u.set_carry_h(dh * z);
    } else {
      const V r = u.saved(R), d_rh = u.acc();
      u.set_dgate(R, d_rh * u.h_prev() * r * (V(1) - r));
      u.set_carry_h(fmadd(d_rh, r, u.carry_h()));
    }
  }
};

struct GruOutput {
  static constexpr int kPhases = 1;
  static constexpr int kBackPhases = 1;

  static constexpr Description describe(const Options&) { return gru::common(); }

  template <int Phase, class Unit>
  FASTRNN_CELL static void forward(const Options&, Unit& u) {
    using namespace gru;
    using V = typename Unit::V;
    const V r = u.sigmoid(u.acc(R)), z = u.sigmoid(u.acc(Z)), n = u.tanh(u.acc(N)), h = u.h_prev();
    u.save(R, r);
    u.save(Z, z);
    u.save(N, n);
    u.set_h(fmadd(r, n, fnmadd(z, h, h)));
  }

  template <int Phase, class Unit>
  FASTRNN_CELL static void backward(const Options&, Unit& u) {
    using namespace gru;
    using V = typename Unit::V;
    const V r = u.saved(R), z = u.saved(Z), n = u.saved(N), h = u.h_prev();
    const V dh = u.acc() + u.dy() + u.carry_h();
    u.set_dgate(R, dh * n * r * (V(1) - r));
    u.set_dgate(Z, fnmadd(dh, h, V(0)) * z * (V(1) - z));
    u.set_dgate(N, dh * r * fnmadd(n, n, V(1)));
    u.set_carry_h(dh * (V(1) - z));
  }
};

}  // namespace fastrnn::cells
