// Layer normalisation of rows in global memory, for Tier::graph; csrc/cpu/norm-inl.h has the equations. Plain data.
#pragma once

#include "cuda/steps.h"

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
};

/// Takes NormStep.
const void* normalise_kernel();

}  // namespace fastrnn::cuda
