#include "cuda/kernels/dense/norm_kernel.h"

namespace fastrnn::cuda {

const void* normalise_kernel() { return reinterpret_cast<const void*>(&normalise); }
const void* normalise_back_kernel() { return reinterpret_cast<const void*>(&normalise_back); }

}  // namespace fastrnn::cuda
