// bfloat16 by the multiply-add of bfloat16; everything else is neon_dotprod's.
#define FASTRNN_ISA neon_bf16
#include "simd_neon.h"

#include "row-inl.h"

namespace fastrnn::FASTRNN_ISA {
extern const ForwardKernels<float> bfloat16;
const ForwardKernels<float> bfloat16 = forward_kernels<Bfloat16Dot>();
}  // namespace fastrnn::FASTRNN_ISA
