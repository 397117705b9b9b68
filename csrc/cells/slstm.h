// sLSTM (Beck et al. 2024, "xLSTM: extended long short-term memory", eq. 8-17), with a dense recurrent matrix:
//
//   z = tanh(a_z)    o = sigmoid(a_o)    log f = log sigmoid(a_f), or a_f ("exp")       a = W x + b_ih + R h + b_hh
//   m' = max(log f + m, a_i)       i' = exp(a_i - m')       f' = exp(log f + m - m')
//   c' = f' * c + i' * z           n' = f' * n + i'         h' = o * c' / n'
//
// m is the stabiliser: h' does not depend on it. Where n is 0 nothing is remembered, there is no scale to keep, and
// m' = a_i (as in the authors' code); f' is held at 1 or less there.
#pragma once

#include "cell.h"

namespace fastrnn::cells {

struct Slstm {
  static constexpr int kPhases = 1;
  static constexpr int kBackPhases = 1;
  static constexpr bool kHasPlain = true;
  static constexpr Names kNames = {"ifzo", "cnm"};
  static constexpr CellType kType = CellType::slstm;
  static constexpr bool fits(const Options&) { return true; }
  enum Gate { I, F, Z, O };
  enum State { C, N, M };
  // i', f', z, o, whether m' = a_i, d log f / d a_f, d f' / d log f where m' = a_i
  enum Column { kI, kF, kZ, kO, kFromInput, kSlope, kFlow, kColumns };

  static constexpr Description describe(const Options&) {
    Description d = begin_description(4);
    d.c_states = 3;
    d.columns = kColumns;
    d.phases = 1;
    d.phase[0] = {0, 4, 1, {{Operand::h_prev, Matrix::w_hh, {I, F, Z, O}}}};
    d.back_phases = 1;
    d.back[0] = {Target::h,
                 4,
                 {{I, true, Matrix::w_hh, I},
                  {F, true, Matrix::w_hh, F},
                  {Z, true, Matrix::w_hh, Z},
                  {O, true, Matrix::w_hh, O}}};
    return d;
  }

  template <int Phase, class Unit>
  FASTRNN_CELL static void forward(const Options& options, Unit& u) {
    using V = typename Unit::V;
    const V zero = V(0), one = V(1), ai = u.acc(I), af = u.acc(F);
    const V z = u.tanh(u.acc(Z)), o = u.sigmoid(u.acc(O));
    const V log_f = options.exponential_forget ? af : zero - u.softplus(zero - af);
    const V slope = options.exponential_forget ? one : u.sigmoid(zero - af);
    const V c_prev = u.c_prev(C), n_prev = u.c_prev(N), kept = log_f + u.c_prev(M);
    const V larger = where_positive(ai - kept, one);
    const V from_input = one - where_positive(magnitude(n_prev), one - larger);  // 1 where m' = a_i, else 0
    const V m = where_positive(from_input, ai) + where_positive(one - from_input, kept);
    const V i = u.exp(ai - m), f = u.exp(clamp_above(zero, kept - m));
    const V c = fmadd(f, c_prev, i * z), n = fmadd(f, n_prev, i);
    u.save(kI, i);
    u.save(kF, f);
    u.save(kZ, z);
    u.save(kO, o);
    u.save(kFromInput, from_input);
    u.save(kSlope, slope);
    u.save(kFlow, where_positive(m - kept, f));  // zero where f' is held at 1
    u.set_c(c, C);
    u.set_c(n, N);
    u.set_c(m, M);
    u.set_h(o * (c / n));
  }

  // m' passes its gradient to the argument of the max that it took; the other then enters an exponential.
  template <int Phase, class Unit>
  FASTRNN_CELL static void backward(const Options&, Unit& u) {
    using V = typename Unit::V;
    const V i = u.saved(kI), f = u.saved(kF), z = u.saved(kZ), o = u.saved(kO);
    const V from_input = u.saved(kFromInput), from_kept = V(1) - from_input;
    const V n = u.c(N), ratio = u.c(C) / n, dh = u.dh();
    const V d_ratio = dh * o / n;
    const V dc = u.carry_c(C) + d_ratio, dn = fnmadd(d_ratio, ratio, u.carry_c(N)), dm = u.carry_c(M);
    const V d_log_i = fmadd(dc, z, dn) * i;
    const V d_log_f = fmadd(dc, u.c_prev(C), dn * u.c_prev(N)) * u.saved(kFlow);
    const V d_kept = fmadd(from_input, d_log_f, from_kept * (dm - d_log_i));
    u.set_dgate(I, fmadd(from_input, dm - d_log_f, from_kept * d_log_i));
    u.set_dgate(F, d_kept * u.saved(kSlope));
    u.set_dgate(Z, dc * i * fnmadd(z, z, V(1)));
    u.set_dgate(O, dh * ratio * o * (V(1) - o));
    u.set_carry_c(dc * f, C);
    u.set_carry_c(dn * f, N);
    u.set_carry_c(d_kept, M);
    u.set_carry_h(V(0));
  }
};

}  // namespace fastrnn::cells
