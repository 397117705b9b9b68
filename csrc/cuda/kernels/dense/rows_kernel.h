// Kernels over rows (t,b): gathering operands, combining and copying rows, sums over rows. rows.h has their arguments.
// Every sum runs in one fixed order.
#pragma once

#include "cuda/kernels/primitives.h"
#include "cuda/shared/rows.h"

namespace fastrnn::cuda {

/// Calls work(i) for this thread's share of `count` elements.
template <class Work>
FASTRNN_DEVICE void each_of(Index count, const Work& work) {
  for (Index i = Index(block_index()) * block_threads() + thread_index(); i < count;
       i += Index(grid_blocks()) * block_threads())
    work(i);
}

FASTRNN_KERNEL(kRowThreads)
gather_operand(FASTRNN_CONSTANT GatherParams p) {
  each_of(Index(p.layer.steps) * p.layer.batch * p.width, [&](Index i) {
    const int column = int(i % p.width), b = int(i / p.width % p.layer.batch);
    const int step = int(i / p.width / p.layer.batch);
    if (step >= p.layer.length_of(b)) return;
    const auto row = [&](int s) { return Index(p.layer.time(b, s)) * p.layer.batch + b; };
    float value = 0;
    if (p.before && p.layer.begins(b, step))
      value = 0;
    else if (!p.before || step > 0)
      value = p.from[row(p.before ? step - 1 : step) * p.stride + column];
    else if (p.initial != nullptr)
      value = p.initial[Index(b) * p.width + column];
    if (p.mask.threshold > 0) value *= p.mask.at(column, b, 0);
    p.to[row(step) * p.width + column] = value;
  });
}

FASTRNN_KERNEL(kRowThreads)
combine_elements(FASTRNN_CONSTANT CombineParams p) {
  using How = CombineParams::How;
  each_of(Index(p.steps) * p.batch * p.width, [&](Index i) {
    const int column = int(i % p.width), b = int(i / p.width % p.batch), t = int(i / p.width / p.batch);
    float value = p.a.at(t, b)[column];
    if (p.how == How::sum || p.how == How::mean) value += p.b.at(t, b)[column];
    if (p.how == How::half || p.how == How::mean) value *= 0.5f;
    if (p.how == How::product) value *= p.b.at(t, b)[column];
    if (p.mask.threshold > 0) value *= p.mask.at(column, b, p.same_mask ? 0 : t);
    p.to.at(t, b)[column] = value;
  });
}

FASTRNN_KERNEL(kRowThreads)
copy_packed_rows(FASTRNN_CONSTANT PackedParams p) {
  each_of(Index(p.steps) * p.batch * p.width, [&](Index i) {
    const int column = int(i % p.width), b = int(i / p.width % p.batch), t = int(i / p.width / p.batch);
    const bool exists = b < p.before[t + 1] - p.before[t];
    float& packed = p.packed[exists ? (p.before[t] + b) * p.packed_row + column : 0];
    float& row = p.rows.at(t, b)[column];
    if (p.spread)
      row = exists ? packed : 0.0f;
    else if (exists)
      packed = row;
  });
}

FASTRNN_KERNEL(kRowThreads)
fold_repeats(FASTRNN_CONSTANT FoldParams p) {
  const LayerParams& layer = p.layer;
  each_of(Index(layer.batch) * layer.width(), [&](Index i) {
    const int column = int(i % layer.width()), b = int(i / layer.width());
    int step = layer.length_of(b) - 1;
    float sum = 0;
    for (int n = layer.steps - 1; n >= 0; --n) {
      const int t = layer.reverse ? layer.steps - 1 - n : n;
      const bool computed = step >= 0 && layer.time(b, step) == t;
      sum += p.from.at(t, b)[column];
      p.to[(Index(t) * layer.batch + b) * layer.width() + column] = computed ? sum : 0.0f;
      if (computed) sum = 0;
      step -= computed;
    }
  });
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
