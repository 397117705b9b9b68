// Long short-term memory (Hochreiter & Schmidhuber 1997; forget gate: Gers, Schmidhuber & Cummins 2000; peepholes:
// Gers & Schmidhuber 2000, in the form of Graves 2013, "Generating sequences with recurrent neural networks", eq.
// 7-11):
//
//   i = sigmoid(W_i x + R_i h + p_i * c + b_i)        c' = f * c + i * g
//   f = sigmoid(W_f x + R_f h + p_f * c + b_f)        h' = o * tanh(c')
//   g = tanh   (W_g x + R_g h           + b_g)
//   o = sigmoid(W_o x + R_o h + p_o * s + b_o)        s = c' ("current") or c ("previous")
//
// Layer normalisation (Ba, Kiros & Hinton 2016, eq. 20-22): W x and R h are LN(W x) * gain and LN(R h) * gain, each
// over all four gates; tanh(c') may be tanh(LN(c') * gain + bias). Projection (Sak, Senior & Beaufays 2014): h' = W_hr
// (o * tanh(c')).
//
// coupled: f = 1 - i, and the parameters of f are ignored. Peepholes p are absent, one number a unit (p * c is
// element-wise), or full matrices (p * c is a matrix product).
#pragma once

#include "cell.h"

namespace fastrnn::cells {

namespace lstm {

enum Gate { I, F, G, O };
enum { Pi, Pf, Po };  // rows or blocks of w_peep

/// Shared by all LSTMs: from the sums of i, f, g to the new cell state, before its zoneout.
template <class Unit>
FASTRNN_CELL typename Unit::V update(const Options& options, Unit& u, typename Unit::V ai, typename Unit::V af,
                                     typename Unit::V ag) {
  using V = typename Unit::V;
  const V i = u.gate(ai);
  const V f = options.coupled ? V(1) - i : u.gate(af);
  const V g = u.candidate(ag);
  const V c = u.clip_c(fmadd(f, u.c_prev(), i * u.drop(g)));
  u.save(I, i);
  u.save(F, f);
  u.save(G, g);
  u.set_c(c);
  return c;
}

/// Backward through h' = o * tanh(s): from dh to the gradient of o before its sigmoid, and that of s.
template <class Unit>
FASTRNN_CELL void output_backward(Unit& u, typename Unit::V dh, typename Unit::V o, typename Unit::V s,
                                  typename Unit::V& dao, typename Unit::V& ds) {
  const auto value = u.output(s);  // recomputed: cheaper than another (T,B,H) in memory
  dao = dh * value * u.gate_slope(o);
  ds = dh * o * u.output_slope(value);
}

/// Backward through c' = f * c + i * g: from dc to the gradients of i, f, g before their activations. Returns f, by
/// which dc reaches the c of the step before.
template <class Unit>
FASTRNN_CELL typename Unit::V update_backward(const Options& options, Unit& u, typename Unit::V dc,
                                              typename Unit::V& dai, typename Unit::V& daf) {
  using V = typename Unit::V;
  const V i = u.saved(I), f = u.saved(F), g = u.saved(G), c_prev = u.c_prev();
  const V di = options.coupled ? dc * (u.drop(g) - c_prev) : dc * u.drop(g);
  dai = di * u.gate_slope(i);
  daf = options.coupled ? V(0) : dc * c_prev * u.gate_slope(f);
  u.set_dgate(I, dai);
  u.set_dgate(F, daf);
  u.set_dgate(G, u.drop(dc * i) * u.candidate_slope(g));
  return f;
}

/// The gradients of c that pass through the diagonal peepholes of i and f, and of o where it sees c.
template <class Unit>
FASTRNN_CELL void add_peepholes(const Options& options, Unit& u, typename Unit::V& ai, typename Unit::V& af,
                                typename Unit::V& ao) {
  if (options.peephole != Peephole::diagonal) return;
  const auto c_prev = u.c_prev();
  ai = fmadd(u.param(Pi), c_prev, ai);
  af = fmadd(u.param(Pf), c_prev, af);
  if (!options.peephole_current) ao = fmadd(u.param(Po), c_prev, ao);
}

/// The rest of the backward pass, once the gradients of o and of c' through tanh(c') are known.
template <class Unit>
FASTRNN_CELL void cell_backward(const Options& options, Unit& u, typename Unit::V dao, typename Unit::V dc,
                                typename Unit::V c) {
  using V = typename Unit::V;
  const bool diagonal = options.peephole == Peephole::diagonal;
  V dai = V(0), daf = V(0);
  dc = dc + u.dc();
  if (diagonal && options.peephole_current) dc = fmadd(u.param(Po), dao, dc);
  dc = u.clip_c_slope(c, dc);
  const V f = update_backward(options, u, dc, dai, daf);
  V dc_prev = dc * f;
  if (diagonal) {
    dc_prev = fmadd(u.param(Pi), dai, dc_prev);
    dc_prev = fmadd(u.param(Pf), daf, dc_prev);
    if (!options.peephole_current) dc_prev = fmadd(u.param(Po), dao, dc_prev);
  }
  u.set_carry_c(dc_prev);
}

constexpr Description common(const Options& options) {
  Description d = begin_description(4);
  d.c_states = 1;
  d.has_candidate = true;
  d.forget_gate = F;
  d.phases = 1;
  d.phase[0] = {0, 4, 1, {{Operand::h_prev, Matrix::w_hh, {I, F, G, O}}}};
  d.back_phases = 1;
  d.back[0] = {
      Target::h,
      4,
      {{I, true, Matrix::w_hh, I}, {F, true, Matrix::w_hh, F}, {G, true, Matrix::w_hh, G}, {O, true, Matrix::w_hh, O}}};
  if (options.peephole == Peephole::diagonal) {
    d.params = 3;
    d.param_gradient[Pi] = {I, Operand::c_prev};
    d.param_gradient[Pf] = {F, Operand::c_prev};
    d.param_gradient[Po] = {O, options.peephole_current ? Operand::c : Operand::c_prev};
    if (options.peephole_current && options.zoneout_c > 0) d.param_gradient[Po].operand = Operand::c_new;
  }
  return d;
}

}  // namespace lstm

/// Peepholes absent or diagonal: everything about one unit is known within one phase.
struct Lstm {
  static constexpr int kPhases = 1;
  static constexpr int kBackPhases = 1;
  static constexpr bool kHasPlain = true;
  static constexpr Names kNames = {"ifgo", "c"};
  static constexpr CellType kType = CellType::lstm;
  static constexpr bool fits(const Options& o) { return o.peephole != Peephole::full && !o.projected && !o.cell_norm; }

  static constexpr int kC = lstm::O + 1;  // c' before its zoneout, where there is one

  static constexpr Description describe(const Options& options) {
    Description d = lstm::common(options);
    if (options.zoneout_c > 0) d.columns = (d.c_new = kC) + 1;
    if (!options.layer_norm) return d;
    d.phase[0].norm = d.back[0].norm = kFirstGates;
    return with_norm(d, false);
  }

  template <int Phase, class Unit>
  FASTRNN_CELL static void forward(const Options& options, Unit& u) {
    using namespace lstm;
    using V = typename Unit::V;
    V ai = u.acc(I), af = u.acc(F), ao = u.acc(O);
    add_peepholes(options, u, ai, af, ao);
    const V c = update(options, u, ai, af, u.acc(G));
    if (options.peephole == Peephole::diagonal && options.peephole_current) ao = fmadd(u.param(Po), c, ao);
    const V o = u.gate(ao);
    u.save(O, o);
    if constexpr (!Unit::kPlain)
      if (options.zoneout_c > 0) u.save(kC, c);
    u.set_h(o * u.output(c));
  }

  template <int Phase, class Unit>
  FASTRNN_CELL static void backward(const Options& options, Unit& u) {
    using namespace lstm;
    using V = typename Unit::V;
    V dao = V(0), dc = V(0), c = u.c();
    if constexpr (!Unit::kPlain)
      if (options.zoneout_c > 0) c = u.saved(kC);
    output_backward(u, u.dh(), u.saved(O), c, dao, dc);
    u.set_dgate(O, dao);
    cell_backward(options, u, dao, dc, c);
    u.set_carry_h(V(0));
  }
};

/// Full peephole matrices: o may need the whole vector c', and so has a phase of its own.
struct LstmFullPeephole {
  static constexpr int kPhases = 2;
  static constexpr int kBackPhases = 2;
  static constexpr bool kHasPlain = true;
  static constexpr Names kNames = {"ifgo", "c"};
  static constexpr CellType kType = CellType::lstm;
  static constexpr bool fits(const Options& o) { return o.peephole == Peephole::full; }

  static constexpr Description describe(const Options& options) {
    using namespace lstm;
    Description d = common(options);
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
      const V o = u.gate(u.acc(0));
      u.save(O, o);
      u.set_h(o * u.output(u.c()));
    }
  }

  template <int Phase, class Unit>
  FASTRNN_CELL static void backward(const Options& options, Unit& u) {
    using namespace lstm;
    using V = typename Unit::V;
    if constexpr (Phase == 0) {
      V dao = V(0), dc = V(0);
      output_backward(u, u.dh(), u.saved(O), u.c(), dao, dc);
      u.set_dgate(O, dao);
      u.set_carry_c(u.carry_c() + dc);
      u.set_carry_h(V(0));
    } else {
      V dai = V(0), daf = V(0);
      const V dc = u.clip_c_slope(u.c(), u.acc() + u.carry_c());
      const V f = update_backward(options, u, dc, dai, daf);
      u.set_carry_c(dc * f);
    }
  }
};

/// A projection or normalised cell states, or both: r = o * tanh(LN(c')) and h' = W_hr r need whole vectors, and so
/// each has a phase of its own.
struct LstmStaged {
  static constexpr int kPhases = 3;
  static constexpr int kBackPhases = 3;
  static constexpr bool kHasPlain = false;
  static constexpr Names kNames = {"ifgo", "c"};
  static constexpr CellType kType = CellType::lstm;
  static constexpr bool fits(const Options& o) { return o.peephole != Peephole::full && (o.projected || o.cell_norm); }

  enum Column { kR = kOperandColumn, kO, kC, kH };  // beside i, f, g: r, o, c' before its zoneout, h' likewise
  enum Gradient { kDr = lstm::O + 1, kDs, kDc };    // gradients of r (or W_hr r), of LN(c'), and of c' by way of LN(c')

  static constexpr Description describe(const Options& options) {
    using namespace lstm;
    Description d = common(options);
    d.columns = kH + 1;
    d.c_new = kC;
    d.dcolumns = kDc + 1;
    const int gates_norm = options.layer_norm ? kFirstGates : kNoNorm;
    const int cell_norm = options.cell_norm ? kCellNorm : kNoNorm;
    d.phases = options.projected ? 3 : 2;
    d.phase[0].norm = gates_norm;
    d.phase[1] = {0, 1, 0, {}, false, false, kC, cell_norm};
    d.phase[2] = {0, 1, 1, {{Operand::kept, Matrix::w_hr, {0}}}, false, true};
    d.back_phases = 3;
    d.back[0].over_state = true;
    d.back[1] = {Target::kept, options.projected ? 1 : 0, {{kDr, false, Matrix::w_hr, 0}}, false, cell_norm};
    d.back[2] = {Target::kept, 0, {}, false, gates_norm};
    d.cell_norm_from = kDs;
    d.cell_norm_to = kDc;
    if (options.layer_norm) d = with_norm(d, false);
    return d;
  }

  template <int Phase, class Unit>
  FASTRNN_CELL static void forward(const Options& options, Unit& u) {
    using namespace lstm;
    using V = typename Unit::V;
    if constexpr (Phase == 0) {
      V ai = u.acc(I), af = u.acc(F), ao = u.acc(O);
      add_peepholes(options, u, ai, af, ao);
      const V c = update(options, u, ai, af, u.acc(G));
      if (options.peephole == Peephole::diagonal && options.peephole_current) ao = fmadd(u.param(Po), c, ao);
      u.keep(kO, u.gate(ao));
      u.keep(kC, c);
    } else if constexpr (Phase == 1) {
      const V r = u.kept(kO) * u.output(u.acc(0));
      u.keep(kR, r);
      if (!options.projected) u.set_h(r);
    } else {
      const V h = u.clip_h(u.acc(0));
      u.save(kH, h);
      u.set_h(h);
    }
  }

  template <int Phase, class Unit>
  FASTRNN_CELL static void backward(const Options& options, Unit& u) {
    using namespace lstm;
    using V = typename Unit::V;
    if constexpr (Phase == 0) {
      const V dh = u.dh();
      u.set_dgate(kDr, options.projected ? u.clip_h_slope(u.saved(kH), dh) : dh);
      u.set_carry_h(V(0));
    } else if constexpr (Phase == 1) {
      V dao = V(0), ds = V(0);
      output_backward(u, options.projected ? u.acc() : u.dgate(kDr), u.saved(kO), u.normalised(kC), dao, ds);
      u.set_dgate(O, dao);
      u.set_dgate(kDs, ds);
    } else {
      cell_backward(options, u, u.dgate(O), u.dgate(options.cell_norm ? kDc : kDs), u.saved(kC));
    }
  }
};

}  // namespace fastrnn::cells
