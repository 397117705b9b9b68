// Every recurrence kernel of one cell: four types of weights, three tiers, two directions.
#pragma once

#include "cuda/kernels/resident/recurrence.h"
#include "cuda/shared/kernel_table.h"

#define FASTRNN_PASSES(kind, Cell, Format, tier)                                       \
  {tier,                                                                               \
   cells::Kind::kind,                                                                  \
   Format::kType,                                                                      \
   Pass::inference,                                                                    \
   reinterpret_cast<const void*>(&forward_recurrence<cells::Cell, Format, tier>),      \
   kThreads},                                                                          \
      {tier,                                                                           \
       cells::Kind::kind,                                                              \
       Format::kType,                                                                  \
       Pass::backward,                                                                 \
       reinterpret_cast<const void*>(&backward_recurrence<cells::Cell, Format, tier>), \
       kThreads},
#define FASTRNN_TIERS(kind, Cell, Format)           \
  FASTRNN_PASSES(kind, Cell, Format, Tier::block)   \
  FASTRNN_PASSES(kind, Cell, Format, Tier::cluster) \
  FASTRNN_PASSES(kind, Cell, Format, Tier::grid)

#define FASTRNN_KERNELS(kind, Cell)                                                                                   \
  namespace fastrnn::cuda {                                                                                           \
  static const KernelEntry kind##_table[] = {FASTRNN_TIERS(kind, Cell, Float32) FASTRNN_TIERS(                        \
      kind, Cell, Tf32Tensor) FASTRNN_TIERS(kind, Cell, Bfloat16Tensor) FASTRNN_TIERS(kind, Cell, Float16Tensor)};    \
  KernelList kind##_kernels() { return {kind##_table, kind##_table + sizeof(kind##_table) / sizeof(*kind##_table)}; } \
  }
