// Which kernels there are. Plain data: nvcc compiles what fills it (kernels_*.cu), host code reads it.
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
  Pass pass;  // inference, which also trains, or backward
  const void* function;
  int threads;  // at most
};

struct KernelList {
  const KernelEntry* begin;
  const KernelEntry* end;
};
constexpr int kKernelLists = 6;
/// One list for each file of kernels.
const KernelList* kernel_lists();

/// Null where a cell has no such kernel.
const KernelEntry* find_kernel(Tier tier, cells::Kind kind, Type type, Pass pass);

}  // namespace fastrnn::cuda
