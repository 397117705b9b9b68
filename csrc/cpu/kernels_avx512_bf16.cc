// bfloat16 by the dot product of pairs; everything else is avx512_vnni's.
#define FASTRNN_ISA avx512_bf16
#include "simd_avx512.h"

#include "row-inl.h"

namespace fastrnn::FASTRNN_ISA {
extern const ForwardKernels<float> bfloat16;
const ForwardKernels<float> bfloat16 = forward_kernels<Bfloat16Dot>();
}  // namespace fastrnn::FASTRNN_ISA
