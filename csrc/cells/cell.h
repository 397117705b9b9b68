// The words in which a cell describes itself.
//
// A cell is two things. (1) A Description: which matrices multiply which vectors, in how many phases; tables, no code.
// (2) `forward<Phase>` and `backward<Phase>`: the equations of one hidden unit at one time step, written over an
// abstract `Unit`, whose value type may be a SIMD vector (then "one unit" is a vector of neighbouring units), a float,
// a double, or what a CUDA thread holds. Backends supply the Unit; nothing outside csrc/cells knows what a gate is.
//
// This directory includes nothing of the rest of the project.
//
// Shapes: T time steps, B batch, I input size, H hidden size, G gates. Parameters are PyTorch's: w_ih (G*H,I),
// w_hh (G*H,H), b_ih, b_hh (G*H). w_peep is (3,H) for diagonal and (3,H,H) for full peepholes, in the order i, f, o.
//
// A Unit offers, in the forward pass:
//   V      the value type                      acc(g)      what the phase's matrices gave gate g: W x + R h + b
//   h_prev(), c_prev(), c()                    input(g)    W x + b alone, for a gate whose acc starts from b_hh
//   param(j)  per-unit parameter row j         set_h(v), set_c(v)   the new state
//   keep(j,v), kept(j)   pass v from phase to phase, and on to the backward pass
//   save(j,v)            keep, but only for the backward pass: nothing is stored in inference
//   sigmoid(v), tanh(v)  in the accuracy that the caller chose
// and in the backward pass:
//   acc()     the phase's matrices applied to the gate gradients (see BackPhase)
//   dy()      gradient that reaches h' from outside   saved(j)  what the forward pass kept or saved
//   carry_h(), set_carry_h(v), carry_c(), set_carry_c(v)   gradients that flow to h, c without a matrix
//   tanh(v)          as in the forward pass
//   set_dgate(j,v)   gradient columns: j < G with respect to W x + b, the others as the cell defines them
#pragma once

#if defined(__CUDACC__)
#define FASTRNN_CELL __host__ __device__ __forceinline__
#else
#define FASTRNN_CELL inline __attribute__((always_inline))
#endif

namespace fastrnn::cells {

enum class Activation : signed char { tanh, relu, sigmoid, identity };
enum class Peephole : signed char { none, diagonal, full };

/// What a cell can be told at run time. Fields that do not concern a cell are ignored by it.
struct Options {
  Activation activation = Activation::tanh;
  Peephole peephole = Peephole::none;
  bool peephole_current = true;  // o sees c' (Graves 2013) rather than c
  bool coupled = false;          // f = 1 - i
};

/// A vector of length H that a recurrent matrix is applied to. `kept` is what the cell put there by
/// keep(kOperandColumn).
enum class Operand : signed char { h_prev, c_prev, c, kept };
enum class Matrix : signed char { w_hh, w_peep };

/// acc(g) += matrix[block[g]] * operand for each gate g of the phase; a block of -1 contributes nothing.
struct Source {
  Operand operand;
  Matrix matrix;
  signed char block[4];
};

/// One pass over all units. The gates first_gate .. first_gate+gates-1 are computed; a later phase may use the whole
/// vector that an earlier one produced.
struct Phase {
  int first_gate;
  int gates;
  int sources;
  Source source[2];
};

/// acc() += matrix[block]^T * dgate column, taken at the step that comes next in time (`next`) or at this one.
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
};

/// The gradient of per-unit parameter row j: the sum over time and batch of dgate column x operand.
struct DiagonalGradient {
  int column;
  Operand operand;
};

struct Description {
  int gates;            // G: blocks of H rows in w_ih and in w_hh
  bool has_c;           // a second state vector
  int columns;          // vectors of length H a step keeps for the backward pass, in the order of keep/save
  int dcolumns;         // gate-gradient columns; the first `gates` belong to W x + b
  int start_from_b_hh;  // the gate whose acc starts from b_hh, with W x + b_ih apart in input(); -1 for none
  int phases;
  Phase phase[2];
  int back_phases;
  BackPhase back[2];
  int params;  // rows of per-unit parameters (diagonal peepholes)
  DiagonalGradient param_gradient[3];
};

/// The column that Operand::kept reads.
constexpr int kOperandColumn = 3;

}  // namespace fastrnn::cells
