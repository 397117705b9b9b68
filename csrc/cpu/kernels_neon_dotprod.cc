// int8 by the byte dot product; everything else is neon's.
#define FASTRNN_ISA neon_dotprod
#include "simd_neon.h"

#include "row-inl.h"

namespace fastrnn::FASTRNN_ISA {
extern const ForwardKernels<float> int8;
const ForwardKernels<float> int8 = forward_kernels<Int8>();
}  // namespace fastrnn::FASTRNN_ISA
