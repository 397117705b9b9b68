// A layer as the kernels and the planner see it: the cell, its options and its sizes.
#pragma once

#include <string>

#include "core/base/random.h"
#include "cuda/shared/params.h"
#include "fastrnn/fastrnn.hpp"

namespace fastrnn::cuda {

struct Problem {
  cells::Kind kind = cells::Kind::lstm;
  cells::Options options;
  Type type = Type::float32;
  Pass pass = Pass::inference;
  int hidden = 0, batch = 1, steps = 1;
  int projection = 0;            // P, with w_hr
  const char* call_option = "";  // an argument of the call that only Tier::graph supports
  bool zero_output_for_mask = false;
  double forget_bias = 0;
};

/// A layer's options and sizes for the kernels. Of `parameters` only sizes are read, and which arrays are not null.
Problem make_problem(const CellOptions& cell, const Parameters<float>& parameters, Type type, Index batch, Index steps);
/// A mask of core/base/random.h for the device; a kept element is 1 / (1 - rate) with `inverted`, else 1.
RandomMask random_mask(const Masks& masks, bool inverted = true);
/// The random masks of a recurrence in training: zoneout's, and dropout of h and of the candidate.
void set_masks(const cells::Options& options, const DropoutOptions& dropout, Extension& extension);

/// Of h and y: P.
inline int width_of(const Problem& problem) { return problem.projection > 0 ? problem.projection : problem.hidden; }

/// The same for problems that differ in nothing that a plan, or what a call launches, depends on.
std::string key_of(const Problem& problem);

/// The name of an argument that only Tier::graph supports and this problem uses; empty if there is none.
std::string beyond_plain(const Problem& problem);

}  // namespace fastrnn::cuda
