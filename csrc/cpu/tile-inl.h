// The innermost loop of everything: a tile of rows x vectors accumulated over k, and the sweep of tiles over a packed
// matrix.
//
//   acc[r][v] += sum_k a[r][at + k] * w[k][v]
//
// in ascending k, one multiply-add at a time, by blocks of kBlock: a block is summed from zero in registers and then
// added to the accumulator in memory. That order is the same for every tile shape, which is what makes a row's result
// independent of the batch around it. Blocks keep the rounding error from growing with k: one running sum on top of W x
// had up to 2.4 times the float32 error of a plain NumPy implementation, and 2.9 times in the gradients.
#pragma once

#include "core/kernels.h"

namespace fastrnn::FASTRNN_ISA {

/// Terms summed before they join the accumulator.
constexpr Index kBlock = 128;

/// Rows of the largest tile for panels of PV vectors.
template <int PV>
constexpr int max_rows() {
  return kVectorRegisters == 32 ? 24 / PV : PV == 4 ? 6 : 4;
}

template <class T, int R, int PV, int First, int NV, int Stride>
FASTRNN_INLINE static void tile_pass(T* acc, const T* const* rows, Index at, const T* w, Index k) {
  using V = Vec<T>;
  constexpr int U = V::kLanes;
  const T* a[R];
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) a[r] = rows[r] + at * Stride;
  w += First * U;
  for (Index begin = 0; begin < k; begin += kBlock) {
    const Index end = begin + kBlock < k ? begin + kBlock : k;
    V s[R][NV];
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r)
#pragma GCC unroll 4
      for (int v = 0; v < NV; ++v) s[r][v] = V(T(0));
    for (Index i = begin; i < end; ++i, w += PV * U) {
      if constexpr (R < NV) {  // hold the broadcasts, pass each weight vector by
        V b[R];
#pragma GCC unroll 8
        for (int r = 0; r < R; ++r) b[r] = V(a[r][i * Stride]);
#pragma GCC unroll 4
        for (int v = 0; v < NV; ++v) {
          const V weight = V::load(w + v * U);
#pragma GCC unroll 8
          for (int r = 0; r < R; ++r) s[r][v] = fmadd(b[r], weight, s[r][v]);
        }
      } else {  // hold the weights, pass each broadcast by
        V weight[NV];
#pragma GCC unroll 4
        for (int v = 0; v < NV; ++v) weight[v] = V::load(w + v * U);
#pragma GCC unroll 8
        for (int r = 0; r < R; ++r) {
          const V b = V(a[r][i * Stride]);
#pragma GCC unroll 4
          for (int v = 0; v < NV; ++v) s[r][v] = fmadd(b, weight[v], s[r][v]);
        }
      }
    }
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r)
#pragma GCC unroll 4
      for (int v = 0; v < NV; ++v) {
        T* sum = acc + (r * PV + First + v) * U;
        (V::load(sum) + s[r][v]).store(sum);
      }
  }
}

/// With 16 registers, six rows by two vectors in two passes read half the weights per multiply-add that three by four
/// would, and the weights come from L2.
template <class T, int R, int PV, int Stride>
__attribute__((noinline)) static void tile(T* acc, const T* const* rows, Index at, const T* w, Index k) {
  if constexpr (kVectorRegisters == 32 || R * PV <= 12) {
    tile_pass<T, R, PV, 0, PV, Stride>(acc, rows, at, w, k);
  } else {
    tile_pass<T, R, PV, 0, PV / 2, Stride>(acc, rows, at, w, k);
    tile_pass<T, R, PV, PV / 2, PV - PV / 2, Stride>(acc, rows, at, w, k);
  }
}

template <class T, int PV, int Stride, int R = max_rows<PV>()>
FASTRNN_INLINE static void run_tile(Index n, T* acc, const T* const* rows, Index at, const T* w, Index k) {
  if constexpr (R == 1) {
    tile<T, 1, PV, Stride>(acc, rows, at, w, k);
  } else if (n == R) {
    tile<T, R, PV, Stride>(acc, rows, at, w, k);
  } else {
    run_tile<T, PV, Stride, R - 1>(n, acc, rows, at, w, k);
  }
}

/// One row against two panels at once: a single row against one panel would wait for its own multiply-adds.
template <class T, int PV, int Stride>
__attribute__((noinline)) static void tile_pair(T* acc, const T* a, const T* w, Index panel, Index k) {
  using V = Vec<T>;
  constexpr int U = V::kLanes;
  const T* w1 = w + panel;
  for (Index begin = 0; begin < k; begin += kBlock) {
    const Index end = begin + kBlock < k ? begin + kBlock : k;
    V s[2 * PV];
#pragma GCC unroll 8
    for (int v = 0; v < 2 * PV; ++v) s[v] = V(T(0));
    for (Index i = begin; i < end; ++i, w += PV * U, w1 += PV * U) {
      const V b = V(a[i * Stride]);
#pragma GCC unroll 4
      for (int v = 0; v < PV; ++v) s[v] = fmadd(b, V::load(w + v * U), s[v]);
#pragma GCC unroll 4
      for (int v = 0; v < PV; ++v) s[PV + v] = fmadd(b, V::load(w1 + v * U), s[PV + v]);
    }
#pragma GCC unroll 8
    for (int v = 0; v < 2 * PV; ++v) (V::load(acc + v * U) + s[v]).store(acc + v * U);
  }
}

/// A vector operand of every row, and how many rows of the packed matrix it meets.
template <class T>
struct Factor {
  const T* const* rows;
  Index k;
};

/// Rows of the packed matrix that pass over a block of rows at a time: with 4 vectors to a row, half of a 32 KB L1.
constexpr Index kDepth = kBlock;

/// One row against all panels, two by two.
template <class T, int PV, int Stride, class Init, class Finish>
FASTRNN_INLINE static void sweep_row(const Panels<T>& matrix, const T* w_panel, const Factor<T>* factors, int count,
                                     const Init& init, const Finish& finish) {
  constexpr int width = PV * Vec<T>::kLanes;
  alignas(64) T acc[2 * width];
  const Index panel_size = matrix.k * width;
  for (Index p = 0; p < matrix.count; p += 2, w_panel += 2 * panel_size) {
    const bool pair = p + 1 < matrix.count;
    init(acc, 0, p);
    if (pair) init(acc + width, 0, p + 1);
    const T* w = w_panel;
    for (int f = 0; f < count; w += factors[f].k * width, ++f) {
      if (pair)
        tile_pair<T, PV, Stride>(acc, factors[f].rows[0], w, panel_size, factors[f].k);
      else
        tile<T, 1, PV, Stride>(acc, factors[f].rows, 0, w, factors[f].k);
    }
    finish(acc, 0, p);
    if (pair) finish(acc + width, 0, p + 1);
  }
}

/// Runs over all panels, and for each over the rows: init fills an accumulator row, the factors are multiplied in one
/// after the other from row `first_k` of the matrix on, finish consumes the row.
///   init(acc, row, panel), finish(acc, row, panel); acc is (PV, lanes)
/// Element k of a row lies Stride * k behind its pointer.
///
/// A block of rows takes in kDepth rows of the panel before the next ones come, so that they are read from L1 by all
/// row tiles but the first.
template <class T, int PV, int Stride = 1, class Init, class Finish>
FASTRNN_INLINE static void sweep(const Panels<T>& matrix, Index first_k, const Factor<T>* factors, int count, Index n,
                                 const Init& init, const Finish& finish) {
  constexpr int width = PV * Vec<T>::kLanes;
  constexpr Index R = max_rows<PV>();
  constexpr Index most = 12 * R;
  if (n <= 0) return;
  const T* w_panel = matrix.data + first_k * width;
  if (n == 1) return sweep_row<T, PV, Stride>(matrix, w_panel, factors, count, init, finish);
  alignas(64) T acc[most * width];
  for (Index p = 0; p < matrix.count; ++p, w_panel += matrix.k * width) {
    for (Index first = 0; first < n; first += most) {
      const Index rows = n - first < most ? n - first : most;
      for (Index r = 0; r < rows; ++r) init(acc + r * width, first + r, p);
      const T* w = w_panel;
      for (int f = 0; f < count; ++f)
        for (Index k = 0; k < factors[f].k; k += kDepth) {
          const Index depth = factors[f].k - k < kDepth ? factors[f].k - k : kDepth;
          Index tiles = (rows + R - 1) / R;
          for (Index row = 0; row < rows; --tiles) {
            const Index share = (rows - row + tiles - 1) / tiles;  // even shares: no lonely last row
            run_tile<T, PV, Stride>(share, acc + row * width, factors[f].rows + first + row, k, w, depth);
            row += share;
          }
          w += depth * width;
        }
      for (Index r = 0; r < rows; ++r) finish(acc + r * width, first + r, p);
    }
  }
}

}  // namespace fastrnn::FASTRNN_ISA
