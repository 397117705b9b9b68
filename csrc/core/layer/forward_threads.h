// The forward pass on several threads, in one of three ways, all with the bits of one thread:
//
//   rows in place     a slice is some rows of the batch, from their first step to their last; no barrier at all
//   rows, copied      likewise, on copies, so that a worker that the system has stopped can be overtaken: for calls so
//                     short that waiting for it would show
//   units             a slice is some panels of one step, for few rows; one barrier a step, and chunk by chunk a job
#pragma once

#include "core/layer/forward_run.h"

namespace fastrnn {

/// What of a call decides how threads share it.
struct SharedWork {
  int gates, phases;
  Index inputs, hidden;
  Index rows;        // rows that have any steps
  double row_steps;  // steps of all rows together
  bool simple;       // without masks, boundaries and checkpoints
  bool training;
  int threads;  // threads that may work
};

enum class Split { none, units, rows_copied, rows_in_place };

/// The split, and why it is not one of those above it.
struct Sharing {
  Split split;
  int threads;
  const char* reason;
};

Sharing share(const SharedWork& work);

/// Runs the call and returns true, or returns false where one thread is as good.
template <class T>
bool run_on_threads(const std::shared_ptr<const PackedData<T>>& packed, const ForwardArguments<T>& arguments,
                    const Layer<T>& layer, const ForwardPlan<T>& plan);

}  // namespace fastrnn
