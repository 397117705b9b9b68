// After the backward loop: the gate gradients of all steps are known, and the gradients of the parameters and of the
// input are matrix products over time and batch. They run on the tiles of the forward pass: for dW and dR the "weights"
// are rows of x or h, packed on the fly, and the rows are units.
//
//   dW += dgates^T x    dR += dgates^T operand    db = column sums    dx = dgates W
//
// Rows (t, b) are folded in ascending order, kOuterDepth at a time: the order of every sum is fixed.
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

/// out[u, :] += sum over rows of left[offset + u] * right[:], for one column of gate gradients; `packed` has the right
/// rows as panels. With `fresh` the old contents of `out` count as zeros. kOuterRows units of all rows are copied to
/// `buffer` first: where they are they lie pages apart. (Prefetching them, 16 rows ahead, gained nothing.)
template <class T>
static void outer_product(Watch* watch, const T* const* left, Index offset, Index depth, const Panels<T>& packed,
                          Index units, T* buffer, T* out, bool fresh) {
  using V = Vec<T>;
  constexpr int U = V::kLanes;
  const Index n = packed.units;
  const T* columns[kOuterRows];
  for (Index u = 0; u < kOuterRows; ++u) columns[u] = buffer + u;
  for (Index first = 0; first < units && !stopped(watch); first += kOuterRows) {
    const Index count = units - first < kOuterRows ? units - first : kOuterRows;
    for (Index k = 0; k < depth; ++k)
      for (Index u = 0; u < count; u += U) {
        const int lanes = int(count - u < U ? count - u : U);
        V::load(left[k] + offset + first + u, lanes).store(buffer + k * kOuterRows + u, lanes);
      }
    const auto each = [=](Index row, Index p, auto&& move) {
      for (int v = 0; v < 4; ++v) {
        const Index column = (p * 4 + v) * U;
        if (column >= n) break;
        const Index lanes = n - column < U ? n - column : U;
        move(v * U, out + (first + row) * n + column, int(lanes));
      }
    };
    const Factor<Full<T>> factor = {columns, depth, nullptr, nullptr};
    sweep<Full<T>, 4, kOuterRows>(
        watch, packed, {0, packed.count}, 0, &factor, 1, count,
        [=](T* acc, Index row, Index p) {
          if (fresh) return fill_zero(acc, 4 * U);
          each(row, p, [&](int i, const T* old, int lanes) { V::load(old, lanes).store(acc + i); });
        },
        [=](const T* acc, Index row, Index p) {
          each(row, p, [&](int i, T* now, int lanes) { V::load(acc + i).store(now, lanes); });
        });
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

template <class T>
FASTRNN_INLINE static const T* operand_row(const Layer<T>& layer, cells::Operand operand, Index s, Index b) {
  switch (operand) {
    case cells::Operand::h_prev:
      return layer.h_mask != nullptr ? layer.h_operand + layer.saved_row(b, s) * layer.padded : layer.h_before(b, s);
    case cells::Operand::c_prev: return layer.c_before(b, s);
    case cells::Operand::c: return layer.c + layer.saved_row(b, s) * layer.c_width;
    case cells::Operand::c_new: return layer.saved_gates(b, s) + layer.cell.c_new * layer.padded;
    default: return layer.saved_gates(b, s) + cells::kOperandColumn * layer.padded;
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

/// Adds n rows (step[k], batch_row[k]) to the gradients of some units, whole vectors of the padded columns.
template <class T>
static void fold_chunk(const BackwardCall<T>& call, const Index* step, const Index* batch_row, Index n, Range units,
                       bool fresh) {
  const Layer<T>& layer = call.layer;
  const cells::Description& cell = layer.cell;
  const Index padded = layer.padded, hidden = layer.hidden, width = layer.dgates_width;
  const auto within = [&](Index end) {
    const Index left = (units.end < end ? units.end : end) - units.begin;
    return left > 0 ? left : 0;
  };
  const Index count = within(hidden);

  for (Index k = 0; k < n; ++k) {
    const Index b = batch_row[k];
    call.left[k] = call.dgates + ((step[k] - call.first) * layer.batch + b) * width;
    call.right[k] = layer.x.at(layer.time(b, step[k]), b);
  }

  // Once `right` has been packed, unless it has few rows.
  Panels<T> packed;
  const auto pack_right = [&](Index columns) {
    packed.units = columns;
    if (n > kFewRows) packed = pack_rows(call.right, n, columns, call.packed_right);
  };
  const auto multiply = [&](Index column, Index rows, T* out) {
    const Index offset = column * padded + units.begin;
    if (n > kFewRows)
      outer_product(call.watch, call.left, offset, n, packed, rows, call.packed_left, out, fresh);
    else if (!stops(call.watch, n * rows * packed.units))
      outer_product_of_few(call.left, offset, call.right, n, packed.units, rows, out, fresh);
  };

  // dW
  pack_right(layer.inputs);
  for (int g = 0; g < cell.gates; ++g)
    multiply(cell.input_column + g, count, call.dw_ih + (g * hidden + units.begin) * layer.inputs);

  // dR, and the gradients of projections and full peepholes: one packing per operand serves all columns that it meets.
  for (int o = 0; o < cells::kMatrixOperands; ++o) {
    const auto operand = cells::Operand(o);
    const Index operand_width = operand == cells::Operand::h_prev ? layer.state : hidden;
    bool ready = false;
    for (int p = 0; p < cell.back_phases; ++p)
      for (int f = 0; f < cell.back[p].sources; ++f) {
        const cells::BackSource& source = cell.back[p].source[f];
        if (operand_of(cell, source.matrix, source.block) != operand) continue;
        if (!ready) {
          for (Index k = 0; k < n; ++k) call.right[k] = operand_row(layer, operand, step[k], batch_row[k]);
          pack_right(operand_width);
          ready = true;
        }
        const bool projection = source.matrix == cells::Matrix::w_hr;
        T* out = projection ? call.dw_hr : source.matrix == cells::Matrix::w_hh ? call.dw_hh : call.dparams;
        const Index rows = projection ? within(layer.state) : count;
        multiply(source.column, rows, out + (source.block * hidden + units.begin) * operand_width);
      }
  }

  // db, gains, and diagonal peepholes
  const auto add = [&](T* sums, int column, const T* const* right, Index width) {
    fold(sums, units, n, call.left, column * padded, right, width);
  };
  const auto add_column = [&](int column) { add(call.column_sums + column * padded, column, nullptr, 0); };
  for (int g = 0; g < cell.gates; ++g) {
    add_column(g);
    if (cell.recurrent_column[g] != g) add_column(cell.recurrent_column[g]);
  }
  if (call.dln_hh != nullptr) {
    const auto add_gain = [&](int sum_row, int column, int hat) {
      for (Index k = 0; k < n; ++k)
        call.right[k] = layer.saved_gates(batch_row[k], step[k]) + (layer.norm_column + hat) * padded;
      add(call.norm_sums + sum_row * padded, column, call.right, padded);
    };
    for (int g = 0; g < cell.gates; ++g) {
      add_gain(g, cell.recurrent_column[g], g);
      if (!cell.norm_of_sum) add_gain(cell.gates + g, g, cell.gates + g);
    }
    if (layer.options.cell_norm) {
      add_column(cell.cell_norm_from);
      add_gain(2 * cell.gates, cell.cell_norm_from, 2 * cell.gates);
    }
  }
  for (int row = 0; row < cell.params; ++row) {
    const cells::DiagonalGradient& gradient = cell.param_gradient[row];
    for (Index k = 0; k < n; ++k) call.right[k] = operand_row(layer, gradient.operand, step[k], batch_row[k]);
    add(call.param_sums + row * padded, gradient.column, call.right, hidden);  // rows of h end where h does
  }
}

/// Calls fold(step, batch_row, n) on all pairs of a step and a row that has it, in ascending order, at most kOuterDepth
/// at a time; of those, the ones whose index step * B + b is in the range.
template <class T, class Fold>
FASTRNN_INLINE static void for_each_chunk(const BackwardCall<T>& call, Range range, const Fold& fold) {
  const Layer<T>& layer = call.layer;
  Index step[kOuterDepth], row[kOuterDepth], n = 0;
  for (Index i = range.begin; i < range.end && !stopped(call.watch); ++i) {
    const Index s = i / layer.batch, b = i % layer.batch;
    if (s >= layer.length[b]) continue;
    step[n] = s;
    row[n++] = b;
    if (n == kOuterDepth) {
      fold(step, row, n);
      n = 0;
    }
  }
  if (n > 0) fold(step, row, n);
}

/// Backward through the normalisation of W x, for the rows step * B + b of a range.
template <class T>
static void norm_input_gradients(const BackwardCall<T>& call, Range range) {
  const Layer<T>& layer = call.layer;
  for_each_chunk(call, range, [&](const Index* step, const Index* row, Index n) {
    if (stops(call.watch, n * layer.dgates_width * kPerElement)) return;
    for (Index k = 0; k < n; ++k)
      norm_input_backward(layer, layer.saved_gates(row[k], step[k]),
                          call.dgates + ((step[k] - call.first) * layer.batch + row[k]) * layer.dgates_width);
  });
}

/// dW, dR, db, peepholes and gains of some units (whole vectors), from steps first .. last, and what later steps gave.
template <class T>
static void parameter_gradients(const BackwardCall<T>& call, Range units) {
  const Layer<T>& layer = call.layer;
  const cells::Description& cell = layer.cell;
  const Index hidden = layer.hidden, padded = layer.padded;
  const Index last = units.end < hidden ? units.end : hidden, count = last - units.begin;
  const Index state_last = units.end < layer.state ? units.end : layer.state;
  bool fresh = !call.carries_on;
  if (fresh) {
    const auto clear = [&](T* sums, int columns) {
      for (int j = 0; j < columns; ++j) fill_zero(sums + j * padded + units.begin, units.end - units.begin);
    };
    clear(call.column_sums, cell.dcolumns);
    clear(call.param_sums, cell.params);
    clear(call.norm_sums, 2 * cell.gates + 1);
  }
  for_each_chunk(call, {call.first * layer.batch, call.last * layer.batch},
                 [&](const Index* step, const Index* row, Index n) {
                   fold_chunk(call, step, row, n, units, fresh);
                   fresh = false;
                 });
  if (fresh) {  // there was no step at all
    const auto clear_rows = [&](T* matrix, int blocks, Index columns) {
      for (int g = 0; g < blocks; ++g) fill_zero(matrix + (g * hidden + units.begin) * columns, count * columns);
    };
    clear_rows(call.dw_ih, cell.gates, layer.inputs);
    if (cell.phase[0].sources > 0) clear_rows(call.dw_hh, cell.gates, layer.state);
    if (layer.options.peephole == cells::Peephole::full) clear_rows(call.dparams, 3, hidden);
    if (layer.options.projected && state_last > units.begin)
      fill_zero(call.dw_hr + units.begin * hidden, (state_last - units.begin) * hidden);
  }

  const auto copy_units = [&](const T* from, T* to) { copy(from + units.begin, to + units.begin, count); };
  for (int g = 0; g < cell.gates; ++g) {
    if (call.db_ih != nullptr) copy_units(call.column_sums + g * padded, call.db_ih + g * hidden);
    if (call.db_hh != nullptr)
      copy_units(call.column_sums + cell.recurrent_column[g] * padded, call.db_hh + g * hidden);
  }
  for (int j = 0; j < cell.params; ++j) copy_units(call.param_sums + j * padded, call.dparams + j * hidden);
  if (call.dln_hh == nullptr) return;
  for (int g = 0; g < cell.gates; ++g) {
    copy_units(call.norm_sums + g * padded, call.dln_hh + g * hidden);
    if (!cell.norm_of_sum) copy_units(call.norm_sums + (cell.gates + g) * padded, call.dln_ih + g * hidden);
  }
  if (layer.options.cell_norm) {
    copy_units(call.norm_sums + 2 * cell.gates * padded, call.dln_c);
    copy_units(call.column_sums + cell.cell_norm_from * padded, call.dln_c + hidden);
  }
}

/// dx = dgates W, for the rows step * B + b of a range.
template <class T>
static void input_gradients(const BackwardCall<T>& call, Range range) {
  constexpr int U = Vec<T>::kLanes;
  const Layer<T>& layer = call.layer;
  const auto multiply = [&](const Index* step, const Index* row, Index n) {
    Factor<Full<T>> factors[4];
    for (int g = 0; g < layer.cell.gates; ++g) factors[g] = {call.factor[g], layer.hidden, nullptr, nullptr};
    for (Index k = 0; k < n; ++k) {
      const Index b = row[k];
      call.dx_rows[k] = call.dx.at(layer.time(b, step[k]), b);
      for (int g = 0; g < layer.cell.gates; ++g)
        call.factor[g][k] = call.dgates + ((step[k] - call.first) * layer.batch + b) * layer.dgates_width +
                            (layer.cell.input_column + g) * layer.padded;
    }
    sweep<Full<T>, 4>(
        call.watch, call.input_panels, {0, call.input_panels.count}, 0, factors, layer.cell.gates, n,
        [](T* acc, Index, Index) { fill_zero(acc, 4 * U); },
        [inputs = layer.inputs, rows = call.dx_rows](const T* acc, Index row, Index p) {
          store_panel(acc, p, inputs, rows[row]);
        });
  };
  for_each_chunk(call, range, multiply);
}

}  // namespace fastrnn::FASTRNN_ISA
