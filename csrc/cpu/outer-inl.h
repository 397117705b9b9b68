// After the backward loop: with the gate gradients of all steps known, the gradients of the parameters and of the input
// are matrix products over time and batch.
//
//   dW += dgates^T x    dR += dgates^T operand    db = column sums    dx = dgates W
//
// Rows (t, b) are folded in ascending order, kOuterDepth at a time: the order of every sum is fixed.
#pragma once

#include "forward-inl.h"

namespace fastrnn::FASTRNN_ISA {

/// out[u, :] += sum over rows of left[offset + u] * right[:] for one gate-gradient column; `packed` is right as panels.
/// A fresh `out` counts as zeros.
/// `buffer` takes kOuterRows units of all rows: read in place, they would lie pages apart.
template <class T>
static void outer_product(const T* const* left, Index offset, Index depth, const Panels<T>& packed, Index units,
                          T* buffer, T* out, bool fresh) {
  using V = Vec<T>;
  constexpr int U = V::kLanes;
  const Index n = packed.units;
  const T* columns[kOuterRows];
  for (Index u = 0; u < kOuterRows; ++u) columns[u] = buffer + u;
  for (Index first = 0; first < units; first += kOuterRows) {
    const Index count = units - first < kOuterRows ? units - first : kOuterRows;
    for (Index k = 0; k < depth; ++k)
      for (Index u = 0; u < count; u += U) {
        const int lanes = int(count - u < U ? count - u : U);
        V::load(left[k] + offset + first + u, lanes).store(buffer + k * kOuterRows + u, lanes);
      }
    const auto each = [&](Index row, Index p, auto&& move) {
      for (int v = 0; v < 4; ++v) {
        const Index column = (p * 4 + v) * U;
        if (column >= n) break;
        const Index lanes = n - column < U ? n - column : U;
        move(v * U, out + (first + row) * n + column, int(lanes));
      }
    };
    const Factor<Full<T>> factor = {columns, depth, nullptr, nullptr};
    sweep<Full<T>, 4, kOuterRows>(
        packed, {0, packed.count}, 0, &factor, 1, count,
        [&](T* acc, Index row, Index p) {
          if (fresh) return fill_zero(acc, 4 * U);
          each(row, p, [&](int i, const T* old, int lanes) { V::load(old, lanes).store(acc + i); });
        },
        [&](const T* acc, Index row, Index p) {
          each(row, p, [&](int i, T* now, int lanes) { V::load(acc + i).store(now, lanes); });
        });
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
  const Index padded = layer.padded, row = layer.time(b, s) * layer.batch + b;
  switch (operand) {
    case cells::Operand::h_prev: return s > 0 ? layer.y.at(layer.time(b, s - 1), b) : layer.h0 + b * padded;
    case cells::Operand::c_prev:
      return s > 0 ? layer.c + (layer.time(b, s - 1) * layer.batch + b) * padded : layer.c0 + b * padded;
    case cells::Operand::c: return layer.c + row * padded;
    default: return layer.gates + row * layer.gates_width + cells::kOperandColumn * padded;
  }
}

/// The operand that met a block of a recurrent matrix in the forward pass.
inline __attribute__((always_inline)) static cells::Operand operand_of(const cells::Description& cell,
                                                                       cells::Matrix matrix, int block) {
  for (int p = 0; p < cell.phases; ++p)
    for (int s = 0; s < cell.phase[p].sources; ++s)
      for (int g = 0; g < cell.phase[p].gates; ++g)
        if (cell.phase[p].source[s].matrix == matrix && cell.phase[p].source[s].block[g] == block)
          return cell.phase[p].source[s].operand;
  return cells::Operand::h_prev;
}

/// sums[j] += add(0, k, j) over all k, for j in a range of whole vectors: four at a time, as a single chain would wait
/// for each of its additions.
template <class T, class Add>
FASTRNN_INLINE static void fold(T* sums, Range columns, Index n, const Add& add) {
  using V = Vec<T>;
  constexpr int U = V::kLanes;
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

/// Folds n rows into the gradients of some units; `units` begins and ends at whole vectors of the padded columns.
template <class T>
static void fold_chunk(const BackwardCall<T>& call, const Index* step, const Index* batch_row, Index n, Range units,
                       bool fresh) {
  using V = Vec<T>;
  const Layer<T>& layer = call.layer;
  const cells::Description& cell = layer.cell;
  const Index padded = layer.padded, hidden = layer.hidden, width = layer.dgates_width;
  const Index last = units.end < hidden ? units.end : hidden, count = last - units.begin;

  for (Index k = 0; k < n; ++k) {
    const Index b = batch_row[k], t = layer.time(b, step[k]);
    call.left[k] = call.dgates + (t * layer.batch + b) * width;
    call.right[k] = layer.x.at(t, b);
  }

  // dW
  Panels<T> packed = pack_rows(call.right, n, layer.inputs, call.packed_right);
  for (int g = 0; g < cell.gates; ++g)
    outer_product(call.left, g * padded + units.begin, n, packed, count, call.packed_left,
                  call.dw_ih + (g * hidden + units.begin) * layer.inputs, fresh);

  // dR, and the gradient of full peepholes: one packing per operand serves all columns that it meets.
  for (int o = 0; o < 4; ++o) {
    const auto operand = cells::Operand(o);
    bool ready = false;
    for (int p = 0; p < cell.back_phases; ++p)
      for (int f = 0; f < cell.back[p].sources; ++f) {
        const cells::BackSource& source = cell.back[p].source[f];
        if (operand_of(cell, source.matrix, source.block) != operand) continue;
        if (!ready) {
          for (Index k = 0; k < n; ++k) call.right[k] = operand_row(layer, operand, step[k], batch_row[k]);
          packed = pack_rows(call.right, n, hidden, call.packed_right);
          ready = true;
        }
        T* out = source.matrix == cells::Matrix::w_hh ? call.dw_hh : call.dparams;
        outer_product(call.left, source.column * padded + units.begin, n, packed, count, call.packed_left,
                      out + (source.block * hidden + units.begin) * hidden, fresh);
      }
  }

  // db and diagonal peepholes
  for (int j = 0; j < cell.dcolumns; ++j)
    fold(call.column_sums, {j * padded + units.begin, j * padded + units.end}, n,
         [&](V sum, Index k, Index column) { return sum + V::load(call.left[k] + column); });
  for (int row = 0; row < cell.params; ++row) {
    const cells::DiagonalGradient& gradient = cell.param_gradient[row];
    for (Index k = 0; k < n; ++k) call.right[k] = operand_row(layer, gradient.operand, step[k], batch_row[k]);
    fold(call.param_sums + row * padded, units, n, [&](V sum, Index k, Index u) {
      return fmadd(V::load(call.left[k] + gradient.column * padded + u), V::load(call.right[k] + u), sum);
    });
  }
}

/// Calls fold(step, batch_row, n) on all steps of all rows in ascending order, at most kOuterDepth at a time, and
/// beyond(t, b) on those past a row's length; only for rows t * B + b within a range.
template <class T, class Fold, class Beyond>
FASTRNN_INLINE static void for_each_chunk(const Layer<T>& layer, Range time_rows, const Fold& fold,
                                          const Beyond& beyond) {
  Index step[kOuterDepth], row[kOuterDepth], n = 0;
  for (Index i = time_rows.begin; i < time_rows.end; ++i) {
    const Index t = i / layer.batch, b = i % layer.batch;
    if (t >= layer.length[b]) {
      beyond(t, b);
      continue;
    }
    step[n] = layer.reverse ? layer.length[b] - 1 - t : t;
    row[n++] = b;
    if (n == kOuterDepth) {
      fold(step, row, n);
      n = 0;
    }
  }
  if (n > 0) fold(step, row, n);
}

/// dW, dR, db and peepholes of some units (whole vectors).
template <class T>
static void parameter_gradients(const BackwardCall<T>& call, Range units) {
  const Layer<T>& layer = call.layer;
  const cells::Description& cell = layer.cell;
  const Index hidden = layer.hidden, padded = layer.padded;
  const Index last = units.end < hidden ? units.end : hidden, count = last - units.begin;
  for (int j = 0; j < cell.dcolumns; ++j)
    fill_zero(call.column_sums + j * padded + units.begin, units.end - units.begin);
  for (int j = 0; j < cell.params; ++j) fill_zero(call.param_sums + j * padded + units.begin, units.end - units.begin);

  bool fresh = true;
  for_each_chunk(
      layer, {0, layer.steps * layer.batch},
      [&](const Index* step, const Index* row, Index n) {
        fold_chunk(call, step, row, n, units, fresh);
        fresh = false;
      },
      [](Index, Index) {});
  if (fresh) {  // there was no step at all
    const auto clear_rows = [&](T* matrix, int blocks, Index columns) {
      for (int g = 0; g < blocks; ++g) fill_zero(matrix + (g * hidden + units.begin) * columns, count * columns);
    };
    clear_rows(call.dw_ih, cell.gates, layer.inputs);
    clear_rows(call.dw_hh, cell.gates, hidden);
    if (layer.options.peephole == cells::Peephole::full) clear_rows(call.dparams, 3, hidden);
  }

  const auto copy_units = [&](const T* from, T* to) { copy(from + units.begin, to + units.begin, count); };
  for (int g = 0; g < cell.gates; ++g) copy_units(call.column_sums + g * padded, call.db_ih + g * hidden);
  for (int p = 0; p < cell.back_phases; ++p)
    for (int f = 0; f < cell.back[p].sources; ++f) {
      const cells::BackSource& source = cell.back[p].source[f];
      if (source.matrix == cells::Matrix::w_hh)
        copy_units(call.column_sums + source.column * padded, call.db_hh + source.block * hidden);
    }
  for (int j = 0; j < cell.params; ++j) copy_units(call.param_sums + j * padded, call.dparams + j * hidden);
}

/// dx = dgates W for some rows t * B + b.
template <class T>
static void input_gradients(const BackwardCall<T>& call, Range time_rows) {
  using V = Vec<T>;
  constexpr int U = V::kLanes;
  const Layer<T>& layer = call.layer;
  const auto multiply = [&](const Index* step, const Index* row, Index n) {
    Factor<Full<T>> factors[4];
    for (int g = 0; g < layer.cell.gates; ++g) factors[g] = {call.factor[g], layer.hidden, nullptr, nullptr};
    for (Index k = 0; k < n; ++k) {
      const Index b = row[k], t = layer.time(b, step[k]);
      call.dx_rows[k] = call.dx.at(t, b);
      for (int g = 0; g < layer.cell.gates; ++g)
        call.factor[g][k] = call.dgates + (t * layer.batch + b) * layer.dgates_width + g * layer.padded;
    }
    sweep<Full<T>, 4>(
        call.input_panels, {0, call.input_panels.count}, 0, factors, layer.cell.gates, n,
        [&](T* acc, Index, Index) { fill_zero(acc, 4 * U); },
        [&](const T* acc, Index row, Index p) {
          for (int v = 0; v < 4; ++v) {
            const Index column = (p * 4 + v) * U, left = layer.inputs - column;
            if (left <= 0) break;
            V::load(acc + v * U).store(call.dx_rows[row] + column, int(left < U ? left : U));
          }
        });
  };
  for_each_chunk(layer, time_rows, multiply, [&](Index t, Index b) { fill_zero(call.dx.at(t, b), layer.inputs); });
}

}  // namespace fastrnn::FASTRNN_ISA
