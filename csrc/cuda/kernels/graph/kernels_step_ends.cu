#include "cuda/kernels/graph/step_ends.h"

namespace fastrnn::cuda {

const void* begin_forward_kernel() { return reinterpret_cast<const void*>(&begin_forward); }
const void* end_forward_kernel() { return reinterpret_cast<const void*>(&end_forward); }
const void* begin_backward_kernel() { return reinterpret_cast<const void*>(&begin_backward); }
const void* end_backward_kernel() { return reinterpret_cast<const void*>(&end_backward); }

}  // namespace fastrnn::cuda
