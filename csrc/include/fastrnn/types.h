// Plain types shared by the public interface and the kernels. Includes nothing but <cstddef>.
#pragma once

#include <cstddef>

namespace fastrnn {

using Index = std::ptrdiff_t;

/// Element (t, b, :) of a sequence lies at data + t * step + b * row (in elements); its last axis is contiguous.
/// Time-major and batch-first arrays differ in their strides alone. Where steps have different numbers of rows, `start`
/// has the elements before each step, in place of t * step.
template <class T>
struct Sequence {
  T* data = nullptr;
  Index step = 0;
  Index row = 0;
  const Index* start = nullptr;
  T* at(Index t, Index b) const { return data + (start != nullptr ? start[t] : t * step) + b * row; }
};

/// How weights are stored and multiplied. States, gates, biases and sums stay in T (float, for all but `full`).
enum class Precision : signed char {
  full,              // everything in T
  bfloat16,          // weights, x and h rounded to bfloat16 (to nearest, ties to even)
  bfloat16_weights,  // weights rounded to bfloat16, x and h in float
  int8               // weights with a scale per output channel, x and h with a scale per row, both in -127..127
};
constexpr int kPrecisions = 4;

}  // namespace fastrnn
