// c = a b^T in float32: each thread has 4 x 4 elements of its block's tile, and sums over k in order.
#pragma once

#include <cmath>

#include "cuda/device.h"
#include "cuda/product.h"

namespace fastrnn::cuda {

/// Rows first .. first + kProductTile of a row-major (rows, k) matrix, columns at .. at + kProductDepth, turned: one
/// row of `tile` for each column. Zero outside.
FASTRNN_DEVICE void load_product_tile(float* tile, const float* matrix, int rows, int k, int first, int at) {
  for (int i = thread_index(); i < kProductTile * kProductDepth; i += block_threads()) {
    const int row = i / kProductDepth, column = i % kProductDepth;
    const bool inside = first + row < rows && at + column < k;
    tile[column * kProductRow + row] = inside ? matrix[Index(first + row) * k + at + column] : 0.0f;
  }
}

FASTRNN_KERNEL(kProductThreads)
multiply_matrices(FASTRNN_CONSTANT ProductParams params) {
  const Product& p = params.product;
  float* a = reinterpret_cast<float*>(shared_memory());
  float* b = a + kProductDepth * kProductRow;
  const int across = divide_up(p.n, kProductTile);
  const int first_row = block_index() / across * kProductTile, first_column = block_index() % across * kProductTile;
  const int row = thread_index() / 16 * 4, column = thread_index() % 16 * 4;
  float sums[4][4] = {};
  for (int at = 0; at < p.k; at += kProductDepth) {
    load_product_tile(a, p.a, p.m, p.k, first_row, at);
    load_product_tile(b, p.b, p.n, p.k, first_column, at);
    sync_block();
    for (int k = 0; k < kProductDepth; ++k)
      for (int i = 0; i < 4; ++i)
        for (int j = 0; j < 4; ++j)
          sums[i][j] = fmaf(a[k * kProductRow + row + i], b[k * kProductRow + column + j], sums[i][j]);
    sync_block();
  }
  for (int i = 0; i < 4; ++i)
    for (int j = 0; j < 4; ++j)
      if (first_row + row + i < p.m && first_column + column + j < p.n)
        p.c[Index(first_row + row + i) * p.n + first_column + column + j] = sums[i][j];
}

}  // namespace fastrnn::cuda
