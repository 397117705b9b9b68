// Layer normalisation of rows, forward and backward: a block of threads for each row. norm.h has the arguments,
// csrc/cpu/norm-inl.h the equations.
#pragma once

#include <math.h>

#include "cuda/kernels/primitives.h"
#include "cuda/shared/norm.h"

namespace fastrnn::cuda {

/// The sum over all threads of the block, returned to each.
FASTRNN_DEVICE float sum_over_block(float value) {
  float* parts = reinterpret_cast<float*>(shared_memory());
  for (int mask = kWarp / 2; mask > 0; mask /= 2) value += shuffle_xor(value, mask);
  sync_block();  // until all threads have read the parts of the previous sum
  if (lane_index() == 0) parts[thread_index() / kWarp] = value;
  sync_block();
  float total = 0;
  for (int i = 0; i < block_threads() / kWarp; ++i) total += parts[i];
  return total;
}

FASTRNN_KERNEL(kNormThreads)
normalise(FASTRNN_CONSTANT NormStep norm) {
  const LayerParams& layer = norm.layer;
  const int row = block_index(), b = row % layer.batch;
  const int step = norm.now != nullptr ? *norm.now : 0;
  if (norm.now != nullptr && step >= layer.length_of(b)) return;
  const float* from = norm.from + row * norm.from_stride;
  const float* input = norm.input;
  if (input != nullptr) input += (Index(layer.time(b, step)) * layer.batch + b) * norm.count;
  const auto value = [&](int i) { return input != nullptr ? from[i] + input[i] : from[i]; };
  float sum = 0, squares = 0;
  for (int i = thread_index(); i < norm.count; i += block_threads()) sum += value(i);
  const float mean = sum_over_block(sum) / float(norm.count);
  for (int i = thread_index(); i < norm.count; i += block_threads()) {
    const float d = value(i) - mean;
    squares = fmaf(d, d, squares);
  }
  const float variance = sum_over_block(squares) / float(norm.count);
  const float scale = 1.0f / sqrtf(variance + layer.extension.norm_epsilon);
  float *to = norm.to + row * norm.to_stride, *hats = nullptr;
  if (layer.gates != nullptr) {
    const Index saved = norm.now != nullptr ? Index(layer.time(b, step)) * layer.batch + b : row;
    hats = layer.gates + (saved * norm.columns + norm.hat_column) * layer.hidden;
    if (thread_index() == 0) layer.extension.statistics[saved * kStatistics + norm.statistic] = scale;
  }
  for (int i = thread_index(); i < norm.count; i += block_threads()) {
    const float hat = (value(i) - mean) * scale;
    if (hats != nullptr) hats[i] = hat;
    to[i] = fmaf(hat, norm.gain[i], norm.bias != nullptr ? norm.bias[i] : 0.0f);
  }
}

FASTRNN_KERNEL(kNormThreads)
normalise_back(FASTRNN_CONSTANT NormBackStep norm) {
  const BackwardParams& layer = norm.layer;
  const int b = block_index(), step = layer.steps - 1 - *norm.now, hidden = layer.hidden, count = norm.gates * hidden;
  if (step < 0 || step >= layer.length_of(b)) return;
  const Index saved = Index(layer.time(b, step)) * layer.batch + b;
  const float* hats = layer.gates + (saved * norm.columns + norm.hat_column) * hidden;
  float* dgates = layer.dgates + saved * norm.dcolumns * hidden;
  const auto gradient = [&](int i) {
    const int gate = i / hidden;
    const int column = gate == 0 ? norm.d[0] : gate == 1 ? norm.d[1] : gate == 2 ? norm.d[2] : norm.d[3];
    return dgates[Index(column) * hidden + i % hidden] * norm.gain[i];
  };
  float sum = 0, along = 0;
  for (int i = thread_index(); i < count; i += block_threads()) {
    const float d = gradient(i);
    sum += d;
    along = fmaf(d, hats[i], along);
  }
  const float mean = sum_over_block(sum) / float(count), slope = sum_over_block(along) / float(count);
  const float scale = layer.extension.statistics[saved * kStatistics + norm.statistic];
  const bool cut = norm.last && layer.cuts(b, step);  // no gradient flows to the step before
  for (int i = thread_index(); i < count; i += block_threads()) {
    const float d = (gradient(i) - mean - hats[i] * slope) * scale;
    dgates[Index(norm.to) * hidden + i] = d;
    norm.dgates[(Index(b) * norm.dcolumns + norm.to) * hidden + i] = cut ? 0.0f : d;
  }
}

}  // namespace fastrnn::cuda
