// The Unit of a recurrence kernel: what a cell sees of one row and one hidden unit (csrc/cells/cell.h says what each
// name means).
//
// One thread has a pair of row and unit for the whole sequence, so that what it keeps in shared memory from step to
// step needs no barrier.
#pragma once

#include "cuda/kernels/value.h"

namespace fastrnn::cuda {

/// Partial sums of a product, at this unit and row.
struct Partial {
  const float* first;
  int chunks, chunk_stride;
  /// Four are read together, and added in their order.
  FASTRNN_CELL float sum(int row) const {
    float total = 0;
    FASTRNN_NO_UNROLL
    for (int i = 0; i < chunks; i += 4) {
      float part[4];
      FASTRNN_UNROLL
      for (int j = 0; j < 4; ++j) part[j] = i + j < chunks ? first[(i + j) * chunk_stride + row] : 0.0f;
      FASTRNN_UNROLL
      for (int j = 0; j < 4; ++j) total += part[j];
    }
    return total;
  }
};

template <class Cell>
struct ForwardUnit : PlainActivations {
  static constexpr cells::Description kCell = Cell::describe(cells::Options{});
  int first_gate;
  int elements;         // floats from one column to the next
  int units;            // floats from one per-unit row to the next
  Partial partial;      // its row of a gate is gate * units
  const float* wx_row;  // W x by gate
  const float* bias;    // by gate, and behind them that of the gate which starts from b_hh
  const float* peep;
  float* state;   // h, then c
  float* column;  // what phases keep for each other and for the backward pass; null: nothing is kept

  FASTRNN_CELL V wx(int gate) const { return V(wx_row[gate * elements] + bias[gate * units]); }
  FASTRNN_CELL V acc(int g) const {
    const int gate = first_gate + g;
    const V start = gate == kCell.start_from_b_hh ? V(bias[kCell.gates * units]) : wx(gate);
    return start + V(partial.sum(g * units));
  }
  FASTRNN_CELL V input(int gate) const { return wx(gate); }
  FASTRNN_CELL V param(int j) const { return V(peep[j * units]); }
  FASTRNN_CELL V h_prev() const { return V(state[0]); }
  FASTRNN_CELL V h_operand() const { return h_prev(); }
  FASTRNN_CELL V c_prev() const { return V(state[elements]); }
  FASTRNN_CELL V kept(int j) const { return V(column[j * elements]); }
  FASTRNN_CELL void save(int j, V v) {
    if (column != nullptr) column[j * elements] = v.v;
  }
  FASTRNN_CELL void keep(int j, V v) { column[j * elements] = v.v; }
  FASTRNN_CELL void set_h(V v) { state[0] = v.v; }
  FASTRNN_CELL void set_c(V v) { state[elements] = v.v; }
};

template <class Cell>
struct BackwardUnit : PlainActivations {
  static constexpr cells::Description kCell = Cell::describe(cells::Options{});
  int elements, units;
  V sum;                // what the phase's product gave; zero where there is no next step
  const float* staged;  // fetched for this step: columns, c, c before, h before, dy
  const float* peep;
  float* carry;   // gradients for the step before: of h, then of c
  float* dgates;  // by column

  FASTRNN_CELL V fetched(int j) const { return V(staged[j * elements]); }
  FASTRNN_CELL V acc() const { return sum; }
  FASTRNN_CELL V saved(int j) const { return fetched(j); }
  FASTRNN_CELL V c() const { return fetched(kCell.columns); }
  FASTRNN_CELL V c_prev() const { return fetched(kCell.columns + kCell.c_states); }
  FASTRNN_CELL V h_prev() const { return fetched(kCell.columns + 2 * kCell.c_states); }
  FASTRNN_CELL V h_operand() const { return h_prev(); }
  FASTRNN_CELL V dh() const { return sum + fetched(kCell.columns + 2 * kCell.c_states + 1) + V(carry[0]); }
  FASTRNN_CELL V dc() const { return carry_c(); }
  FASTRNN_CELL V carry_c() const { return V(carry[elements]); }
  FASTRNN_CELL V param(int j) const { return V(peep[j * units]); }
  FASTRNN_CELL void set_carry_h(V v) { carry[0] = v.v; }
  FASTRNN_CELL void add_carry_h(V v) { carry[0] += v.v; }
  FASTRNN_CELL void set_carry_c(V v) { carry[elements] = v.v; }
  FASTRNN_CELL V dgate(int j) const { return V(dgates[j * elements]); }
  FASTRNN_CELL void set_dgate(int j, V v) { dgates[j * elements] = v.v; }
};

}  // namespace fastrnn::cuda
