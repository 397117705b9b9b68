#include "cuda/kernels/dense/rows_kernel.h"

namespace fastrnn::cuda {

const void* gather_kernel() { return reinterpret_cast<const void*>(&gather_operand); }
const void* sum_kernel() { return reinterpret_cast<const void*>(&sum_columns); }
const void* combine_kernel() { return reinterpret_cast<const void*>(&combine_elements); }
const void* fold_kernel() { return reinterpret_cast<const void*>(&fold_repeats); }
const void* packed_kernel() { return reinterpret_cast<const void*>(&copy_packed_rows); }

}  // namespace fastrnn::cuda
