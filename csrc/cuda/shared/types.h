// The ways in which a call may be computed. Plain C++: host code, kernels and tests include it.
#pragma once

#include <cstddef>

// Arrays that are to stay in registers must be indexed by constants: loops over them are unrolled, others are not.
#if defined(__CUDACC__)
#define FASTRNN_UNROLL _Pragma("unroll")
#define FASTRNN_NO_UNROLL _Pragma("unroll 1")
#else
#define FASTRNN_UNROLL
#define FASTRNN_NO_UNROLL
#endif

namespace fastrnn::cuda {

using Index = std::ptrdiff_t;

/// Where the recurrent weights are. block, cluster, grid: they stay on the chip for the whole sequence, and the hidden
/// units of a batch tile are shared by one block, by the blocks of a cluster, or by blocks anywhere on the device,
/// which exchange h at every step. stream: read again at every step. graph: a product and a cell kernel for each step.
enum class Tier : signed char { block, cluster, grid, stream, graph };

/// What weights and the operands they multiply are rounded to; sums and states are float32 throughout.
enum class Type : signed char { float32, tf32, bfloat16, float16 };

enum class Pass : signed char { inference, training, backward };

}  // namespace fastrnn::cuda
