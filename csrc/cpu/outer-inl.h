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
/// `buffer` takes kOuterRows units of all rows: read in place, they would lie pages apart.
template <class T>
static void outer_product(const T* const* left, Index offset, Index depth, const Panels<T>& packed, Index units,
                          T* buffer, T* out) {
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
    const Factor<T> factor = {columns, depth};
    sweep<T, 4, kOuterRows>(
        packed, 0, &factor, 1, count,
        [&](T* acc, Index row, Index p) {
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

template <class T>
static void fold_chunk(const BackwardCall<T>& call, const Index* step, const Index* batch_row, Index n) {
  using V = Vec<T>;
  constexpr int U = V::kLanes;
  const Layer<T>& layer = call.layer;
  const cells::Description& cell = layer.cell;
  const Index padded = layer.padded, hidden = layer.hidden, width = layer.dgates_width;

  for (Index k = 0; k < n; ++k) {
    const Index b = batch_row[k], t = layer.time(b, step[k]);
    call.left[k] = call.dgates + (t * layer.batch + b) * width;
    call.right[k] = layer.x.at(t, b);
    call.dx_rows[k] = call.dx.at(t, b);
  }

  // dW
  Panels<T> packed = pack_rows(call.right, n, layer.inputs, call.packed_right);
  for (int g = 0; g < cell.gates; ++g)
    outer_product(call.left, g * padded, n, packed, hidden, call.packed_left, call.dw_ih + g * hidden * layer.inputs);

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
        outer_product(call.left, source.column * padded, n, packed, hidden, call.packed_left,
                      out + source.block * hidden * hidden);
      }
  }

  // db and diagonal peepholes
  // Four vectors at a time: a single chain would wait for each of its additions.
  const auto fold = [&](T* sums, Index columns, auto&& add) {
    for (Index first = 0; first < columns; first += 4 * U) {
      const int vectors = int((columns - first < 4 * U ? columns - first : 4 * U) / U);
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
  };
  fold(call.column_sums, cell.dcolumns * padded,
       [&](V sum, Index k, Index j) { return sum + V::load(call.left[k] + j); });
  for (int row = 0; row < cell.params; ++row) {
    const cells::DiagonalGradient& gradient = cell.param_gradient[row];
    for (Index k = 0; k < n; ++k) call.right[k] = operand_row(layer, gradient.operand, step[k], batch_row[k]);
    fold(call.param_sums + row * padded, padded, [&](V sum, Index k, Index u) {
      return fmadd(V::load(call.left[k] + gradient.column * padded + u), V::load(call.right[k] + u), sum);
    });
  }

  // dx
  Factor<T> factors[4];
  for (int g = 0; g < cell.gates; ++g) {
    for (Index k = 0; k < n; ++k) call.factor[g][k] = call.left[k] + g * padded;
    factors[g] = {call.factor[g], hidden};
  }
  sweep<T, 4>(
      call.input_panels, 0, factors, cell.gates, n, [](T* acc, Index, Index) { fill_zero(acc, 4 * U); },
      [&](const T* acc, Index row, Index p) {
        for (int v = 0; v < 4; ++v) {
          const Index column = (p * 4 + v) * U, left = layer.inputs - column;
          if (left <= 0) break;
          V::load(acc + v * U).store(call.dx_rows[row] + column, int(left < U ? left : U));
        }
      });
}

template <class T>
static void parameter_and_input_gradients(const BackwardCall<T>& call) {
  const Layer<T>& layer = call.layer;
  const cells::Description& cell = layer.cell;
  const Index hidden = layer.hidden, padded = layer.padded;
  const bool full = layer.options.peephole == cells::Peephole::full;
  fill_zero(call.dw_ih, cell.gates * hidden * layer.inputs);
  fill_zero(call.dw_hh, cell.gates * hidden * hidden);
  if (full) fill_zero(call.dparams, 3 * hidden * hidden);
  fill_zero(call.column_sums, cell.dcolumns * padded);
  fill_zero(call.param_sums, cell.params * padded);

  Index step[kOuterDepth], row[kOuterDepth], n = 0;
  for (Index t = 0; t < layer.steps; ++t)
    for (Index b = 0; b < layer.batch; ++b) {
      if (t >= layer.length[b]) {
        fill_zero(call.dx.at(t, b), layer.inputs);
        continue;
      }
      step[n] = layer.reverse ? layer.length[b] - 1 - t : t;
      row[n++] = b;
      if (n == kOuterDepth) {
        fold_chunk(call, step, row, n);
        n = 0;
      }
    }
  if (n > 0) fold_chunk(call, step, row, n);

  for (int g = 0; g < cell.gates; ++g) copy(call.column_sums + g * padded, call.db_ih + g * hidden, hidden);
  for (int p = 0; p < cell.back_phases; ++p)
    for (int f = 0; f < cell.back[p].sources; ++f) {
      const cells::BackSource& source = cell.back[p].source[f];
      if (source.matrix == cells::Matrix::w_hh)
        copy(call.column_sums + source.column * padded, call.db_hh + source.block * hidden, hidden);
    }
  for (int j = 0; j < cell.params; ++j) copy(call.param_sums + j * padded, call.dparams + j * hidden, hidden);
}

}  // namespace fastrnn::FASTRNN_ISA
