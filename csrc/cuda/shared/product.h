// A plain matrix product, for W x and the weight gradients where no library is at hand. Plain C++.
#pragma once

#include "cuda/shared/layout.h"
#include "cuda/shared/runtime.h"

namespace fastrnn::cuda {

constexpr int kProductTile = 64;   // rows and columns of c that a block computes
constexpr int kProductDepth = 16;  // elements of k that are multiplied at a time
constexpr int kProductThreads = 256;

/// The length of a row of a tile in shared memory: 4 floats are added so that a column lies in different banks.
constexpr int kProductRow = kProductTile + 4;

/// Takes a Product.
const void* product_kernel();

/// Runtime::multiply() by the project's own kernel: a grid of one dimension, tiles of c row by row.
inline void launch_product(Runtime& runtime, Product product) {
  if (product.m == 0 || product.n == 0) return;
  LaunchShape shape{};
  shape.blocks = divide_up(product.m, kProductTile) * divide_up(product.n, kProductTile);
  shape.threads = kProductThreads;
  shape.shared = 2 * kProductDepth * kProductRow * sizeof(float);
  runtime.launch(product_kernel(), shape, &product);
}

}  // namespace fastrnn::cuda
