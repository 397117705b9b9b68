// int8 by the byte dot product; everything else is avx512's.
#define FASTRNN_ISA avx512_vnni
#include "simd_avx512.h"

#include "row-inl.h"

namespace fastrnn::FASTRNN_ISA {
extern const ForwardKernels<float> int8;
const ForwardKernels<float> int8 = forward_kernels<Int8>();
}  // namespace fastrnn::FASTRNN_ISA
