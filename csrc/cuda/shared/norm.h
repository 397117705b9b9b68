// Layer normalisation of rows in global memory, for Tier::graph; csrc/cpu/norm-inl.h has the equations. Plain data.
#pragma once

#include "core/backend/kernels.h"
#include "cuda/shared/steps.h"

namespace fastrnn::cuda {

constexpr int kNormThreads = 128;

/// A vector of `count` elements in each row becomes hat * gain + bias. A block has a row.
struct NormStep {
  LayerParams layer;
  const int* now;     // the clock of the step, whose B rows they are; null: rows (t,b), as those of W x
  const float* from;  // rows `from_stride` apart
  Index from_stride;
  float* to;
  Index to_stride;
  const float* input;  // (T,B,count): added before; or null
  const float* gain;   // (count)
  const float* bias;   // (count), or null
  int count;
  // In training: hat and 1 / standard deviation go where the backward pass finds them.
  int columns, hat_column;
  Statistic statistic;
};

/// From d, the gradient of hat * gain, to that of the vector. A block has a row of the step.
struct NormBackStep {
  BackwardParams layer;
  const int* now;  // the clock of the step: the last one first
  bool last;       // the phases of the step are over: what is left in `dgates` is for the step before
  int gates;       // columns of H side by side
  int d[4];        // the columns of dgates that are d
  int to;          // the first of the columns that are written
  float* dgates;   // (B,dcolumns,H): what the products meet
  int columns, dcolumns;
  const float* gain;  // (gates,H)
  int hat_column;
  Statistic statistic;
};

/// The kernels; their arguments are a NormStep and a NormBackStep.
const void* normalise_kernel();
const void* normalise_back_kernel();

}  // namespace fastrnn::cuda
