// The arguments of the kernels of Tier::graph. Plain data, for host and device.
//
// This tier launches a product and a cell kernel for each phase of each step. It supports every cell and option; what
// the other tiers keep on the chip is in global memory here. h, c and their gradients lie at the same place at every
// step, and so does the number of the step: launches do not differ from step to step, and one CUDA graph of a few steps
// is launched again and again. A row that has no such step is left alone.
#pragma once

#include "cuda/shared/params.h"

namespace fastrnn::cuda {

constexpr int kStepThreads = 256;

/// Vectors of H that a step of Tier::graph saves for the backward pass: the cell's own, and with layer normalisation
/// R h (or W x + R h) and W x, normalised, `gates` each, and c'.
FASTRNN_CELL constexpr int saved_columns(const cells::Description& cell, const cells::Options& options) {
  return cell.columns + (options.layer_norm ? 2 * cell.gates + 1 : 0);
}

/// The number of a step, counted from the first that is computed. A kernel reads it in one place and writes it for the
/// next kernel to another, so that no block of the kernel can read what another block has just written.
struct Clock {
  const int* now;
  int* next;
  bool ticks;  // the kernel is the last one of its step
};

/// Where a step's vectors are between its kernels. B rows each.
struct StepArrays {
  Clock clock;
  int phase;
  int columns;             // saved_columns()
  int dcolumns, c_states;  // those of the cell's description
  const float* sums;       // what the phase's products gave, (B,gates,H); backward (B,H); null: there is no product
};

struct ForwardStep {
  ForwardParams layer;  // h_n and c_n have the states from step to step
  StepArrays at;
  int from;            // the kept column that acc starts from, or -1
  bool input_in_sums;  // W x is in `sums`: they were normalised together
  float* kept;         // (B,columns,H): what earlier phases of the step have stored for later ones
  float* c;            // (c_states,B,H): c' until the step is over
  float* h_operand;    // (B,P): h as it meets w_hh, where that is not h itself; else null
};

struct BackwardStep {
  BackwardParams layer;  // dh0 and dc0 have the carries from step to step
  StepArrays at;
  float* dgates;  // (B,dcolumns,H): of the step, which the products of the step before it need
  int hat_of_c;   // the saved column of c', normalised, where it is
};

/// Where a mask leaves steps out: their y, which repeats the step before or is zero.
struct ForwardEnd {
  ForwardParams layer;
  bool zeros;
};

/// Before the first step, and, backward, after the last one: dh0 and dc0 take in what the matrices bring.
struct BackwardEnd {
  BackwardParams layer;
  const float *h_sums, *c_sums;  // (B,H), or null
};

// The kernels; their arguments are, in this order, a ForwardStep, ForwardEnd, BackwardStep and BackwardEnd. There is a
// thread for each row and unit.
const void* begin_forward_kernel();
const void* end_forward_kernel();
const void* begin_backward_kernel();
const void* end_backward_kernel();

}  // namespace fastrnn::cuda
