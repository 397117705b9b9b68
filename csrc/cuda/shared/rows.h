// Operations over all rows (t,b) that a pass needs beside the recurrence and the products: gathering the operands of
// the recurrent matrices, sums, and what is done between the layers of a stack. Plain C++; the kernels are in
// rows_kernel.h.
#pragma once

#include "cuda/shared/params.h"
#include "cuda/shared/runtime.h"

namespace fastrnn::cuda {

constexpr int kRowThreads = 256;
constexpr int kRowBlocks = 1024;  // blocks of a launch at most; a thread then takes several elements

/// to (T,B,width), contiguous, zeroed before: for each step of a row, at its time, what `from` has at this time or at
/// that of the step before. Where a row has no step, zeros stay, whatever `from` has there.
struct GatherParams {
  LayerParams layer;
  const float* from;
  Index stride;  // elements between its rows
  bool before;
  const float* initial;  // (B,width): before the first step; null: zeros
  float* to;
  int width;
  RandomMask mask;  // what is gathered is multiplied by it: one mask, that of time 0
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
constexpr int kSumColumns = 32;  // columns that a block sums: a warp reads a whole cache line

/// to = `a` with `b`, element by element, times a mask if there is one. Rows may lie anywhere; `to` may be `a` or `b`.
struct CombineParams {
  enum class How : int { copy, half, sum, mean, product };  // a, a/2, a+b, (a+b)/2, a*b
  How how;
  int steps, batch, width;
  Rows<const float> a, b;
  Rows<float> to;
  RandomMask mask;
  bool same_mask;  // the same at all steps: that of time 0
};

/// to (T,B,P), contiguous = the gradients of the outputs that steps computed, from those of all outputs: where a mask
/// leaves steps out, these repeat the one before, and add their gradients to its.
struct FoldParams {
  LayerParams layer;
  Rows<const float> from;
  float* to;
};

/// Between packed sequences, whose steps have fewer and fewer rows, and rows (t,b): `spread` to these, where rows that
/// are not there become zeros, or back.
struct PackedParams {
  int steps, batch, width;
  bool spread;
  const int* before;  // (T+1): rows of all steps before this one
  float* packed;
  Index packed_row;
  Rows<float> rows;
};

const void* gather_kernel();
const void* sum_kernel();
const void* combine_kernel();
const void* fold_kernel();
const void* packed_kernel();

/// A thread for each of `count` elements, or fewer that go round.
template <class Params>
void launch_rows(Runtime& runtime, const void* kernel, Index count, Params& params) {
  if (count == 0) return;
  const Index blocks = (count + kRowThreads - 1) / kRowThreads;
  const LaunchShape shape{int(blocks < kRowBlocks ? blocks : kRowBlocks), kRowThreads};
  runtime.launch(kernel, shape, &params);
}

inline void gather_rows(Runtime& runtime, GatherParams params) {
  launch_rows(runtime, gather_kernel(), Index(params.layer.steps) * params.layer.batch * params.width, params);
}
inline void combine_rows(Runtime& runtime, CombineParams params) {
  launch_rows(runtime, combine_kernel(), Index(params.steps) * params.batch * params.width, params);
}
inline void copy_packed(Runtime& runtime, PackedParams params) {
  launch_rows(runtime, packed_kernel(), Index(params.steps) * params.batch * params.width, params);
}
inline void fold_rows(Runtime& runtime, FoldParams params) {
  launch_rows(runtime, fold_kernel(), Index(params.layer.batch) * params.layer.width(), params);
}

inline void sum_rows(Runtime& runtime, SumParams params) {
  if (params.width == 0 || (params.to == nullptr && params.also == nullptr)) return;
  LaunchShape shape{(params.width + kSumColumns - 1) / kSumColumns, kRowThreads};
  shape.shared = kRowThreads * sizeof(float);
  runtime.launch(sum_kernel(), shape, &params);
}

}  // namespace fastrnn::cuda
