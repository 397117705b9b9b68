// Which steps a row of the batch computes, at which times, and where a step begins anew: one statement for the CPU and
// the GPU, which count in different integers.
//
// A step is counted in the order of computation; a time is a place in x and y. They are the same unless the row runs
// backwards or a mask leaves some times out.
#pragma once

#include "cells/cell.h"

namespace fastrnn {

template <class Int>
struct StepTimes {
  Int steps, batch;            // T, B
  const Int* length;           // (B) how many steps a row has, in 0..T; null: T
  bool reverse;                // row b runs through times length[b]-1 .. 0
  const Int* times;            // (B,T) the time of each step of a row, where a mask leaves some out; null: in order
  const unsigned char* reset;  // (T,B) not zero where a new sequence begins; null: nowhere
  Int truncate;                // no gradient flows to a step before one whose number this divides; 0: it does

  FASTRNN_CELL Int length_of(Index b) const { return length != nullptr ? length[b] : steps; }
  FASTRNN_CELL Int time(Index b, Int step) const {
    if (times != nullptr) return times[b * steps + step];
    return reverse ? length_of(b) - 1 - step : step;
  }
  /// Whether a step starts from states of zero. A row that runs backwards meets the boundary from its other side: the
  /// sequence that begins at time t ends its backward run there, so the step at time t - 1 starts anew.
  FASTRNN_CELL bool begins(Index b, Int step) const {
    if (reset == nullptr || step >= length_of(b)) return false;
    const Int t = time(b, step) + (reverse ? 1 : 0);
    return t < length_of(b) && reset[Index(t) * batch + b] != 0;
  }
  /// Whether no gradient flows from a step to the one before it.
  FASTRNN_CELL bool cuts(Index b, Int step) const {
    return begins(b, step) || (truncate > 0 && step > 0 && step % truncate == 0);
  }
};

}  // namespace fastrnn
