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
  const char* call_option = "";  // an argument of the call that only Tier::graph knows
  bool zero_output_for_mask = false;
  double forget_bias = 0;
};

/// What a cell's options are to the kernels. Of `parameters`, sizes and whether an array is there.
Problem make_problem(const CellOptions& cell, const Parameters<float>& parameters, Type type, Index batch, Index steps);
/// The mask whose elements core/base/random.h computes; what is kept is `inverted`, or 1.
RandomMask random_mask(const Masks& masks, bool inverted = true);
/// The random masks of a recurrence in training: zoneout's, and dropout of h and of the candidate.
void set_masks(const cells::Options& options, const DropoutOptions& dropout, Extension& extension);

/// Of h and y: P.
inline int width_of(const Problem& problem) { return problem.projection > 0 ? problem.projection : problem.hidden; }

/// The first thing of a problem that only Tier::graph knows, as the argument that brings it; empty if there is none.
std::string beyond_plain(const Problem& problem);

}  // namespace fastrnn::cuda
