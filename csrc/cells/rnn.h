// Elman network (Elman 1990, "Finding structure in time"):
//
//   h' = f(W x + b_ih + R h + b_hh)
//
// f is tanh unless the options say otherwise. With layer normalisation (Ba, Kiros & Hinton 2016, eq. 4):
// h' = f(LN(W x + R h) + b_ih + b_hh).
#pragma once

#include "cell.h"

namespace fastrnn::cells {

struct Rnn {
  static constexpr int kPhases = 1;
  static constexpr int kBackPhases = 1;
  static constexpr bool kHasPlain = true;
  static constexpr Names kNames = {"h", ""};
  static constexpr CellType kType = CellType::rnn;
  static constexpr bool fits(const Options&) { return true; }

  static constexpr Description describe(const Options& options) {
    Description d = begin_description(1);
    d.phases = 1;
    d.phase[0] = {0, 1, 1, {{Operand::h_prev, Matrix::w_hh, {0}}}};
    d.back_phases = 1;
    d.back[0] = {Target::h, 1, {{0, true, Matrix::w_hh, 0}}};
    if (options.layer_norm) {
      d.phase[0].norm = d.back[0].norm = kFirstGates;
      d = with_norm(d, true);
    }
    return d;
  }

  template <int Phase, class Unit>
  FASTRNN_CELL static void forward(const Options&, Unit& u) {
    const auto h = u.candidate(u.acc(0));
    u.save(0, h);
    u.set_h(h);
  }

  template <int Phase, class Unit>
  FASTRNN_CELL static void backward(const Options&, Unit& u) {
    using V = typename Unit::V;
    u.set_dgate(0, u.dh() * u.candidate_slope(u.saved(0)));
    u.set_carry_h(V(0));
  }
};

}  // namespace fastrnn::cells
