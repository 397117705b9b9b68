// c = op(a) op(b) or c += op(a) op(b), tile by tile of c: a block has a tile, a thread 4 x 4 elements of it, and sums
// run over k in order, in float32.
#pragma once

#include <cmath>

#include "cuda/kernels/primitives.h"
#include "cuda/shared/product.h"

namespace fastrnn::cuda {

/// `value` rounded to `type`.
FASTRNN_DEVICE float rounded(float value, Type type) {
  switch (type) {
    case Type::bfloat16: return to_float(round_to<Bfloat16>(value));
    case Type::float16: return to_float(round_to<Float16>(value));
    case Type::tf32: return float_of_bits(round_to_tf32(value));
    default: return value;
  }
}

/// Loads kProductDepth values of k from `at` on, a row of `tile` each, for elements first .. first + kProductTile of
/// the other extent; zero outside the matrix. Neighbouring threads read neighbouring addresses, whether rows or columns
/// of the matrix run along k.
FASTRNN_DEVICE void load_product_tile(float* tile, const DeviceMatrix& factor, bool rows_are_k, int extent, int depth,
                                      int first, int at, Type type) {
  for (int i = thread_index(); i < kProductTile * kProductDepth; i += block_threads()) {
    const int k = rows_are_k ? i / kProductTile : i % kProductDepth;
    const int j = rows_are_k ? i % kProductTile : i / kProductDepth;
    const bool inside = first + j < extent && at + k < depth;
    const Index row = rows_are_k ? at + k : first + j, column = rows_are_k ? first + j : at + k;
    tile[k * kProductRow + j] = inside ? rounded(factor.data[row * factor.stride + column], type) : 0.0f;
  }
}

FASTRNN_KERNEL(kProductThreads)
multiply_matrices(FASTRNN_CONSTANT Product p) {
  float* a = reinterpret_cast<float*>(shared_memory());
  float* b = a + kProductDepth * kProductRow;
  const int across = divide_up(p.n, kProductTile);
  const int first_row = block_index() / across * kProductTile, first_column = block_index() % across * kProductTile;
  const int row = thread_index() / 16 * 4, column = thread_index() % 16 * 4;
  float sums[4][4] = {};
  for (int at = 0; at < p.k; at += kProductDepth) {
    load_product_tile(a, p.a, p.a.transposed, p.m, p.k, first_row, at, p.type);
    load_product_tile(b, p.b, !p.b.transposed, p.n, p.k, first_column, at, p.type);
    sync_block();
    for (int k = 0; k < kProductDepth; ++k)
      for (int i = 0; i < 4; ++i)
        for (int j = 0; j < 4; ++j)
          sums[i][j] = fmaf(a[k * kProductRow + row + i], b[k * kProductRow + column + j], sums[i][j]);
    sync_block();
  }
  for (int i = 0; i < 4; ++i)
    for (int j = 0; j < 4; ++j) {
      if (first_row + row + i >= p.m || first_column + column + j >= p.n) continue;
      float& c = p.c[(first_row + row + i) * p.c_stride + first_column + column + j];
      c = p.accumulate ? c + sums[i][j] : sums[i][j];
    }
}

}  // namespace fastrnn::cuda
