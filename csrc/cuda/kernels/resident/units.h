// The Unit of a recurrence kernel: what a cell sees of one row and one hidden unit (csrc/cells/cell.h says what each
// name means).
//
// One thread has a pair of row and unit for the whole sequence, so that what it keeps in shared memory from step to
// step needs no barrier.
#pragma once

#include "cuda/kernels/resident/formats.h"
#include "cuda/kernels/value.h"

namespace fastrnn::cuda {

/// The sums of `Count` rows of the slab that follow each other, for one row of the batch: those of its chunks in their
/// order, of which four are read together.
template <int Count>
FASTRNN_DEVICE void add_chunks(const float* first, int chunks, int chunk_stride, float (&sums)[Count]) {
  FASTRNN_UNROLL
  for (int g = 0; g < Count; ++g) sums[g] = 0;
  int i = 0;
  do {
    float parts[4][Count];
    FASTRNN_UNROLL
    for (int j = 0; j < 4; ++j) {
      const bool exists = i + j < chunks;
      const float* from = first + (i + j) * chunk_stride;
      if constexpr (Count == 4) {
        const Four<float> four = exists ? *reinterpret_cast<const Four<float>*>(from) : Four<float>{};
        FASTRNN_UNROLL
        for (int g = 0; g < 4; ++g) parts[j][g] = four.v[g];
      } else {
        FASTRNN_UNROLL
        for (int g = 0; g < Count; ++g) parts[j][g] = exists ? from[g] : 0.0f;
      }
    }
    FASTRNN_UNROLL
    for (int j = 0; j < 4; ++j) FASTRNN_UNROLL
    for (int g = 0; g < Count; ++g) sums[g] += parts[j][g];
    i += 4;
  } while (i < chunks);
}

/// A record has what is fetched of W x, by gate, then h, then c, then what phases keep for each other and for the
/// backward pass.
template <class Cell>
struct ForwardUnit : PlainActivations {
  static constexpr cells::Description kCell = Cell::describe(cells::Options{});
  static constexpr int kH = forward_staged(kCell), kC = kH + 1, kKept = kC + kCell.c_states;
  static constexpr int kPeepholes = kCell.gates + 1;  // behind the biases
  int first_gate;
  const float* sums;  // what the phase's product gave, by its gates
  float* record;
  const float* parameters;  // biases by gate, and behind them that of the gate which starts from b_hh; peepholes
  bool keeps;               // whether there is room for what is kept

  FASTRNN_CELL V wx(int gate) const { return V(record[gate] + parameters[gate]); }
  FASTRNN_CELL V acc(int g) const {
    const int gate = first_gate + g;
    const V start = gate == kCell.start_from_b_hh ? V(parameters[kCell.gates]) : wx(gate);
    return start + V(sums[g]);
  }
  FASTRNN_CELL V input(int gate) const { return wx(gate); }
  FASTRNN_CELL V param(int j) const { return V(parameters[kPeepholes + j]); }
  FASTRNN_CELL V h_prev() const { return V(record[kH]); }
  FASTRNN_CELL V h_operand() const { return h_prev(); }
  FASTRNN_CELL V c_prev() const { return V(record[kC]); }
  FASTRNN_CELL V kept(int j) const { return V(record[kKept + j]); }
  FASTRNN_CELL void save(int j, V v) {
    if (keeps) record[kKept + j] = v.v;
  }
  FASTRNN_CELL void keep(int j, V v) { record[kKept + j] = v.v; }
  FASTRNN_CELL void set_h(V v) { record[kH] = v.v; }
  FASTRNN_CELL void set_c(V v) { record[kC] = v.v; }
};

/// A record has what is fetched (columns, c, c before, h before, dy), then the carries of h and c, then the gate
/// gradients by column.
template <class Cell>
struct BackwardUnit : PlainActivations {
  static constexpr cells::Description kCell = Cell::describe(cells::Options{});
  static constexpr int kCarryH = backward_staged(kCell), kCarryC = kCarryH + 1, kGates = kCarryC + kCell.c_states;
  V sum;  // what the phase's product gave; zero where there is no next step
  float* record;
  const float* peep;

  FASTRNN_CELL V fetched(int j) const { return V(record[j]); }
  FASTRNN_CELL V acc() const { return sum; }
  FASTRNN_CELL V saved(int j) const { return fetched(j); }
  FASTRNN_CELL V c() const { return fetched(kCell.columns); }
  FASTRNN_CELL V c_prev() const { return fetched(kCell.columns + kCell.c_states); }
  FASTRNN_CELL V h_prev() const { return fetched(kCell.columns + 2 * kCell.c_states); }
  FASTRNN_CELL V h_operand() const { return h_prev(); }
  FASTRNN_CELL V dh() const { return sum + fetched(kCell.columns + 2 * kCell.c_states + 1) + V(record[kCarryH]); }
  FASTRNN_CELL V dc() const { return carry_c(); }
  FASTRNN_CELL V carry_c() const { return V(record[kCarryC]); }
  FASTRNN_CELL V param(int j) const { return V(peep[j]); }
  FASTRNN_CELL void set_carry_h(V v) { record[kCarryH] = v.v; }
  FASTRNN_CELL void add_carry_h(V v) { record[kCarryH] += v.v; }
  FASTRNN_CELL void set_carry_c(V v) { record[kCarryC] = v.v; }
  FASTRNN_CELL V dgate(int j) const { return V(record[kGates + j]); }
  FASTRNN_CELL void set_dgate(int j, V v) { record[kGates + j] = v.v; }
};

}  // namespace fastrnn::cuda
