// Long short-term memory (Hochreiter & Schmidhuber 1997; forget gate: Gers, Schmidhuber & Cummins 2000; peepholes:
// Gers & Schmidhuber 2000, in the form of Graves 2013, "Generating sequences with recurrent neural networks", eq.
// 7-11):
//
//   i = sigmoid(W_i x + R_i h + p_i * c + b_i)        c' = f * c + i * g
//   f = sigmoid(W_f x + R_f h + p_f * c + b_f)        h' = o * tanh(c')
//   g = tanh   (W_g x + R_g h           + b_g)
//   o = sigmoid(W_o x + R_o h + p_o * s + b_o)        s = c' ("current") or c ("previous")
//
// coupled: f = 1 - i, and the parameters of f are ignored. Peepholes p are absent, one number a unit (p * c is
// element-wise), or full matrices (p * c is a matrix product).
#pragma once

#include "cell.h"

namespace fastrnn::cells {

namespace lstm {

enum Gate { I, F, G, O };
enum { Pi, Pf, Po };  // rows or blocks of w_peep

/// The part that every LSTM shares: from i, f, g to the new cell state.
template <class Unit>
FASTRNN_CELL typename Unit::V update(const Options& options, Unit& u, typename Unit::V ai, typename Unit::V af,
                                     typename Unit::V ag) {
  using V = typename Unit::V;
  const V i = u.sigmoid(ai);
  const V f = options.coupled ? V(1) - i : u.sigmoid(af);
  const V g = u.tanh(ag);
  const V c = fmadd(f, u.c_prev(), i * g);
  u.save(I, i);
  u.save(F, f);
  u.save(G, g);
  u.set_c(c);
  return c;
}

/// The gradient of o before its sigmoid, and what reaches c' through h' = o * tanh(c').
template <class Unit>
FASTRNN_CELL void output_backward(Unit& u, typename Unit::V dh, typename Unit::V& dao, typename Unit::V& dc) {
  using V = typename Unit::V;
  const V o = u.saved(O);
  const V tanh_c = u.tanh(u.c());  // recomputed: cheaper than another (T,B,H) in memory
  dao = dh * tanh_c * o * (V(1) - o);
  dc = dh * o * fnmadd(tanh_c, tanh_c, V(1));
}

/// From dc, the gradient of c', to the gradients of i, f, g before their activations. Returns f, the path to c.
template <class Unit>
FASTRNN_CELL typename Unit::V update_backward(const Options& options, Unit& u, typename Unit::V dc,
                                              typename Unit::V& dai, typename Unit::V& daf) {
  using V = typename Unit::V;
  const V i = u.saved(I), f = u.saved(F), g = u.saved(G), c_prev = u.c_prev();
  const V di = options.coupled ? dc * (g - c_prev) : dc * g;
  dai = di * i * (V(1) - i);
  daf = options.coupled ? V(0) : dc * c_prev * f * (V(1) - f);
  u.set_dgate(I, dai);
  u.set_dgate(F, daf);
  u.set_dgate(G, dc * i * fnmadd(g, g, V(1)));
  return f;
}

constexpr Description common() {
  Description d{};
  d.gates = 4;
  d.has_c = true;
  d.columns = 4;
  d.dcolumns = 4;
  d.start_from_b_hh = -1;
  d.back[0] = {
      Target::h,
      4,
      {{I, true, Matrix::w_hh, I}, {F, true, Matrix::w_hh, F}, {G, true, Matrix::w_hh, G}, {O, true, Matrix::w_hh, O}}};
  return d;
}

}  // namespace lstm

/// Peepholes absent or diagonal: everything about one unit is known within one phase.
struct Lstm {
  static constexpr int kPhases = 1;
  static constexpr int kBackPhases = 1;

  static constexpr Description describe(const Options& options) {
    using namespace lstm;
    Description d = common();
    d.phases = 1;
    d.phase[0] = {0, 4, 1, {{Operand::h_prev, Matrix::w_hh, {I, F, G, O}}}};
    d.back_phases = 1;
    if (options.peephole == Peephole::diagonal) {
      d.params = 3;
      d.param_gradient[Pi] = {I, Operand::c_prev};
      d.param_gradient[Pf] = {F, Operand::c_prev};
      d.param_gradient[Po] = {O, options.peephole_current ? Operand::c : Operand::c_prev};
    }
    return d;
  }

  template <int Phase, class Unit>
  FASTRNN_CELL static void forward(const Options& options, Unit& u) {
    using namespace lstm;
    using V = typename Unit::V;
    const bool diagonal = options.peephole == Peephole::diagonal;
    V ai = u.acc(I), af = u.acc(F), ao = u.acc(O);
    if (diagonal) {
      const V c_prev = u.c_prev();
      ai = fmadd(u.param(Pi), c_prev, ai);
      af = fmadd(u.param(Pf), c_prev, af);
      if (!options.peephole_current) ao = fmadd(u.param(Po), c_prev, ao);
    }
    const V c = update(options, u, ai, af, u.acc(G));
    if (diagonal && options.peephole_current) ao = fmadd(u.param(Po), c, ao);
    const V o = u.sigmoid(ao);
    u.save(O, o);
    u.set_h(o * u.tanh(c));
  }

  template <int Phase, class Unit>
  FASTRNN_CELL static void backward(const Options& options, Unit& u) {
    using namespace lstm;
    using V = typename Unit::V;
    const bool diagonal = options.peephole == Peephole::diagonal;
    V dao = V(0), dc = V(0), dai = V(0), daf = V(0);
    output_backward(u, u.acc() + u.dy() + u.carry_h(), dao, dc);
    dc = dc + u.carry_c();
    if (diagonal && options.peephole_current) dc = fmadd(u.param(Po), dao, dc);
    const V f = update_backward(options, u, dc, dai, daf);
    u.set_dgate(O, dao);
    V dc_prev = dc * f;
    if (diagonal) {
      dc_prev = fmadd(u.param(Pi), dai, dc_prev);
      dc_prev = fmadd(u.param(Pf), daf, dc_prev);
      if (!options.peephole_current) dc_prev = fmadd(u.param(Po), dao, dc_prev);
    }
    u.set_carry_c(dc_prev);
    u.set_carry_h(V(0));
  }
};

/// Full peephole matrices: o may need all of c', so that it has a phase of its own.
struct LstmFullPeephole {
  static constexpr int kPhases = 2;
  static constexpr int kBackPhases = 2;

  static constexpr Description describe(const Options& options) {
    using namespace lstm;
    Description d = common();
    const Operand seen_by_o = options.peephole_current ? Operand::c : Operand::c_prev;
    const bool next = !options.peephole_current;
    d.phases = 2;
    d.phase[0] = {
        I, 3, 2, {{Operand::h_prev, Matrix::w_hh, {I, F, G}}, {Operand::c_prev, Matrix::w_peep, {Pi, Pf, -1}}}};
    d.phase[1] = {O, 1, 2, {{Operand::h_prev, Matrix::w_hh, {O}}, {seen_by_o, Matrix::w_peep, {Po}}}};
    d.back_phases = 2;
    d.back[1] = {
        Target::c, 3, {{I, true, Matrix::w_peep, Pi}, {F, true, Matrix::w_peep, Pf}, {O, next, Matrix::w_peep, Po}}};
    return d;
  }

  template <int Phase, class Unit>
  FASTRNN_CELL static void forward(const Options& options, Unit& u) {
    using namespace lstm;
    using V = typename Unit::V;
    if constexpr (Phase == 0) {
      update(options, u, u.acc(I), u.acc(F), u.acc(G));
    } else {
      const V o = u.sigmoid(u.acc(0));
      u.save(O, o);
      u.set_h(o * u.tanh(u.c()));
    }
  }

  template <int Phase, class Unit>
  FASTRNN_CELL static void backward(const Options& options, Unit& u) {
    using namespace lstm;
    using V = typename Unit::V;
    if constexpr (Phase == 0) {
      V dao = V(0), dc = V(0);
      output_backward(u, u.acc() + u.dy() + u.carry_h(), dao, dc);
      u.set_dgate(O, dao);
      u.set_carry_c(u.carry_c() + dc);
      u.set_carry_h(V(0));
    } else {
      V dai = V(0), daf = V(0);
      const V dc = u.acc() + u.carry_c();
      const V f = update_backward(options, u, dc, dai, daf);
      u.set_carry_c(dc * f);
    }
  }
};

}  // namespace fastrnn::cells
