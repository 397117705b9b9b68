// Transposes, for packing: a whole vector of columns at a time, each 16 bytes of which are squares of their own; what
// is left over by squares of 16-byte rows, in the compilers' vector extension. A square of 16 by 16, with half of the
// loads, took as long on Zen 4; squares of 16 bytes alone took 1.5 times as long, as they write a line in four parts.
// Only multiplying by what is transposed, without storing it, would save more: making each panel just before it is
// multiplied, in memory that stays in L2, made training of LSTM T1 B1 H256 slower, 267 us instead of 243.
#pragma once

#include <string.h>

#include "core/backend/kernels.h"

// GCC has __builtin_shufflevector from 12 on; before, __builtin_shuffle, which clang lacks. Both compile to the same
// instructions. Lanes is the vector of integers of the element's size.
#if __has_builtin(__builtin_shufflevector)
#define FASTRNN_SHUFFLE(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define FASTRNN_SHUFFLE(a, b, ...) __builtin_shuffle(a, b, Lanes{__VA_ARGS__})
#endif

namespace fastrnn::FASTRNN_ISA {

template <class T>
struct Square;

template <>
struct Square<float> {
  static constexpr int kSide = 4;
  typedef float Row __attribute__((vector_size(16)));
  typedef int Lanes __attribute__((vector_size(16)));
  FASTRNN_INLINE static void transpose(Row* x) {
    const Row a = FASTRNN_SHUFFLE(x[0], x[1], 0, 4, 1, 5), b = FASTRNN_SHUFFLE(x[0], x[1], 2, 6, 3, 7);
    const Row c = FASTRNN_SHUFFLE(x[2], x[3], 0, 4, 1, 5), d = FASTRNN_SHUFFLE(x[2], x[3], 2, 6, 3, 7);
    x[0] = FASTRNN_SHUFFLE(a, c, 0, 1, 4, 5);
    x[1] = FASTRNN_SHUFFLE(a, c, 2, 3, 6, 7);
    x[2] = FASTRNN_SHUFFLE(b, d, 0, 1, 4, 5);
    x[3] = FASTRNN_SHUFFLE(b, d, 2, 3, 6, 7);
  }
};

template <>
struct Square<double> {
  static constexpr int kSide = 2;
  typedef double Row __attribute__((vector_size(16)));
  typedef long long Lanes __attribute__((vector_size(16)));
  FASTRNN_INLINE static void transpose(Row* x) {
    const Row a = x[0];
    x[0] = FASTRNN_SHUFFLE(a, x[1], 0, 2);
    x[1] = FASTRNN_SHUFFLE(a, x[1], 1, 3);
  }
};

/// out[i * out_stride + j] = in[j * in_stride + i] for i < rows, j < columns.
template <class T>
static void transpose(const T* in, Index in_stride, T* out, Index out_stride, Index rows, Index columns) {
  constexpr Index side = Square<T>::kSide, lanes = Vec<T>::kLanes;
  const Index whole_rows = rows / side * side, whole_columns = columns / side * side;
  if constexpr (lanes > side) {
    if (columns == lanes) {
      for (Index i = 0; i < whole_rows; i += side) {
        Vec<T> x[side];
#pragma GCC unroll 4
        for (Index n = 0; n < side; ++n) x[n] = load_pieces(in + n * in_stride + i, side * in_stride);
        transpose_squares(x);
#pragma GCC unroll 4
        for (Index n = 0; n < side; ++n) x[n].store(out + (i + n) * out_stride);
      }
      in += whole_rows;
      out += whole_rows * out_stride;
      rows -= whole_rows;
    }
  }
  for (Index i = 0; i + side <= rows; i += side)
    for (Index j = 0; j < whole_columns; j += side) {
      typename Square<T>::Row x[side];
      for (Index n = 0; n < side; ++n) memcpy(&x[n], in + (j + n) * in_stride + i, sizeof x[n]);
      Square<T>::transpose(x);
      for (Index n = 0; n < side; ++n) memcpy(out + (i + n) * out_stride + j, &x[n], sizeof x[n]);
    }
  for (Index i = rows / side * side; i < rows; ++i)
    for (Index j = 0; j < whole_columns; ++j) out[i * out_stride + j] = in[j * in_stride + i];
  for (Index j = whole_columns; j < columns; ++j)
    for (Index i = 0; i < rows; ++i) out[i * out_stride + j] = in[j * in_stride + i];
}

}  // namespace fastrnn::FASTRNN_ISA
