// Elman network (Elman 1990, "Finding structure in time"):
//
//   h' = f(W x + b_ih + R h + b_hh),   f in tanh, relu, sigmoid, identity
#pragma once

#include "cell.h"

namespace fastrnn::cells {

struct Rnn {
  static constexpr int kPhases = 1;
  static constexpr int kBackPhases = 1;

  static constexpr Description describe(const Options&) {
    Description d{};
    d.gates = 1;
    d.columns = 1;
    d.dcolumns = 1;
    d.start_from_b_hh = -1;
    d.phases = 1;
    d.phase[0] = {0, 1, 1, {{Operand::h_prev, Matrix::w_hh, {0}}}};
    d.back_phases = 1;
    d.back[0] = {Target::h, 1, {{0, true, Matrix::w_hh, 0}}};
    return d;
  }

  template <int Phase, class Unit>
  FASTRNN_CELL static void forward(const Options& options, Unit& u) {
    using V = typename Unit::V;
    const V a = u.acc(0);
    V h = a;
    switch (options.activation) {
      case Activation::tanh: h = u.tanh(a); break;
      case Activation::relu: h = relu(a); break;
      case Activation::sigmoid: h = u.sigmoid(a); break;
      case Activation::identity: break;
    }
    u.save(0, h);
    u.set_h(h);
  }

  // f' is a function of h' = f(a) for each of the four, so that a itself need not be saved.
  template <int Phase, class Unit>
  FASTRNN_CELL static void backward(const Options& options, Unit& u) {
    using V = typename Unit::V;
    const V h = u.saved(0);
    const V dh = u.acc() + u.dy() + u.carry_h();
    V da = dh;
    switch (options.activation) {
      case Activation::tanh: da = dh * fnmadd(h, h, V(1)); break;
      case Activation::relu: da = where_positive(h, dh); break;
      case Activation::sigmoid: da = dh * h * (V(1) - h); break;
      case Activation::identity: break;
    }
    u.set_dgate(0, da);
    u.set_carry_h(V(0));
  }
};

}  // namespace fastrnn::cells
