// The words in which a cell describes itself.
//
// A cell is two things. (1) A Description: which matrices multiply which vectors, in how many phases; tables, no code.
// (2) `forward<Phase>` and `backward<Phase>`: the equations of one hidden unit at one time step, written over an
// abstract `Unit`, whose value type may be a SIMD vector (then "one unit" is a vector of neighbouring units), a float,
// a double, or what a CUDA thread holds. Backends supply the Unit; nothing outside csrc/cells knows what a gate is.
//
// This directory includes nothing of the rest of the project but its public types.
//
// Shapes: T time steps, B batch, I input size, H hidden size, G gates. Parameters are PyTorch's: w_ih (G*H,I),
// w_hh (G*H,H), b_ih, b_hh (G*H,). w_peep is (3,H) for diagonal and (3,H,H) for full peepholes, in the order i, f, o.
// With a projection w_hr (P,H), h and y have P elements, and w_hh is (G*H,P).
//
// A Unit offers, in the forward pass:
//   V      the value type                      acc(g)      what the phase's matrices gave gate g: W x + R h + b
//   h_prev(), c_prev(), c()                    input(g)    W x + b alone, for a gate whose acc starts from b_hh
//   param(j)  per-unit parameter row j         set_h(v), set_c(v)   the new state, zoneout included
//   keep(j,v), kept(j)   hand v on to later phases of the step, and to the backward pass
//   save(j,v)            keep, but only for the backward pass: nothing is stored in inference
//   gate(v), candidate(v), output(v)   the three activations: sigmoid, tanh and tanh, unless the options say otherwise
//   sigmoid(v), tanh(v), exp(v), softplus(v)   fixed functions
//   drop(v)              dropout of the candidate         clip_c(v), clip_h(v)   the clips of c and of a projected h
//   h_operand()          h_prev with its dropout, as it meets w_hh
// and in the backward pass:
//   acc()     the phase's matrices applied to the gate gradients (see BackPhase)
//   saved(j)  what the forward pass kept or saved      normalised(j)   that, as its normalisation gave it to the cell
//   dh(), dc()           gradients of the new states before zoneout: what dy, acc and the carries bring
//   carry_c(), set_carry_h(v), set_carry_c(v)   gradients that reach the h, c of the step before without passing a
//                        matrix; the share that zoneout lets through is added
//   add_carry_h(v)       adds to it, in a later phase
//   clip_c_slope(c, d), clip_h_slope(h, d)   d, or 0 where the clip had cut c or h
//   gate_slope(y), candidate_slope(y), output_slope(y)   derivatives of the activations where their value is y
//   mask_operand(v)      turns a gradient of h_operand() into one of h
//   set_dgate(j,v), dgate(j)   gradient columns: j < G with respect to W x + b, the others as the cell defines them
// c_prev(j), c(j), set_c(v,j), carry_c(j), set_carry_c(v,j) name the j-th of several cell states.
//
// What only options bring (other activations, clips, zoneout, dropout) is known to the Unit; a Unit for plain cells
// compiles it away (`Unit::kPlain`).
#pragma once

#include "fastrnn/types.h"

#if defined(__CUDACC__)
#define FASTRNN_CELL __host__ __device__ __forceinline__
#else
#define FASTRNN_CELL inline __attribute__((always_inline))
#endif

namespace fastrnn::cells {

using fastrnn::Activation;
using fastrnn::CellType;
using fastrnn::Peephole;
using fastrnn::Reset;

/// f(clamp(v, -clip, clip)). The backward pass sees values of f alone: where a value is not between `low` and `high`,
/// those at the two bounds, the clip was active and the derivative is zero.
struct ActivationSpec {
  Activation kind = Activation::tanh;
  double alpha = 0, beta = 0;
  double clip = 0;  // 0: no clip
  double low = 0, high = 0;
};

/// What a cell can be told at run time. Fields that do not concern a cell are ignored by it; 0 is no clip, no zoneout.
struct Options {
  ActivationSpec gate = {Activation::sigmoid};
  ActivationSpec candidate;  // and the only activation of an Elman network
  ActivationSpec output;
  bool fast = false;
  Peephole peephole = Peephole::none;
  bool peephole_current = true;  // o sees c' (Graves 2013) rather than c
  bool coupled = false;          // f = 1 - i
  Reset reset = Reset::after;
  bool projected = false;
  bool layer_norm = false;  // of the gates
  bool cell_norm = false;   // of c', too
  bool exponential_forget = false;
  double cell_clip = 0, projection_clip = 0;
  double zoneout_h = 0, zoneout_c = 0;
};

/// A vector that a recurrent matrix, or a parameter of each unit, multiplies. `kept` is what the cell stored by
/// keep(kOperandColumn, v). c_new is what it stored in the column `c_new` of its description, c before zoneout; no
/// matrix multiplies that one.
enum class Operand : signed char { h_prev, c_prev, c, kept, c_new };
constexpr int kMatrixOperands = 4;
enum class Matrix : signed char { w_hh, w_peep, w_hr };

/// acc(g) += matrix[block[g]] * operand for each gate g of the phase; a block of -1 contributes nothing.
struct Source {
  Operand operand;
  Matrix matrix;
  signed char block[4];
};

/// What layer normalisation normalises together: one of two groups of gates, side by side, or c'. Bits, to be combined.
enum Norm : int { kNoNorm = 0, kFirstGates = 1, kLastGates = 2, kCellNorm = 4 };
struct NormGroup {
  int first_gate, gates;
};

/// One sweep over all units, which computes the gates first_gate .. first_gate+gates-1. It may use the whole vector
/// that an earlier phase produced: that is why a cell has more than one.
struct Phase {
  int first_gate;
  int gates;
  int sources;
  Source source[2];
  bool input = true;        // acc starts from W x + b
  bool over_state = false;  // the units are those of h, not of c
  int from = -1;            // without input: acc starts from this kept column
  int norm = kNoNorm;       // what is normalised before the cell sees it
};

/// acc() += matrix[block]^T * dgate column: the column of the next step in time (`next`), or of this step.
struct BackSource {
  int column;
  bool next;
  Matrix matrix;
  int block;
};

/// What acc() of a backward phase is a gradient with respect to. At the sequence's start the h and c gradients are
/// the gradients of h0 and c0.
enum class Target : signed char { h, c, kept };

struct BackPhase {
  Target target;
  int sources;
  BackSource source[4];
  bool over_state = false;
  int norm = kNoNorm;  // normalisations to pass back through once all units are done
};

/// The gradient of per-unit parameter row j: the sum over time and batch of dgate column x operand.
struct DiagonalGradient {
  int column;
  Operand operand;
};

struct Description {
  int gates;            // G: w_ih and w_hh have a block of H rows for each
  int c_states;         // state vectors beside h
  int columns;          // vectors of length H a step keeps for the backward pass, in the order of keep/save
  int dcolumns;         // gate-gradient columns; the first `gates` belong to W x + b
  int start_from_b_hh;  // the gate whose acc starts from b_hh, with W x + b_ih apart in input(); -1 for none
  int phases;
  Phase phase[3];
  int back_phases;
  BackPhase back[3];
  bool has_candidate;      // there is a candidate, which candidate_dropout acts on
  bool vector_recurrence;  // w_hh is (H,), the first per-unit parameter, and no matrix
  int forget_gate;         // the gate that forget_bias is added to; -1 for none
  int params;              // rows of per-unit parameters (diagonal peepholes)
  DiagonalGradient param_gradient[3];
  int c_new;                // the column that Operand::c_new reads
  int recurrent_column[4];  // for each gate, the dgate column with the gradient of R h + b_hh
  // Layer normalisation. The dgate columns behind the cell's own hold gradients that have passed back through the
  // norms.
  NormGroup group[2];
  bool norm_of_sum;                  // W x + R h is normalised, rather than each of them
  int recurrent_norm_column;         // the first of `gates` columns with gradients of R h
  int input_column;                  // the first of `gates` columns with gradients of W x
  int cell_norm_from, cell_norm_to;  // columns with the gradients of LN(c'), and of c' through it
};

/// A letter for each gate, in the order of their blocks of rows, and for each state beside h.
struct Names {
  std::string_view gates, states;
};

/// The column that Operand::kept reads.
constexpr int kOperandColumn = 3;

/// The operand that a block of a recurrent matrix multiplies in the forward pass.
FASTRNN_CELL constexpr Operand operand_of(const Description& cell, Matrix matrix, int block) {
  for (int p = 0; p < cell.phases; ++p)
    for (int s = 0; s < cell.phase[p].sources; ++s)
      for (int g = 0; g < cell.phase[p].gates; ++g)
        if (cell.phase[p].source[s].matrix == matrix && cell.phase[p].source[s].block[g] == block)
          return cell.phase[p].source[s].operand;
  return Operand::h_prev;
}

/// What all descriptions begin with: a column and a gradient column for each gate.
constexpr Description begin_description(int gates) {
  Description d{};
  d.gates = d.columns = d.dcolumns = gates;
  d.start_from_b_hh = d.forget_gate = -1;
  for (int g = 0; g < gates; ++g) d.recurrent_column[g] = g;
  d.group[0] = {0, gates};
  return d;
}

/// Adds layer normalisation: R^T then multiplies gradients that have passed back through the norms.
constexpr Description with_norm(Description d, bool of_sum) {
  const int first = d.dcolumns;
  d.norm_of_sum = of_sum;
  d.recurrent_norm_column = first;
  d.input_column = of_sum ? first : first + d.gates;
  d.dcolumns = d.input_column + d.gates;
  for (int p = 0; p < d.back_phases; ++p)
    for (int s = 0; s < d.back[p].sources; ++s) {
      BackSource& source = d.back[p].source[s];
      if (source.matrix == Matrix::w_hh) source.column = first + source.block;
    }
  return d;
}

}  // namespace fastrnn::cells
