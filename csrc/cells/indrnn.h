// Independently recurrent network (Li, Li, Cook, Zhu & Gao 2018, "Independently recurrent neural network: building a
// longer and deeper RNN", eq. 2): every unit sees its own past alone.
//
//   h' = f(W x + b_ih + u * h + b_hh)
//
// u is one number a unit, given as w_hh (H,).
#pragma once

#include "cell.h"

namespace fastrnn::cells {

struct IndRnn {
  static constexpr int kPhases = 1;
  static constexpr int kBackPhases = 1;
  static constexpr bool kHasPlain = true;
  static constexpr Names kNames = {"h", ""};
  static constexpr CellType kType = CellType::indrnn;
  static constexpr bool fits(const Options&) { return true; }

  static constexpr Description describe(const Options&) {
    Description d = begin_description(1);
    d.vector_recurrence = true;
    d.phases = 1;
    d.phase[0] = {0, 1, 0, {}};
    d.back_phases = 1;
    d.back[0] = {Target::h, 0, {}};
    d.params = 1;
    d.param_gradient[0] = {0, Operand::h_prev};
    return d;
  }

  template <int Phase, class Unit>
  FASTRNN_CELL static void forward(const Options&, Unit& u) {
    const auto h = u.candidate(fmadd(u.param(0), u.h_operand(), u.acc(0)));
    u.save(0, h);
    u.set_h(h);
  }

  template <int Phase, class Unit>
  FASTRNN_CELL static void backward(const Options&, Unit& u) {
    const auto da = u.dh() * u.candidate_slope(u.saved(0));
    u.set_dgate(0, da);
    u.set_carry_h(u.mask_operand(da * u.param(0)));
  }
};

}  // namespace fastrnn::cells
