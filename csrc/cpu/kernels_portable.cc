#define FASTRNN_ISA portable
#include "simd_portable.h"

#include "kernels-inl.h"
