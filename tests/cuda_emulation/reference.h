// The recurrence in float64, one row, one step, one unit after the other: what the kernels are judged by. The equations
// are those of csrc/cells; test_reference.cc holds this file against the CPU backend.
//
// A kernel with 16-bit weights rounds the operands of its products. So does this, on request, or the comparison could
// tell no more than the rounding.
#pragma once

#include <cmath>
#include <functional>
#include <random>
#include <vector>

#include "cells/list.h"

namespace test {

namespace cells = fastrnn::cells;
using Vector = std::vector<double>;

struct Double {
  double v;
  Double() = default;
  explicit Double(double scalar) : v(scalar) {}
  friend Double operator+(Double a, Double b) { return Double(a.v + b.v); }
  friend Double operator-(Double a, Double b) { return Double(a.v - b.v); }
  friend Double operator*(Double a, Double b) { return Double(a.v * b.v); }
  friend Double operator/(Double a, Double b) { return Double(a.v / b.v); }
  friend Double fmadd(Double a, Double b, Double c) { return Double(a.v * b.v + c.v); }
  friend Double fnmadd(Double a, Double b, Double c) { return Double(c.v - a.v * b.v); }
};

/// One unit at one step, forward and backward; a plain Unit of csrc/cells/cell.h.
struct Unit {
  using V = Double;
  static constexpr bool kPlain = true;
  const double* peep;
  int hidden;
  double acc_[4], input_[4];
  double h_before, c_before, h_, c_;
  double columns[8], dgates[8];
  double sum, dy, carry_h, carry_c_;

  static V gate(V x) { return V(1 / (1 + std::exp(-x.v))); }
  static V candidate(V x) { return V(std::tanh(x.v)); }
  static V output(V x) { return candidate(x); }
  static V gate_slope(V y) { return y * (V(1) - y); }
  static V candidate_slope(V y) { return V(1) - y * y; }
  static V output_slope(V y) { return candidate_slope(y); }
  static V drop(V x) { return x; }
  static V mask_operand(V x) { return x; }
  static V clip_c(V x) { return x; }
  static V clip_c_slope(V, V d) { return d; }
  V param(int j) const { return V(peep[j * hidden]); }
  V h_prev() const { return V(h_before); }
  V h_operand() const { return V(h_before); }
  V c_prev() const { return V(c_before); }
  V c() const { return V(c_); }
  V acc(int g) const { return V(acc_[g]); }
  V input(int g) const { return V(input_[g]); }
  V kept(int j) const { return V(columns[j]); }
  V saved(int j) const { return V(columns[j]); }
  void keep(int j, V v) { columns[j] = v.v; }
  void save(int j, V v) { columns[j] = v.v; }
  void set_h(V v) { h_ = v.v; }
  void set_c(V v) { c_ = v.v; }
  V acc() const { return V(sum); }
  V dh() const { return V(sum + dy + carry_h); }
  V dc() const { return V(carry_c_); }
  V carry_c() const { return V(carry_c_); }
  void set_carry_h(V v) { carry_h = v.v; }
  void add_carry_h(V v) { carry_h += v.v; }
  void set_carry_c(V v) { carry_c_ = v.v; }
  V dgate(int j) const { return V(dgates[j]); }
  void set_dgate(int j, V v) { dgates[j] = v.v; }
};

struct Shape {
  int steps, batch, inputs, hidden;
};

/// A problem, its results and its gradients. Shapes are those of fastrnn.hpp.
struct Problem {
  Shape shape;
  cells::Options options;
  std::vector<int> lengths;
  bool reverse = false;
  std::function<double(double)> round = [](double x) { return x; };
  Vector x, w_ih, w_hh, b_ih, b_hh, w_peep, h0, c0, dy, dh_n, dc_n;
  Vector y, h_n, c_n, dx, dw_ih, dw_hh, db_ih, db_hh, dw_peep, dh0, dc0;

  Problem(Shape shape, int gates, unsigned seed) : shape(shape) {
    const auto [t, b, i, h] = shape;
    std::mt19937 generator(seed);
    // float32 values, so that a kernel and this begin with the same numbers.
    const auto fill = [&](Vector& v, int n, double scale) {
      std::normal_distribution<double> normal(0, scale);
      v.resize(n);
      for (double& value : v) value = float(normal(generator));
    };
    const double scale = 1 / std::sqrt(double(h));
    fill(x, t * b * i, 1);
    fill(w_ih, gates * h * i, scale);
    fill(w_hh, gates * h * h, scale);
    fill(b_ih, gates * h, 0.3);
    fill(b_hh, gates * h, 0.3);
    fill(w_peep, 3 * h, scale);
    fill(h0, b * h, 0.5);
    fill(c0, b * h, 0.5);
    fill(dy, t * b * h, 0.3);
    fill(dh_n, b * h, 0.3);
    fill(dc_n, b * h, 0.3);
    lengths.assign(b, t);
  }

  template <class Cell>
  void run() {
    const auto [t, b, i, h] = shape;
    const int gates = Cell::describe(options).gates;
    y.assign(t * b * h, 0);
    h_n = h0;
    c_n = c0;
    dx.assign(t * b * i, 0);
    dw_ih.assign(gates * h * i, 0);
    dw_hh.assign(gates * h * h, 0);
    db_ih.assign(gates * h, 0);
    db_hh.assign(gates * h, 0);
    dw_peep.assign(3 * h, 0);
    dh0 = dh_n;
    dc0 = dc_n;
    for (int row = 0; row < b; ++row) run_row<Cell>(row);
  }

 private:
  int time(int row, int step) const { return reverse ? lengths[row] - 1 - step : step; }

  template <class Cell>
  void run_row(int row) {
    const auto [t, batch, inputs, hidden] = shape;
    const cells::Description cell = Cell::describe(options);
    const int length = lengths[row], h = hidden;
    std::vector<std::vector<Unit>> steps(length, std::vector<Unit>(h));
    Vector h_state(h0.begin() + row * h, h0.begin() + (row + 1) * h),
        c_state(c0.begin() + row * h, c0.begin() + (row + 1) * h);
    const auto weight = [&](int block, int unit, int k) { return w_hh[(block * h + unit) * h + k]; };
    for (int s = 0; s < length; ++s) {
      const double* x_row = &x[(time(row, s) * batch + row) * inputs];
      std::vector<Unit>& units = steps[s];
      for (int u = 0; u < h; ++u) {
        units[u].peep = &w_peep[u];
        units[u].hidden = h;
        units[u].h_before = h_state[u];
        units[u].c_before = c_state[u];
        for (int g = 0; g < cell.gates; ++g) {
          const int r = g * h + u;
          double sum = b_ih[r];
          for (int k = 0; k < inputs; ++k) sum += w_ih[r * inputs + k] * x_row[k];
          units[u].input_[g] = sum + (g == cell.start_from_b_hh ? 0 : b_hh[r]);
        }
      }
      for (int p = 0; p < cell.phases; ++p) {
        const cells::Phase& phase = cell.phase[p];
        Vector operand(h);
        for (int k = 0; k < h; ++k)
          operand[k] = round(
              phase.source[0].operand == cells::Operand::h_prev ? h_state[k] : units[k].columns[cells::kOperandColumn]);
        for (int u = 0; u < h; ++u)
          for (int g = 0; g < phase.gates; ++g) {
            const int gate = phase.first_gate + g;
            double sum = gate == cell.start_from_b_hh ? b_hh[gate * h + u] : units[u].input_[gate];
            for (int k = 0; k < h; ++k) sum += weight(gate, u, k) * operand[k];
            units[u].acc_[g] = sum;
          }
        for (Unit& u : units)
          if (p == 0)
            Cell::template forward<0>(options, u);
          else
            Cell::template forward<Cell::kPhases - 1>(options, u);
      }
      for (int u = 0; u < h; ++u) {
        h_state[u] = units[u].h_;
        if (cell.c_states > 0) c_state[u] = units[u].c_;
        y[(time(row, s) * batch + row) * h + u] = h_state[u];
      }
    }
    for (int u = 0; u < h; ++u) {
      h_n[row * h + u] = h_state[u];
      c_n[row * h + u] = c_state[u];
    }
    back_row<Cell>(row, cell, steps);
  }

  template <class Cell>
  void back_row(int row, const cells::Description& cell, std::vector<std::vector<Unit>>& steps) {
    const auto [t, batch, inputs, hidden] = shape;
    const int length = int(steps.size()), h = hidden;
    // What a phase's matrices bring to unit u from the gate gradients of steps s and s + 1.
    const auto back_sum = [&](const cells::BackPhase& phase, int s, int u) {
      double sum = 0;
      for (int i = 0; i < phase.sources; ++i) {
        const cells::BackSource& source = phase.source[i];
        const int from = source.next ? s + 1 : s;
        if (from >= length || from < 0) continue;
        for (int j = 0; j < h; ++j)
          sum += w_hh[(source.block * h + j) * h + u] * round(steps[from][j].dgates[source.column]);
      }
      return sum;
    };
    for (int s = length - 1; s >= 0; --s) {
      std::vector<Unit>& units = steps[s];
      const int at = time(row, s) * batch + row;
      for (int u = 0; u < h; ++u) {
        units[u].dy = dy[at * h + u];
        units[u].carry_h = s + 1 < length ? steps[s + 1][u].carry_h : dh_n[row * h + u];
        units[u].carry_c_ = s + 1 < length ? steps[s + 1][u].carry_c_ : dc_n[row * h + u];
      }
      for (int p = 0; p < cell.back_phases; ++p) {
        Vector sums(h);
        for (int u = 0; u < h; ++u) sums[u] = back_sum(cell.back[p], s, u);
        for (int u = 0; u < h; ++u) {
          units[u].sum = sums[u];
          if (p == 0)
            Cell::template backward<0>(options, units[u]);
          else
            Cell::template backward<Cell::kBackPhases - 1>(options, units[u]);
        }
      }
      for (int g = 0; g < cell.gates; ++g)
        for (int u = 0; u < h; ++u) {
          const int r = g * h + u;
          const double d = units[u].dgates[g], recurrent = units[u].dgates[cell.recurrent_column[g]];
          db_ih[r] += d;
          db_hh[r] += recurrent;
          for (int k = 0; k < inputs; ++k) {
            dw_ih[r * inputs + k] += d * x[at * inputs + k];
            dx[at * inputs + k] += d * w_ih[r * inputs + k];
          }
          const bool of_kept = cell.phases > 1 && g >= cell.phase[1].first_gate;
          for (int k = 0; k < h; ++k)
            dw_hh[r * h + k] += recurrent * (of_kept ? units[k].columns[cells::kOperandColumn] : units[k].h_before);
        }
      for (int j = 0; j < cell.params; ++j)
        for (int u = 0; u < h; ++u)
          dw_peep[j * h + u] += units[u].dgates[cell.param_gradient[j].column] *
                                (cell.param_gradient[j].operand == cells::Operand::c ? units[u].c_ : units[u].c_before);
    }
    for (int u = 0; u < h && length > 0; ++u) {
      dh0[row * h + u] = steps[0][u].carry_h + back_sum(cell.back[0], -1, u);
      dc0[row * h + u] = steps[0][u].carry_c_;
    }
  }
};

}  // namespace test
