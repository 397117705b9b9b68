// The kernels that have the fewest registers left, in float32 and of two phases: what tests/cuda/test_budget.py
// assembles for the targets where they are tightest.
#include "cuda/kernels/resident/recurrence.h"

namespace fastrnn::cuda {

template __global__ void forward_recurrence<cells::GruBefore, Float32, Tier::cluster>(FASTRNN_CONSTANT ForwardParams);
template __global__ void forward_recurrence<cells::GruBefore, Float32, Tier::grid>(FASTRNN_CONSTANT ForwardParams);
template __global__ void backward_recurrence<cells::GruBefore, Float32, Tier::cluster>(FASTRNN_CONSTANT BackwardParams);

}  // namespace fastrnn::cuda
