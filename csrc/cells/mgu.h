// Minimal gated unit (Zhou, Wu, Zhang & Zhou 2016, "Minimal gated unit for recurrent neural networks", eq. 6):
//
//   f = sigmoid(W_f x + R_f h + b_f)      n = tanh(W_n x + b_in + R_n (f * h) + b_hn)      h' = (1-f) * h + f * n
#pragma once

#include "cell.h"

namespace fastrnn::cells {

struct Mgu {
  static constexpr int kPhases = 2;
  static constexpr int kBackPhases = 2;
  static constexpr bool kHasPlain = true;
  static constexpr Names kNames = {"fn", ""};
  static constexpr CellType kType = CellType::mgu;
  static constexpr bool fits(const Options&) { return true; }
  enum Gate { F, N };

  static constexpr Description describe(const Options&) {
    Description d = begin_description(2);
    d.has_candidate = true;
    d.columns = kOperandColumn + 1;  // f, n, nothing, f * h
    d.phases = 2;
    d.phase[0] = {F, 1, 1, {{Operand::h_prev, Matrix::w_hh, {F}}}};
    d.phase[1] = {N, 1, 1, {{Operand::kept, Matrix::w_hh, {N}}}};
    d.back_phases = 2;
    d.back[0] = {Target::h, 1, {{F, true, Matrix::w_hh, F}}};
    d.back[1] = {Target::kept, 1, {{N, false, Matrix::w_hh, N}}};
    return d;
  }

  template <int Phase, class Unit>
  FASTRNN_CELL static void forward(const Options&, Unit& u) {
    if constexpr (Phase == 0) {
      const auto f = u.gate(u.acc(0));
      u.keep(F, f);
      u.keep(kOperandColumn, f * u.h_operand());
    } else {
      const auto f = u.kept(F), h = u.h_prev(), n = u.candidate(u.acc(0));
      u.save(N, n);
      u.set_h(fmadd(f, u.drop(n) - h, h));
    }
  }

  template <int Phase, class Unit>
  FASTRNN_CELL static void backward(const Options&, Unit& u) {
    using V = typename Unit::V;
    const V f = u.saved(F);
    if constexpr (Phase == 0) {
      const V n = u.saved(N), dh = u.dh();
      u.set_dgate(F, dh * (u.drop(n) - u.h_prev()));  // df of mixing h and n; phase 1 adds that of f * h
      u.set_dgate(N, u.drop(dh * f) * u.candidate_slope(n));
      u.set_carry_h(dh * (V(1) - f));
    } else {
      const V d_fh = u.acc();
      u.set_dgate(F, fmadd(d_fh, u.h_operand(), u.dgate(F)) * u.gate_slope(f));
      u.add_carry_h(u.mask_operand(d_fh * f));
    }
  }
};

}  // namespace fastrnn::cells
