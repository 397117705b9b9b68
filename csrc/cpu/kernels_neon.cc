#define FASTRNN_ISA neon
#include "simd_neon.h"

#include "kernels-inl.h"
