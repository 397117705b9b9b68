// Transposes, for packing: 16-byte squares in registers, in the compilers' vector extension.
#pragma once

#include <string.h>

#include "core/backend/kernels.h"

namespace fastrnn::FASTRNN_ISA {

template <class T>
struct Square;

template <>
struct Square<float> {
  static constexpr int kSide = 4;
  typedef float Row __attribute__((vector_size(16)));
  FASTRNN_INLINE static void transpose(Row* x) {
    const Row a = __builtin_shufflevector(x[0], x[1], 0, 4, 1, 5), b = __builtin_shufflevector(x[0], x[1], 2, 6, 3, 7);
    const Row c = __builtin_shufflevector(x[2], x[3], 0, 4, 1, 5), d = __builtin_shufflevector(x[2], x[3], 2, 6, 3, 7);
    x[0] = __builtin_shufflevector(a, c, 0, 1, 4, 5);
    x[1] = __builtin_shufflevector(a, c, 2, 3, 6, 7);
    x[2] = __builtin_shufflevector(b, d, 0, 1, 4, 5);
    x[3] = __builtin_shufflevector(b, d, 2, 3, 6, 7);
  }
};

template <>
struct Square<double> {
  static constexpr int kSide = 2;
  typedef double Row __attribute__((vector_size(16)));
  FASTRNN_INLINE static void transpose(Row* x) {
    const Row a = x[0];
    x[0] = __builtin_shufflevector(a, x[1], 0, 2);
    x[1] = __builtin_shufflevector(a, x[1], 1, 3);
  }
};

/// out[i * out_stride + j] = in[j * in_stride + i] for i < rows, j < columns.
template <class T>
static void transpose(const T* in, Index in_stride, T* out, Index out_stride, Index rows, Index columns) {
  constexpr Index side = Square<T>::kSide;
  const Index whole_rows = rows / side * side, whole_columns = columns / side * side;
  for (Index i = 0; i < whole_rows; i += side)
    for (Index j = 0; j < whole_columns; j += side) {
      typename Square<T>::Row x[side];
      for (Index n = 0; n < side; ++n) memcpy(&x[n], in + (j + n) * in_stride + i, sizeof x[n]);
      Square<T>::transpose(x);
      for (Index n = 0; n < side; ++n) memcpy(out + (i + n) * out_stride + j, &x[n], sizeof x[n]);
    }
  for (Index i = 0; i < rows; ++i)
    for (Index j = i < whole_rows ? whole_columns : 0; j < columns; ++j)
      out[i * out_stride + j] = in[j * in_stride + i];
}

}  // namespace fastrnn::FASTRNN_ISA
