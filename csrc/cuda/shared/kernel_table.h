// The table of kernels. Plain data: kernels_*.cu, which nvcc compiles, fill it, and host code reads it.
#pragma once

#include "cells/list.h"
#include "cuda/shared/types.h"

namespace fastrnn::cuda {

/// A kernel of recurrence.h. It takes ForwardParams (inference and training: gates null or not) or BackwardParams. Or,
/// for Tier::graph, one of step_kernels.h, which takes ForwardStep or BackwardStep.
struct KernelEntry {
  Tier tier;
  cells::Kind kind;
  Type type;
  Pass pass;  // Pass::inference (its kernel serves training, too) or Pass::backward
  const void* function;
  int threads;  // at most
};

/// The cells whose weights stay on the chip: each has a file of kernels, kernels/resident/kernels_NAME.cu.
#define FASTRNN_RESIDENT_CELLS(X) X(rnn) X(lstm) X(gru_after) X(gru_before) X(gru_output)

constexpr bool is_resident(cells::Kind kind) {
#define FASTRNN_IS(name) kind == cells::Kind::name ||
  return FASTRNN_RESIDENT_CELLS(FASTRNN_IS) false;
#undef FASTRNN_IS
}

struct KernelList {
  const KernelEntry* begin;
  const KernelEntry* end;
};
#define FASTRNN_ONE(name) +1
constexpr int kKernelLists = 1 FASTRNN_RESIDENT_CELLS(FASTRNN_ONE);  // one for each cell, and that of Tier::graph
#undef FASTRNN_ONE
/// One list for each file of kernels.
const KernelList* kernel_lists();

/// Null where a cell has no such kernel.
const KernelEntry* find_kernel(Tier tier, cells::Kind kind, Type type, Pass pass);

}  // namespace fastrnn::cuda
