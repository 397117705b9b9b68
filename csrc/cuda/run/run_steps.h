// Tier::graph on the host: the products and the kernels of every step, in their order.
#pragma once

#include "cuda/plan/plan.h"
#include "cuda/shared/params.h"
#include "cuda/shared/runtime.h"

namespace fastrnn::cuda {

/// Enqueues all steps of a pass; the caller waits.
void run_steps(Runtime& runtime, const Problem& problem, const ForwardParams& params);
void run_steps(Runtime& runtime, const Problem& problem, const BackwardParams& params);

}  // namespace fastrnn::cuda
