// One time step of any cell (step), W x of many steps at once (project), and a step with its W x (whole_step). The loop
// over time is in core/layer/forward_run.h.
//
// In a step, for each panel of R: fill_sums starts the accumulators from W x + b, which project has left in `gates`;
// the sweep of tiles adds R h; apply_cell runs the cell's equations on the sums while they are in L1, and writes h into
// y, where the next step reads it, and c beside it. No array of gates is written in inference.
//
// Where the cell needs the sums of all units before it can go on (layer normalisation), they are written to a row of
// their own first: staged_step.
#pragma once

#include "norm-inl.h"
#include "tile-inl.h"
#include "units-inl.h"

namespace fastrnn::FASTRNN_ISA {

template <class T>
FASTRNN_INLINE static const T* const* operand_rows(const ForwardCall<T>& call, cells::Operand operand) {
  switch (operand) {
    case cells::Operand::h_prev: return call.h_operand;
    case cells::Operand::c_prev: return call.c_prev;
    case cells::Operand::c: return call.c;
    default: return call.kept;
  }
}

/// The rows of an operand, converted to what the format multiplies. `part` is 0 for x, else 1 + the number of the
/// source; `slot` says which of two places takes converted rows.
template <class F>
FASTRNN_INLINE static Factor<F> factor_of(const ForwardCall<typename F::Value>& call,
                                          const Panels<typename F::Value>& panels, int part, int slot,
                                          const typename F::Value* const* rows, Index width, Index n) {
  using T = typename F::Value;
  const Index k = packed_rows<F>(width);
  if constexpr (!F::kConverts) {
    (void)call, (void)panels, (void)part, (void)slot, (void)n;
    return {rows, k, nullptr, nullptr};
  } else {
    const OperandSpace<T>& space = call.operands;
    char* memory = space.memory + slot * call.layer.rows * space.row_bytes;
    for (Index i = 0; i < n; ++i, memory += space.row_bytes) {
      F::convert(rows[i], width, memory, space.scales[slot] + i);
      space.rows[slot][i] = memory;
    }
    const T* unit_scales = nullptr;
    if (panels.scales != nullptr)
      unit_scales = panels.scales + part * panels.count * panels.blocks * panels.gates * Vec<T>::kLanes;
    return {reinterpret_cast<const typename F::Row* const*>(space.rows[slot]), k,
            panels.scales != nullptr ? space.scales[slot] : nullptr, unit_scales};
  }
}

/// Calls move(offset in the panel, gate of the phase, unit) for each vector of panel p.
template <class T, class Move>
FASTRNN_INLINE static void each_vector(int gates, int blocks, Index padded, Index p, const Move& move) {
  constexpr int U = Vec<T>::kLanes;
  for (int b = 0; b < blocks; ++b) {
    const Index unit = (p * blocks + b) * U;
    if (unit >= padded) break;
    for (int g = 0; g < gates; ++g) move((b * gates + g) * U, g, unit);
  }
}

template <class F, int PV>
static void project_panels(const ForwardCall<typename F::Value>& call, const cells::Phase& phase,
                           const Panels<typename F::Value>& panels, Index first, Index n, Range range) {
  using T = typename F::Value;
  using V = Vec<T>;
  constexpr int U = V::kLanes;
  const Index padded = call.layer.padded;
  const Index first_column = phase.first_gate * padded;
  const auto each = [=, gates = panels.gates, blocks = panels.blocks](Index p, auto&& copy) {
    if (gates == PV) {  // one block: the loop is unrolled
#pragma GCC unroll 4
      for (int g = 0; g < PV; ++g) copy(g * U, first_column + g * padded + p * U);
      return;
    }
    each_vector<T>(gates, blocks, padded, p,
                   [&](int i, int g, Index unit) { copy(i, first_column + g * padded + unit); });
  };
  for (const Index end = first + n; first < end; first += call.operands.block) {
    const Index rows = end - first < call.operands.block ? end - first : call.operands.block;
    const Factor<F> factor = factor_of<F>(call, panels, 0, 0, call.input_rows + first, call.layer.inputs, rows);
    T* const* out = call.output_rows + first;
    sweep<F, PV>(
        call.watch, panels, range, 0, &factor, 1, rows,
        [each, bias = call.bias](T* acc, Index, Index p) {
          each(p, [=](int i, Index column) { V::load(bias + column).store(acc + i); });
        },
        [each, out](const T* acc, Index row, Index p) {
          each(p, [acc, to = out[row]](int i, Index column) { V::load(acc + i).store(to + column); });
        });
    if (phase.norm != cells::kNoNorm && !call.layer.cell.norm_of_sum)
      for (Index row = 0; row < rows; ++row) norm_input(call.layer, phase.norm, out[row]);
  }
}

/// gates = W x + b for the rows listed in input_rows, in blocks of rows that stay in L2 while the panels pass.
template <class F>
static void project(const ForwardCall<typename F::Value>& call, int phase_index, Index first, Index n, Range range) {
  const cells::Phase& phase = call.layer.cell.phase[phase_index];
  const Panels<typename F::Value>& panels = call.panels[phase_index];
  if (phase.gates == 3)
    project_panels<F, 3>(call, phase, panels, first, n, range);
  else
    project_panels<F, 4>(call, phase, panels, first, n, range);
}

/// How many units a phase computes, and the width of their columns: H, or P where they are those of a projected h.
template <class T>
struct Units {
  Index padded, count;
  Units(const Layer<T>& layer, bool over_state)
      : padded(over_state ? layer.padded_state : layer.padded), count(over_state ? layer.state : layer.hidden) {}
};

/// Fills the accumulators of a panel with W x + b, or with b_hh for the gate that the cell says.
template <class T, class Cell, int Phase>
static void fill_sums(const void* caller, T* acc, Index first, Index n, Index p) {
  const auto& call = *static_cast<const ForwardCall<T>*>(caller);
  using V = Vec<T>;
  constexpr int U = V::kLanes;
  constexpr cells::Description fixed = Cell::describe(cells::Options{});
  constexpr int G = fixed.phase[Phase].gates, first_gate = fixed.phase[Phase].first_gate;
  constexpr int blocks = blocks_in_panel(G);
  const Index padded = call.layer.padded;
  if constexpr (!fixed.phase[Phase].input) return fill_zero(acc, n * blocks * G * U);
  for (Index r = 0; r < n; ++r, acc += blocks * G * U)
    for (int b = 0; b < blocks; ++b) {
      const Index unit = (p * blocks + b) * U;
      if (unit >= padded) break;
      const T* gates = call.gates[first + r] + unit;
#pragma GCC unroll 4
      for (int g = 0; g < G; ++g) {
        const bool late = first_gate + g == fixed.start_from_b_hh;
        V::load(late ? call.recurrent_bias + unit : gates + (first_gate + g) * padded).store(acc + (b * G + g) * U);
      }
    }
}

/// Runs the cell on the sums of a panel.
template <class T, class Cell, int Phase, Mode mode>
static void apply_cell(const void* caller, const T* acc, Index first, Index n, Index p) {
  const auto& call = *static_cast<const ForwardCall<T>*>(caller);
  constexpr int U = Vec<T>::kLanes;
  constexpr cells::Description fixed = Cell::describe(cells::Options{});
  constexpr int G = fixed.phase[Phase].gates;
  constexpr int blocks = blocks_in_panel(G);
  const Layer<T>& layer = call.layer;
  const Units<T> units(layer, fixed.phase[Phase].over_state);
  for (Index row = first; row < first + n; ++row, acc += blocks * G * U)
    for (int b = 0; b < blocks; ++b) {
      const Index unit = (p * blocks + b) * U;
      if (unit >= units.padded) break;
      const Index left = units.count - unit;
      ForwardUnit<T, mode> u;
      u.layer_ = &layer;
      u.unit_ = unit;
      u.acc_ = acc + b * G * U;
      u.gates_ = call.gates[row] + unit;
      u.padded_ = layer.padded;
      u.param_ = layer.params + unit;
      u.h_prev_ = call.h_prev[row] + unit;
      u.h_operand_ = call.h_operand[row] + unit;
      u.y_ = call.y[row] + unit;
      u.lanes_ = int(left < U ? left : U);
      if constexpr (fixed.c_states > 0) {
        u.c_prev_ = call.c_prev[row] + unit;
        u.c_ = const_cast<T*>(call.c[row]) + unit;
      }
      Cell::template forward<Phase>(layer.options, u);
    }
}

template <class F>
static void multiply_sources(const ForwardCall<typename F::Value>& call, const cells::Phase& phase,
                             const Panels<typename F::Value>& panels, Index n, Range range, const void* caller,
                             const TileHooks<typename F::Value>& hooks) {
  const Layer<typename F::Value>& layer = call.layer;
  const Index first_k = phase.input ? packed_rows<F>(layer.inputs) : 0;
  Factor<F> factors[2];
  for (int s = 0; s < phase.sources; ++s) {
    const cells::Operand operand = phase.source[s].operand;
    const Index width = operand == cells::Operand::h_prev ? layer.state : layer.hidden;
    factors[s] = factor_of<F>(call, panels, 1 + s, s, operand_rows(call, operand), width, n);
  }
  range.descending = call.descending;
  if (phase.gates == 3)
    sweep_tiles<F, 3, 1>(call.watch, panels, range, first_k, factors, phase.sources, n, caller, hooks);
  else
    sweep_tiles<F, 4, 1>(call.watch, panels, range, first_k, factors, phase.sources, n, caller, hooks);
}

/// Hooks that leave the products of a phase in `raw`, where the cell normalises the sum with W x + b in it.
template <class T>
struct RawSums {
  T* raw;
  T* const* summands;  // null where the products are normalised by themselves
  int gates, blocks;
  Index padded, raw_width, first_column;

  void fill(T* acc, Index first, Index n, Index p) const {
    const Index width = Index(blocks) * gates * Vec<T>::kLanes;
    fill_zero(acc, n * width);
    if (summands == nullptr) return;
    for (Index r = 0; r < n; ++r, acc += width)
      each_vector<T>(gates, blocks, padded, p,
                     [=, from = summands[first + r] + first_column](int i, int g, Index unit) {
                       Vec<T>::load(from + g * padded + unit).store(acc + i);
                     });
  }
  void consume(const T* acc, Index first, Index n, Index p) const {
    for (Index r = 0; r < n; ++r, acc += Index(blocks) * gates * Vec<T>::kLanes)
      each_vector<T>(gates, blocks, padded, p, [=, to = raw + (first + r) * raw_width](int i, int g, Index unit) {
        Vec<T>::load(acc + i).store(to + g * padded + unit);
      });
  }
};

/// A step in three stages: all products to `raw`, their normalisation, then the cell, row by row.
template <class F>
static void staged_step(const ForwardCall<typename F::Value>& call, const cells::Phase& phase,
                        const Panels<typename F::Value>& panels, const TileHooks<typename F::Value>& cell, Index n) {
  using T = typename F::Value;
  using V = Vec<T>;
  constexpr int U = V::kLanes;
  const Layer<T>& layer = call.layer;
  const Index padded = layer.padded, raw_width = layer.cell.gates * padded;
  const bool of_sum = layer.cell.norm_of_sum;
  const RawSums<T> hooks = {call.raw,  of_sum ? call.gates : nullptr, phase.gates, panels.blocks, padded,
                            raw_width, phase.first_gate * padded};
  if (phase.from < 0) multiply_sources<F>(call, phase, panels, n, {0, panels.count}, &hooks, hooks_of<T, RawSums<T>>());
  alignas(64) T acc[4 * U];
  for (Index row = 0; row < n; ++row) {
    T* raw = call.raw + row * raw_width;
    T* gates = call.gates[row];
    if (phase.from >= 0) copy(gates + phase.from * padded, raw, padded);
    norm_step(layer, phase, gates, raw);
    const bool add_input = phase.input && !of_sum;
    for (Index p = 0; p < panels.count; ++p) {
      each_vector<T>(phase.gates, panels.blocks, padded, p, [&](int i, int g, Index unit) {
        const int gate = phase.first_gate + g;
        V v = V::load(raw + g * padded + unit);
        if (add_input && gate != layer.cell.start_from_b_hh) v = v + V::load(gates + gate * padded + unit);
        v.store(acc + i);
      });
      cell.consume(&call, acc, row, 1, p);
    }
  }
}

template <class F>
static void step(const ForwardCall<typename F::Value>& call, int phase_index, const TileHooks<typename F::Value>& cell,
                 Index n, Range range) {
  using T = typename F::Value;
  const cells::Phase& phase = call.layer.cell.phase[phase_index];
  const Panels<T>& panels = call.panels[phase_index];
  if (phase.norm != cells::kNoNorm || phase.from >= 0) return staged_step<F>(call, phase, panels, cell, n);
  multiply_sources<F>(call, phase, panels, n, range, &call, cell);
}

/// Hooks of a step with its W x: sums begin with the bias, the cell consumes them.
template <class T>
struct WholeSums {
  const ForwardCall<T>* call;
  const TileHooks<T>* cell;
  const T* bias;
  int gates, blocks;
  Index padded;

  void fill(T* acc, Index, Index n, Index p) const {
    for (Index r = 0; r < n; ++r, acc += Index(blocks) * gates * Vec<T>::kLanes)
      each_vector<T>(gates, blocks, padded, p,
                     [=](int i, int g, Index unit) { Vec<T>::load(bias + g * padded + unit).store(acc + i); });
  }
  void consume(const T* acc, Index first, Index n, Index p) const { cell->consume(call, acc, first, n, p); }
};

template <class F>
static void whole_step(const ForwardCall<typename F::Value>& call, const TileHooks<typename F::Value>& cell, Index n) {
  using T = typename F::Value;
  const Layer<T>& layer = call.layer;
  const cells::Phase& phase = layer.cell.phase[0];
  const Panels<T>& panels = call.panels[0];
  const Factor<F> factors[2] = {factor_of<F>(call, panels, 0, 0, call.input_rows, layer.inputs, n),
                                factor_of<F>(call, panels, 1, 1, call.h_operand, layer.state, n)};
  const WholeSums<T> sums = {&call, &cell, call.bias, panels.gates, panels.blocks, layer.padded};
  const TileHooks<T> hooks = hooks_of<T, WholeSums<T>>();
  const int count = 1 + phase.sources;
  if (phase.gates == 3)
    sweep_tiles<F, 3, 1>(call.watch, panels, {0, panels.count, call.descending}, 0, factors, count, n, &sums, hooks);
  else
    sweep_tiles<F, 4, 1>(call.watch, panels, {0, panels.count, call.descending}, 0, factors, count, n, &sums, hooks);
}

template <class T, class Cell, int Phase, Mode mode>
constexpr TileHooks<T> cell_kernels() {
  constexpr bool exact = mode == Mode::fast && sizeof(T) == 8;  // float64 has no fast activations
  constexpr bool plain = mode != Mode::general && mode != Mode::general_training;
  if constexpr (Phase >= Cell::kPhases || (plain && !Cell::kHasPlain))
    return {nullptr, nullptr};
  else
    return {fill_sums<T, Cell, Phase>, apply_cell < T, Cell, Phase, exact ? Mode::inference : mode > };
}

}  // namespace fastrnn::FASTRNN_ISA
