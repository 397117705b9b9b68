// The innermost loop of everything: a tile of rows x vectors accumulated over k, and the sweep of tiles over a packed
// matrix.
//
//   acc[r][v] += sum_k a[r][at + k] * w[k][v]
//
// in ascending k, one multiply-add at a time, by blocks of kBlock: a block is summed from zero in registers and then
// added to the accumulator in memory. That order is the same for every tile shape, which is what makes a row's result
// independent of the batch around it. Blocks keep the rounding error from growing with k: one running sum on top of W x
// had up to 2.4 times the float32 error of a plain NumPy implementation, and 2.9 times in the gradients.
//
// A tile is some rows (of the batch) by PV vectors (the gates of some units): as many sums as fit into the registers,
// so that a weight is loaded once for all rows and an operand once for all vectors. What surrounds the products is
// given as two hooks: one fills the accumulators of a tile before its product, the other consumes them after it.
//
// k counts packed rows: formats-inl.h says how many terms each holds, and supplies every operation that depends on it.
#pragma once

#include "formats-inl.h"

namespace fastrnn::FASTRNN_ISA {

/// Vector registers that a tile of R rows and NV vectors takes: the sums, the operands of the smaller side, and one
/// more.
template <class F>
constexpr int registers(int R, int NV) {
  return R * NV + (R < NV ? R : NV) + 1 + F::kExtra;
}

/// Rows of the largest tile for panels of PV vectors: with 16 registers, four vectors go in two passes.
template <class F, int PV>
constexpr int max_rows() {
  if (kVectorRegisters == 32) return 24 / PV;
  const int NV = PV == 4 ? 2 : PV;
  int R = 1;
  while (registers<F>(R + 1, NV) <= kVectorRegisters) ++R;
  return R;
}

/// Rows of the next tile when n are left. With 16 registers a tile of four rows and four vectors goes in passes of
/// eight accumulators, which just cover the latency of the multiply-add and often do not: five and three rows, with ten
/// and twelve, take some 2% less for a batch of eight. Otherwise even shares: no lonely last row.
template <class F, int PV>
FASTRNN_INLINE static Index next_tile(Index n) {
  constexpr Index R = max_rows<F, PV>();
  if constexpr (kVectorRegisters == 16 && PV == 4 && F::kExtra == 0) {
    constexpr signed char share[] = {0, 1, 2, 3, 4, 5, 6, 5, 5, 6, 5, 6, 6, 5};
    return n < Index(sizeof share) ? share[n] : R;
  } else {
    const Index tiles = (n + R - 1) / R;
    return (n + tiles - 1) / tiles;
  }
}

/// An operand of the product: its row pointers, and how many packed rows of the matrix it multiplies.
template <class F>
struct Factor {
  const typename F::Row* const* rows;
  Index k;
  const typename F::Value* row_scales;   // null where the format has none
  const typename F::Value* unit_scales;  // those of the first panel
};

/// Hides from the compiler where `w` comes from, so that a weight of several parts is loaded anew for each part, here
/// and not earlier: weights that it kept or loaded ahead took the registers of the sums.
template <class F>
FASTRNN_INLINE static const typename F::Value* read_again(const typename F::Value* w) {
  if constexpr (F::kParts > 1) asm volatile("" : "+r"(w));
  return w;
}

template <class F, int R, int PV, int First, int NV, int Stride>
FASTRNN_INLINE static void tile_pass(typename F::Value* acc, const typename F::Row* const* rows, Index at,
                                     const typename F::Value* w, Index k, const typename F::Value* row_scales,
                                     const typename F::Value* unit_scales) {
  using T = typename F::Value;
  using V = typename F::V;
  constexpr int U = Vec<T>::kLanes;
  constexpr int step = F::kStride * Stride;
  const typename F::Row* a[R];
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) a[r] = rows[r] + row_offset<F>(at) * Stride;
  w += First * U;
  for (Index begin = 0; begin < k; begin += kBlock) {
    const Index n = k - begin < kBlock ? k - begin : kBlock;
    typename F::Sum s[R][NV];
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r)
#pragma GCC unroll 4
      for (int v = 0; v < NV; ++v) s[r][v] = F::start(a[r]);
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) a[r] += F::kHeader;
    for (Index i = 0; i < n; ++i, w += PV * U) {
#pragma GCC unroll 4
      for (int part = 0; part < F::kParts; ++part) {
        w = read_again<F>(w);
        if constexpr (R < NV) {  // hold the operands, pass each weight vector by
          decltype(F::operand(a[0], 0)) x[R];
#pragma GCC unroll 8
          for (int r = 0; r < R; ++r) x[r] = F::operand(a[r] + i * step, part);
#pragma GCC unroll 4
          for (int v = 0; v < NV; ++v) {
            const auto weight = F::weight(w + v * U, part);
#pragma GCC unroll 8
            for (int r = 0; r < R; ++r) s[r][v] = F::multiply(x[r], weight, s[r][v]);
          }
        } else {  // hold the weights, pass each operand by
          decltype(F::weight(w, 0)) weight[NV];
#pragma GCC unroll 4
          for (int v = 0; v < NV; ++v) weight[v] = F::weight(w + v * U, part);
#pragma GCC unroll 8
          for (int r = 0; r < R; ++r) {
            const auto x = F::operand(a[r] + i * step, part);
#pragma GCC unroll 4
            for (int v = 0; v < NV; ++v) s[r][v] = F::multiply(x, weight[v], s[r][v]);
          }
        }
      }
    }
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
#pragma GCC unroll 4
      for (int v = 0; v < NV; ++v) {
        T* sum = acc + (r * PV + First + v) * U;
        F::add(V::load(sum), s[r][v], row_scales, r, unit_scales, (First + v) * U).store(sum);
      }
      a[r] += n * step;
    }
  }
}

/// R rows by the first NV vectors of panels of PV.
///
/// With 16 registers, six rows by two vectors in two passes read half the weights per multiply-add that three by four
/// would, and the weights come from L2.
template <class F, int R, int PV, int Stride, int NV = PV>
__attribute__((noinline)) static void tile(typename F::Value* acc, const typename F::Row* const* rows, Index at,
                                           const typename F::Value* w, Index k, const typename F::Value* row_scales,
                                           const typename F::Value* unit_scales) {
  if constexpr (registers<F>(R, NV) <= kVectorRegisters) {
    tile_pass<F, R, PV, 0, NV, Stride>(acc, rows, at, w, k, row_scales, unit_scales);
  } else {
    tile_pass<F, R, PV, 0, PV / 2, Stride>(acc, rows, at, w, k, row_scales, unit_scales);
    tile_pass<F, R, PV, PV / 2, PV - PV / 2, Stride>(acc, rows, at, w, k, row_scales, unit_scales);
  }
}

template <class F, int PV, int Stride, int NV = PV, int R = max_rows<F, PV>(), class... Rest>
FASTRNN_INLINE static void run_tile(Index n, typename F::Value* acc, const typename F::Row* const* rows, Rest... rest) {
  if constexpr (R == 1) {
    tile<F, 1, PV, Stride, NV>(acc, rows, rest...);
  } else if (n == R) {
    tile<F, R, PV, Stride, NV>(acc, rows, rest...);
  } else {
    run_tile<F, PV, Stride, NV, R - 1>(n, acc, rows, rest...);
  }
}

/// How much of a panel has units, where what is left out makes a difference: some of the vectors, or half of their
/// lanes.
enum class Filled { whole, three_vectors, two_vectors, one_vector, half_lanes };

template <class F, int PV>
FASTRNN_INLINE static Filled filled(const Panels<typename F::Value>& matrix, Index p) {
  using T = typename F::Value;
  constexpr Index U = Vec<T>::kLanes;
  const Index left = matrix.units - p * matrix.blocks * U;
  if (F::kConverts) return Filled::whole;
  if (PV == 4 && matrix.gates == 1 && left <= 2 * U) return left <= U ? Filled::one_vector : Filled::two_vectors;
  if (kVectorRegisters == 32 && PV == 4 && matrix.gates == 1 && left <= 3 * U) return Filled::three_vectors;
  return Narrow<T>::kLanes < U && matrix.blocks == 1 && left <= Narrow<T>::kLanes ? Filled::half_lanes : Filled::whole;
}

template <class F, int PV, int Stride, class... Rest>
FASTRNN_INLINE static void run_filled_tile(Filled part, Rest... rest) {
  using T = typename F::Value;
  if constexpr (!F::kConverts) {
    if constexpr (PV == 4) {
      if (part == Filled::one_vector) return run_tile<F, PV, Stride, 1>(rest...);
      if (part == Filled::two_vectors) return run_tile<F, PV, Stride, 2>(rest...);
      if constexpr (kVectorRegisters == 32)
        if (part == Filled::three_vectors) return run_tile<F, PV, Stride, 3>(rest...);
    }
    if constexpr (Narrow<T>::kLanes < Vec<T>::kLanes && Stride == 1)
      if (part == Filled::half_lanes) return run_tile<Full<T, Narrow<T>>, PV, Stride>(rest...);
  }
  run_tile<F, PV, Stride>(rest...);
}

/// One row against two panels at once: a single row against one panel would wait for its own multiply-adds. (All
/// factors in one call: 2 to 6% off a step of 16 to 64 units with AVX-512, 1% longer with AVX2.)
template <class F, int PV, int Stride>
__attribute__((noinline)) static void tile_pair(typename F::Value* acc, const typename F::Row* a,
                                                const typename F::Value* w, Index panel, Index k,
                                                const typename F::Value* row_scales,
                                                const typename F::Value* unit_scales) {
  using T = typename F::Value;
  using V = Vec<T>;
  constexpr int U = V::kLanes;
  constexpr int step = F::kStride * Stride;
  const T* w1 = w + panel;
  for (Index begin = 0; begin < k; begin += kBlock) {
    const Index n = k - begin < kBlock ? k - begin : kBlock;
    typename F::Sum s[2 * PV];
#pragma GCC unroll 8
    for (int v = 0; v < 2 * PV; ++v) s[v] = F::start(a);
    a += F::kHeader;
    for (Index i = 0; i < n; ++i, a += step, w += PV * U, w1 += PV * U) {
#pragma GCC unroll 4
      for (int part = 0; part < F::kParts; ++part) {
        const auto x = F::operand(a, part);
#pragma GCC unroll 4
        for (int v = 0; v < PV; ++v) s[v] = F::multiply(x, F::weight(read_again<F>(w) + v * U, part), s[v]);
#pragma GCC unroll 4
        for (int v = 0; v < PV; ++v) s[PV + v] = F::multiply(x, F::weight(read_again<F>(w1) + v * U, part), s[PV + v]);
      }
    }
#pragma GCC unroll 8
    for (int v = 0; v < 2 * PV; ++v)
      F::add(V::load(acc + v * U), s[v], row_scales, 0, unit_scales, v * U).store(acc + v * U);
  }
}

/// One row against some panels, two by two; `k` is that of all factors together.
template <class F, int PV, int Stride>
static void sweep_row(Watch* watch, const Panels<typename F::Value>& matrix, Range panels, Index first_k,
                      const Factor<F>* factors, int count, Index k, const void* caller,
                      const TileHooks<typename F::Value>& hooks) {
  using T = typename F::Value;
  constexpr int width = PV * Vec<T>::kLanes;
  alignas(64) T acc[2 * width];
  const Index panel_size = matrix.k * width;
  for (Index i = 0; i < panels.size(); i += 2) {
    const bool pair = i + 1 < panels.size();
    const Index p = panels.descending ? panels.end - i - (pair ? 2 : 1) : panels.begin + i;
    if (stops(watch, k * 2 * width)) return;
    hooks.fill(caller, acc, 0, 1, p);
    if (pair) hooks.fill(caller, acc + width, 0, 1, p + 1);
    const T* w = matrix.data + p * panel_size + first_k * width;
    for (int f = 0; f < count; w += factors[f].k * width, ++f) {
      const Factor<F>& factor = factors[f];
      const T* unit_scales = factor.unit_scales ? factor.unit_scales + p * width : nullptr;
      if (pair)
        tile_pair<F, PV, Stride>(acc, factor.rows[0], w, panel_size, factor.k, factor.row_scales, unit_scales);
      else
        tile<F, 1, PV, Stride>(acc, factor.rows, 0, w, factor.k, factor.row_scales, unit_scales);
    }
    hooks.consume(caller, acc, 0, 1, p);
    if (pair) hooks.consume(caller, acc + width, 0, 1, p + 1);
  }
}

/// Runs over panels, and for each over the rows: the factors are multiplied in one after the other from row `first_k`
/// of the matrix on. Element k of a row lies Stride * k behind its pointer. It ends early when the watch says so.
///
/// A block of rows takes in kBlock rows of the panel (with 4 vectors to a row, half of a 32 KB L1) before the next ones
/// come, so that they are read from L1 by all row tiles but the first.
template <class F, int PV, int Stride>
__attribute__((noinline)) static void sweep_tiles(Watch* watch, const Panels<typename F::Value>& matrix, Range panels,
                                                  Index first_k, const Factor<F>* factors, int count, Index n,
                                                  const void* caller, const TileHooks<typename F::Value>& hooks) {
  using T = typename F::Value;
  constexpr int width = PV * Vec<T>::kLanes;
  constexpr Index R = max_rows<F, PV>();
  constexpr Index most = 12 * R;
  if (n <= 0) return;
  Index depth_of_all = 16;  // what the hooks do beside the products
  for (int f = 0; f < count; ++f) depth_of_all += factors[f].k;
  if (n == 1)
    return sweep_row<F, PV, Stride>(watch, matrix, panels, first_k, factors, count, depth_of_all, caller, hooks);
  alignas(64) T acc[most * width];
  for (Index i = 0; i < panels.size(); ++i) {
    const Index p = panels.descending ? panels.end - 1 - i : panels.begin + i;
    const Filled part = filled<F, PV>(matrix, p);
    for (Index first = 0; first < n; first += most) {
      const Index rows = n - first < most ? n - first : most;
      if (stops(watch, rows * depth_of_all * width)) return;
      hooks.fill(caller, acc, first, rows, p);
      const T* w = matrix.data + (p * matrix.k + first_k) * width;
      for (int f = 0; f < count; ++f) {
        const Factor<F>& factor = factors[f];
        const T* unit_scales = factor.unit_scales ? factor.unit_scales + p * width : nullptr;
        for (Index k = 0; k < factor.k; k += kBlock) {
          const Index depth = factor.k - k < kBlock ? factor.k - k : kBlock;
          for (Index row = 0; row < rows;) {
            const Index share = next_tile<F, PV>(rows - row);
            run_filled_tile<F, PV, Stride>(part, share, acc + row * width, factor.rows + first + row, k, w, depth,
                                           factor.row_scales ? factor.row_scales + first + row : nullptr, unit_scales);
            row += share;
          }
          w += depth * width;
        }
      }
      hooks.consume(caller, acc, first, rows, p);
    }
  }
}

/// The hooks of a caller that has fill(acc, first, n, panel) and consume(acc, first, n, panel). They are those of a
/// copy, whose members the compiler may keep in registers; so it should hold values, not references.
template <class T, class Hooks>
static constexpr TileHooks<T> hooks_of() {
  return {[](const void* caller, T* acc, Index first, Index n, Index p) {
            const Hooks copy = *static_cast<const Hooks*>(caller);
            copy.fill(acc, first, n, p);
          },
          [](const void* caller, const T* acc, Index first, Index n, Index p) {
            const Hooks copy = *static_cast<const Hooks*>(caller);
            copy.consume(acc, first, n, p);
          }};
}

/// Hooks made of two functions for a single row: fill(acc, row, panel) and consume(acc, row, panel).
template <class T, int PV, class Fill, class Consume>
struct EachRow {
  Fill each_fill;
  Consume each_consume;
  FASTRNN_INLINE void fill(T* acc, Index first, Index n, Index p) const {
    for (Index r = 0; r < n; ++r) each_fill(acc + r * PV * Vec<T>::kLanes, first + r, p);
  }
  FASTRNN_INLINE void consume(const T* acc, Index first, Index n, Index p) const {
    for (Index r = 0; r < n; ++r) each_consume(acc + r * PV * Vec<T>::kLanes, first + r, p);
  }
};

/// sweep_tiles() with such hooks.
template <class F, int PV, int Stride = 1, class Fill, class Consume>
FASTRNN_INLINE static void sweep(Watch* watch, const Panels<typename F::Value>& matrix, Range panels, Index first_k,
                                 const Factor<F>* factors, int count, Index n, const Fill& fill,
                                 const Consume& consume) {
  using Hooks = EachRow<typename F::Value, PV, Fill, Consume>;
  const Hooks hooks = {fill, consume};
  sweep_tiles<F, PV, Stride>(watch, matrix, panels, first_k, factors, count, n, &hooks,
                             hooks_of<typename F::Value, Hooks>());
}

}  // namespace fastrnn::FASTRNN_ISA
