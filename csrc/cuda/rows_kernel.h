// Operands by time, and sums over rows: rows.h says what they are. Every sum has one order.
#pragma once

#include "cuda/device.h"
#include "cuda/rows.h"

namespace fastrnn::cuda {

FASTRNN_KERNEL(kRowThreads)
gather_operand(FASTRNN_CONSTANT GatherParams p) {
  const Index count = Index(p.layer.steps) * p.layer.batch * p.width;
  for (Index i = Index(block_index()) * block_threads() + thread_index(); i < count;
       i += Index(grid_blocks()) * block_threads()) {
    const int column = int(i % p.width), b = int(i / p.width % p.layer.batch);
    const int step = int(i / p.width / p.layer.batch);
    if (step >= p.layer.length_of(b)) continue;
    const auto row = [&](int s) { return Index(p.layer.time(b, s)) * p.layer.batch + b; };
    float value = 0;
    if (p.before && p.layer.begins(b, step))
      value = 0;
    else if (!p.before || step > 0)
      value = p.from[row(p.before ? step - 1 : step) * p.stride + column];
    else if (p.initial != nullptr)
      value = p.initial[Index(b) * p.width + column];
    p.to[row(step) * p.width + column] = value;
  }
}

/// A warp takes every eighth row of the block's columns, a lane one of them; the warps' sums are added in their order.
FASTRNN_KERNEL(kRowThreads)
sum_columns(FASTRNN_CONSTANT SumParams p) {
  constexpr int kWarps = kRowThreads / kWarp;
  float* sums = reinterpret_cast<float*>(shared_memory());
  const int column = block_index() * kSumColumns + lane_index(), warp = thread_index() / kWarp;
  float sum = 0;
  if (column < p.width)
    for (int row = warp; row < p.rows; row += kWarps) {
      const float left = p.left[row * p.left_stride + column];
      sum = p.right != nullptr ? fmaf(left, p.right[row * p.right_stride + column], sum) : sum + left;
    }
  sums[thread_index()] = sum;
  sync_block();
  if (warp > 0 || column >= p.width) return;
  float total = 0;
  for (int w = 0; w < kWarps; ++w) total += sums[w * kWarp + lane_index()];
  if (p.to != nullptr) p.to[column] = total;
  if (p.also != nullptr) p.also[column] = total;
}

}  // namespace fastrnn::cuda
