// How a call may be computed. Plain C++: host code, kernels and tests include it.
#pragma once

#include <cstddef>

// Arrays that are to stay in registers are indexed by constants: their loops are unrolled, the others need not be.
#if defined(__CUDACC__)
#define FASTRNN_UNROLL _Pragma("unroll")
#define FASTRNN_NO_UNROLL _Pragma("unroll 1")
#else
#define FASTRNN_UNROLL
#define FASTRNN_NO_UNROLL
#endif

namespace fastrnn::cuda {

using Index = std::ptrdiff_t;

/// Who shares the hidden units of a batch tile: one block, a cluster, the whole grid; or weights streamed through the
/// chip, or a product and a cell kernel per step.
enum class Tier : signed char { block, cluster, grid, stream, graph };

/// How weights and the operands they meet are multiplied; sums and states are float32 throughout.
enum class Type : signed char { float32, tf32, bfloat16, float16 };

enum class Pass : signed char { inference, training, backward };

}  // namespace fastrnn::cuda
