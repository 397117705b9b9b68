// What the weights' gradients need beside products: the operands of the recurrent matrices by time, and sums over all
// rows (t,b). Plain C++; the kernels are in rows_kernel.h.
#pragma once

#include "cuda/params.h"
#include "cuda/runtime.h"

namespace fastrnn::cuda {

constexpr int kRowThreads = 256;
constexpr int kRowBlocks = 1024;  // at most; threads go round

/// to (T,B,width), contiguous, zeroed before: for each step of a row, at its time, what `from` has at this time or at
/// that of the step before. Where a row has no step, zeros stay, whatever `from` has there.
struct GatherParams {
  LayerParams layer;
  const float* from;
  Index stride;  // of its rows
  bool before;
  const float* initial;  // (B,width): before the first step; null: zeros
  float* to;
  int width;
};

/// to (width) = sum over rows of left, or of left * right, element by element; `also`, if not null, is a second copy.
struct SumParams {
  int rows, width;
  const float* left;
  Index left_stride;
  const float* right;  // or null
  Index right_stride;
  float *to, *also;
};
constexpr int kSumColumns = 32;  // of a block: a warp reads a line

const void* gather_kernel();
const void* sum_kernel();

inline void gather_rows(Runtime& runtime, GatherParams params) {
  const Index count = Index(params.layer.steps) * params.layer.batch * params.width;
  if (count == 0) return;
  const Index blocks = (count + kRowThreads - 1) / kRowThreads;
  LaunchShape shape{int(blocks < kRowBlocks ? blocks : kRowBlocks), kRowThreads};
  runtime.launch(gather_kernel(), shape, &params);
}

inline void sum_rows(Runtime& runtime, SumParams params) {
  if (params.width == 0 || (params.to == nullptr && params.also == nullptr)) return;
  LaunchShape shape{(params.width + kSumColumns - 1) / kSumColumns, kRowThreads};
  shape.shared = kRowThreads * sizeof(float);
  runtime.launch(sum_kernel(), shape, &params);
}

}  // namespace fastrnn::cuda
