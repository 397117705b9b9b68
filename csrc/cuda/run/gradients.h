// From the gate gradients of all steps to the gradients of x and of the parameters.
#pragma once

#include "cuda/run/run.h"

namespace fastrnn::cuda {

/// Enqueues the products and sums; `params` is what the recurrence was given, dgates filled.
///
///   dW = dgates^T x    dR = dgates^T operand    db = sums of columns    dx = dgates W
///
/// Which columns meet which operand is told by the cell's Description, as for the CPU (csrc/cpu/outer-inl.h). A
/// product's elements are rounded to the type of the weights, its sums are float32; db and the gradients of diagonal
/// peepholes are float32 throughout.
void multiply_gradients(Runtime& runtime, const BackwardJob& job, const BackwardParams& params);

}  // namespace fastrnn::cuda
