// A step of a single row in one function: products, sums and the cell's activations of one or two panels go from
// register to register. In a small layer that is most of the time: sums that go through memory between the functions
// of a sweep wait 12 cycles for each of their stores.
#pragma once

#include "forward-inl.h"

namespace fastrnn::FASTRNN_ISA {

constexpr Index kFirstCache = 32 * 1024;

/// A cell's view of a unit whose sums are in registers.
template <class T, Mode mode, class V>
struct RowUnit : ForwardUnit<T, mode, V> {
  const V* sums_;
  FASTRNN_INLINE V acc(int gate) const { return sums_[gate]; }
};

/// acc += the factor's row times N panels, which lie `panel` apart; PV vectors in each.
template <class F, int PV, int N>
FASTRNN_INLINE static void multiply_row(typename F::V* acc, const Factor<F>& factor, Index first_panel,
                                        const typename F::Value* w, Index panel) {
  using T = typename F::Value;
  constexpr int U = Vec<T>::kLanes;
  const typename F::Row* a = factor.rows[0];
  const T* unit_scales = factor.unit_scales ? factor.unit_scales + first_panel * PV * U : nullptr;
  for (Index begin = 0; begin < factor.k; begin += kBlock) {
    const Index n = factor.k - begin < kBlock ? factor.k - begin : kBlock;
    typename F::Sum s[N * PV];
#pragma GCC unroll 8
    for (int v = 0; v < N * PV; ++v) s[v] = F::start(a);
    a += F::kHeader;
    for (Index i = 0; i < n; ++i, a += F::kStride, w += PV * U) {
#pragma GCC unroll 4
      for (int part = 0; part < F::kParts; ++part) {
        const auto x = F::operand(a, part);
#pragma GCC unroll 2
        for (int q = 0; q < N; ++q) {
#pragma GCC unroll 4
          for (int v = 0; v < PV; ++v)
            s[q * PV + v] = F::multiply(x, F::weight(read_again<F>(w + q * panel) + v * U, part), s[q * PV + v]);
        }
      }
    }
#pragma GCC unroll 8
    for (int v = 0; v < N * PV; ++v) acc[v] = F::add(acc[v], s[v], factor.row_scales, 0, unit_scales, v * U);
  }
}

template <class F, class Cell, Mode mode, int N>
FASTRNN_INLINE static void row_panels(const ForwardCall<typename F::Value>& call, Index first_panel, bool whole,
                                      const Factor<F>& x, const Factor<F>& h, Index stored) {
  using T = typename F::Value;
  using V = typename F::V;
  constexpr cells::Description fixed = Cell::describe(cells::Options{});
  constexpr int U = Vec<T>::kLanes, G = fixed.phase[0].gates, blocks = blocks_in_panel(G), PV = blocks * G;
  constexpr int late = fixed.start_from_b_hh;
  const Layer<T>& layer = call.layer;
  const Panels<T>& panels = call.panels[0];
  const Index padded = layer.padded, first_unit = first_panel * blocks * U, panel = panels.k * PV * U;
  const T* w = panels.data + first_panel * panel;
  T* gates = call.gates[0];
  V acc[N * PV];
  const T* start = whole ? call.bias : gates;
#pragma GCC unroll 8
  for (int b = 0; b < N * blocks; ++b) {
    const Index unit = first_unit + b * U;
#pragma GCC unroll 4
    for (int g = 0; g < G; ++g) acc[b * G + g] = unit < padded ? V::load(start + g * padded + unit) : V(T(0));
  }
  if (whole) multiply_row<F, PV, N>(acc, x, first_panel, w, panel);
  if constexpr (late >= 0) {
#pragma GCC unroll 2
    for (int b = 0; b < N * blocks; ++b) {
      const Index unit = first_unit + b * U;
      if (whole) acc[b * G + late].store(gates + late * padded + unit);
      acc[b * G + late] = V::load(call.recurrent_bias + unit);
    }
  }
  multiply_row<F, PV, N>(acc, h, first_panel, w + packed_rows<F>(layer.inputs) * PV * U, panel);
#pragma GCC unroll 8
  for (int b = 0; b < N * blocks; ++b) {
    const Index unit = first_unit + b * U;
    if (unit >= padded) break;
    RowUnit<T, mode, V> u;
    u.sums_ = acc + b * G;
    u.layer_ = &layer;
    u.unit_ = unit;
    u.gates_ = gates + unit;
    u.padded_ = padded;
    u.param_ = layer.params + unit;
    u.h_prev_ = call.h_prev[0] + unit;
    u.h_operand_ = call.h_operand[0] + unit;
    u.y_ = call.y[0] + unit;
    u.lanes_ = int(stored - unit < U ? stored - unit : U);
    if constexpr (fixed.c_states > 0) {
      u.c_prev_ = call.c_prev[0] + unit;
      u.c_ = const_cast<T*>(call.c[0]) + unit;
    }
    Cell::template forward<0>(layer.options, u);
  }
}

template <class T>
FASTRNN_INLINE static Factor<Full<T, Narrow<T>>> narrow(const Factor<Full<T>>& f) {
  return {f.rows, f.k, nullptr, nullptr};
}

/// Two panels at once cover the latency of multiply-adds where the weights come from L1. Beyond it, with vectors of
/// 512 bits, one panel has enough of them for what L2 delivers, and the activations of each overlap with the products
/// of the next: 6 to 10% less for an LSTM of 64 units on Zen 4. (In the narrower formats, and of 32 units, more.)
template <class F, class Cell, Mode mode>
static void row_step(const ForwardCall<typename F::Value>& call, bool whole, Index stored) {
  using T = typename F::Value;
  using V = typename F::V;
  constexpr cells::Description fixed = Cell::describe(cells::Options{});
  constexpr int U = V::kLanes, blocks = blocks_in_panel(fixed.phase[0].gates), PV = blocks * fixed.phase[0].gates;
  const Layer<T>& layer = call.layer;
  const Panels<T>& panels = call.panels[0];
  Factor<F> x = {};
  if (whole) x = factor_of<F>(call, panels, 0, 0, call.input_rows, layer.inputs, 1);
  const Factor<F> h = factor_of<F>(call, panels, 1, 1, call.h_operand, layer.state, 1);
  const Index work = (16 + panels.k) * PV * U;
  const bool paired = kVectorRegisters == 16 || blocks > 1 || F::kConverts ||
                      panels.count * panels.k * PV * U * Index(sizeof(T)) <= kFirstCache;
  for (Index i = 0; i < panels.count;) {
    if (stops(call.watch, 2 * work)) return;
    const Index n = paired && i + 1 < panels.count ? 2 : 1, p = call.descending ? panels.count - n - i : i;
    i += n;
    if (n == 2) {
      row_panels<F, Cell, mode, 2>(call, p, whole, x, h, stored);
      continue;
    }
    if constexpr (!F::kConverts && Narrow<T>::kLanes < U && blocks == 1)
      if (layer.hidden - p * U <= Narrow<T>::kLanes) {
        row_panels<Full<T, Narrow<T>>, Cell, mode, 1>(call, p, whole, narrow(x), narrow(h), stored);
        continue;
      }
    row_panels<F, Cell, mode, 1>(call, p, whole, x, h, stored);
  }
}

/// For the usual cells in float: each costs the compiler a second in every format and mode.
template <class F, class Cell, Mode mode>
constexpr RowKernel<typename F::Value> row_step_of() {
  using T = typename F::Value;
  constexpr cells::Description fixed = Cell::describe(cells::Options{});
  constexpr bool small = sizeof(T) == 4 && sizeof(Vec<T>) > 16 && fixed.phases == 1 && fixed.c_states <= 1;
  if constexpr (small && Cell::kHasPlain && fixed.phase[0].sources == 1 && !(F::kConverts && mode == Mode::training))
    return row_step<F, Cell, mode>;
  else
    return nullptr;
}

template <class F>
constexpr ForwardKernels<typename F::Value> forward_kernels() {
#define FASTRNN_ROW_INFERENCE(name, type) row_step_of<F, cells::type, Mode::inference>(),
#define FASTRNN_ROW_FAST(name, type) row_step_of<F, cells::type, Mode::fast>(),
#define FASTRNN_ROW_TRAINING(name, type) row_step_of<F, cells::type, Mode::training>(),
  return {F::kTerms,
          F::kFlip ? 0x80 : 0,
          project<F>,
          step<F>,
          whole_step<F>,
          {{FASTRNN_CELL_LIST(FASTRNN_ROW_INFERENCE)},
           {FASTRNN_CELL_LIST(FASTRNN_ROW_FAST)},
           {FASTRNN_CELL_LIST(FASTRNN_ROW_TRAINING)}}};
#undef FASTRNN_ROW_TRAINING
#undef FASTRNN_ROW_FAST
#undef FASTRNN_ROW_INFERENCE
}

}  // namespace fastrnn::FASTRNN_ISA
