// The matrix product as core itself calls it.
#pragma once

#include "core/base/interrupt.h"
#include "fastrnn/fastrnn.hpp"

namespace fastrnn {

/// Matrix::multiply that a watch may end early.
template <class T>
void multiply(const MatrixData<T>& matrix, const T* const* rows, T* out, Index m, Watch* watch) noexcept;

}  // namespace fastrnn
