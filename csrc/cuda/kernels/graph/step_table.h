// The table of cell kernels of Tier::graph. Only the factors of products are rounded to the type of the weights, and
// those are kernels of their own: one cell kernel serves every type.
#pragma once

#include "cuda/kernels/graph/step_kernels.h"
#include "cuda/shared/kernel_table.h"

#define FASTRNN_STEPS(kind, Cell, type)                                                                                  \
  {Tier::graph, cells::Kind::kind, type, Pass::inference, reinterpret_cast<const void*>(&forward_step<cells::Cell>),     \
   kStepThreads},                                                                                                        \
      {Tier::graph, cells::Kind::kind, type, Pass::backward, reinterpret_cast<const void*>(&backward_step<cells::Cell>), \
       kStepThreads},
#define FASTRNN_STEPS_OF_TYPES(kind, Cell)  \
  FASTRNN_STEPS(kind, Cell, Type::float32)  \
  FASTRNN_STEPS(kind, Cell, Type::tf32)     \
  FASTRNN_STEPS(kind, Cell, Type::bfloat16) \
  FASTRNN_STEPS(kind, Cell, Type::float16)
