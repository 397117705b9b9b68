// Matrix products over time and batch, on the tiles of the forward pass: the "weights" are rows of x or h, packed on
// the fly, and the rows are units, columns of the gate gradients. And sums over columns.
#pragma once

#include "forward-inl.h"

namespace fastrnn::FASTRNN_ISA {

/// Rows of time and batch that are multiplied without packing: writing the result takes longer than they do. (More of
/// them, by eight vectors of a row at a time: 7% off a training step of five rows, nothing off one of ten.)
constexpr Index kFewRows = 4;

/// outer_product() of few rows: each vector of `out` is written once, from rows of `right` in L1. The sums and their
/// order are those of a tile.
template <class T>
static void outer_product_of_few(const T* const* left, Index offset, const T* const* right, Index depth, Index n,
                                 Index units, T* out, bool fresh) {
  using V = Vec<T>;
  constexpr int U = V::kLanes;
  for (Index u = 0; u < units; ++u, out += n) {
    V factor[kFewRows];
    for (Index k = 0; k < depth; ++k) factor[k] = V(left[k][offset + u]);
    for (Index i = 0; i < n; i += U) {
      const int lanes = int(n - i < U ? n - i : U);
      V sum = V(T(0));
      for (Index k = 0; k < depth; ++k) sum = fmadd(factor[k], V::load(right[k] + i, lanes), sum);
      ((fresh ? V(T(0)) : V::load(out + i, lanes)) + sum).store(out + i, lanes);
    }
  }
}

/// Stores the sums of panel p of one gate, four vectors, into a row of n elements.
template <class T>
static void store_panel(const T* acc, Index p, Index n, T* row) {
  using V = Vec<T>;
  constexpr int U = V::kLanes;
  for (int v = 0; v < 4; ++v) {
    const Index column = (p * 4 + v) * U, left = n - column;
    if (left <= 0) break;
    V::load(acc + v * U).store(row + column, int(left < U ? left : U));
  }
}

/// Packs `depth` rows of n elements as [panel][row][4][lanes].
template <class T>
static Panels<T> pack_rows(const T* const* rows, Index depth, Index n, T* out) {
  using V = Vec<T>;
  constexpr int U = V::kLanes;
  Panels<T> packed;
  packed.data = out;
  packed.k = depth;
  packed.units = n;
  packed.count = (n + 4 * U - 1) / (4 * U);
  for (Index p = 0; p < packed.count; ++p)
    for (Index k = 0; k < depth; ++k)
      for (int v = 0; v < 4; ++v, out += U) {
        const Index column = (p * 4 + v) * U, left = n - column;
        (left > 0 ? V::load(rows[k] + column, int(left < U ? left : U)) : V(T(0))).store(out);
      }
  return packed;
}

/// A matrix of gradients, out[u, :] += sum over rows of the gate gradient u of `column` times right[:]. The right side
/// is x (0) or, from 1 on, an operand of a recurrent matrix.
template <class T>
struct OuterProduct {
  int right, column;
  Index units, width;
  T* out;
};

/// out[u, :] += sum over rows k of left[k * kOuterRows + u] * right[k][:]; `packed` has the right rows as panels. With
/// `fresh` the old contents of `out` count as zeros.
template <class T>
static void outer_product(Watch* watch, const T* left, Index depth, const Panels<T>& packed, Index units, T* out,
                          bool fresh) {
  using V = Vec<T>;
  constexpr int U = V::kLanes;
  const Index n = packed.units;
  const T* columns[kOuterRows];
  for (Index u = 0; u < units; ++u) columns[u] = left + u;
  const auto each = [=](Index row, Index p, auto&& move) {
    for (int v = 0; v < 4; ++v) {
      const Index column = (p * 4 + v) * U;
      if (column >= n) break;
      const Index lanes = n - column < U ? n - column : U;
      move(v * U, out + row * n + column, int(lanes));
    }
  };
  const Factor<Full<T>> factor = {columns, depth, nullptr, nullptr};
  sweep<Full<T>, 4, kOuterRows>(
      watch, packed, {0, packed.count}, 0, &factor, 1, units,
      [=](T* acc, Index row, Index p) {
        if (fresh) return fill_zero(acc, 4 * U);
        each(row, p, [&](int i, const T* old, int lanes) { V::load(old, lanes).store(acc + i); });
      },
      [=](const T* acc, Index row, Index p) {
        each(row, p, [&](int i, T* now, int lanes) { V::load(acc + i).store(now, lanes); });
      });
}

/// The products of one column, whose gate gradients begin at `offset` of each row; `packed` has all right sides.
/// kOuterRows units of all rows are copied to `buffer` first, once for all products: where they are they lie pages
/// apart. (Prefetching them, 16 rows ahead, gained nothing.)
template <class T>
static void outer_products(Watch* watch, const T* const* left, int column, Index offset, Index depth,
                           const OuterProduct<T>* products, int count, const Panels<T>* packed, T* buffer, bool fresh) {
  using V = Vec<T>;
  constexpr int U = V::kLanes;
  Index units = 0;
  for (int i = 0; i < count; ++i)
    if (products[i].column == column && products[i].units > units) units = products[i].units;
  for (Index first = 0; first < units && !stopped(watch); first += kOuterRows) {
    const Index block = units - first < kOuterRows ? units - first : kOuterRows;
    for (Index k = 0; k < depth; ++k)
      for (Index u = 0; u < block; u += U) {
        const int lanes = int(block - u < U ? block - u : U);
        V::load(left[k] + offset + first + u, lanes).store(buffer + k * kOuterRows + u, lanes);
      }
    for (int i = 0; i < count; ++i) {
      const OuterProduct<T>& product = products[i];
      if (product.column != column || product.units <= first) continue;
      const Index rows = product.units - first < block ? product.units - first : block;
      outer_product(watch, buffer, depth, packed[product.right], rows, product.out + first * product.width, fresh);
    }
  }
}

/// sums[j] += sum over k < n of left[k][offset + j] * right[k][j] for a range of whole vectors, without `right` of
/// left alone; rows of `right` have `width` elements. Four vectors at a time: a single chain of additions would wait
/// for each of them.
template <class T>
__attribute__((noinline)) static void fold(T* sums, Range columns, Index n, const T* const* left, Index offset,
                                           const T* const* right, Index width) {
  using V = Vec<T>;
  constexpr int U = V::kLanes;
  const auto add = [&](V sum, Index k, Index i) {
    const V l = V::load(left[k] + offset + i);
    return right == nullptr ? sum + l : fmadd(l, V::load(right[k] + i, int(width - i < U ? width - i : U)), sum);
  };
  for (Index first = columns.begin; first < columns.end; first += 4 * U) {
    const int vectors = int((columns.end - first < 4 * U ? columns.end - first : 4 * U) / U);
    for (Index begin = 0; begin < n; begin += kBlock) {
      const Index end = begin + kBlock < n ? begin + kBlock : n;
      V sum[4] = {V(T(0)), V(T(0)), V(T(0)), V(T(0))};
      if (vectors == 4) {
        for (Index k = begin; k < end; ++k)
#pragma GCC unroll 4
          for (int v = 0; v < 4; ++v) sum[v] = add(sum[v], k, first + v * U);
      } else {
        for (Index k = begin; k < end; ++k)
          for (int v = 0; v < vectors; ++v) sum[v] = add(sum[v], k, first + v * U);
      }
      for (int v = 0; v < vectors; ++v) {
        T* total = sums + first + v * U;
        (V::load(total) + sum[v]).store(total);
      }
    }
  }
}

}  // namespace fastrnn::FASTRNN_ISA
