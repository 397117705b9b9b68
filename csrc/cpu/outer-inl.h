// After the backward loop: the gate gradients of all steps are known, and the gradients of the parameters and of the
// input are matrix products over time and batch (outer-product-inl.h).
//
//   dW += dgates^T x    dR += dgates^T operand    db = column sums    dx = dgates W
//
// Rows (t, b) are folded in ascending order, kOuterDepth at a time: the order of every sum is fixed.
#pragma once

#include "outer-product-inl.h"

namespace fastrnn::FASTRNN_ISA {

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

  // dW, dR, and the gradients of projections and full peepholes.
  OuterProduct<T> products[4 + 4 * kPhases];
  int product_count = 0;
  for (int g = 0; g < cell.gates; ++g)
    products[product_count++] = {0, cell.input_column + g, count, layer.inputs,
                                 call.dw_ih + (g * hidden + units.begin) * layer.inputs};
  for (int p = 0; p < cell.back_phases; ++p)
    for (int f = 0; f < cell.back[p].sources; ++f) {
      const cells::BackSource& source = cell.back[p].source[f];
      const cells::Operand operand = operand_of(cell, source.matrix, source.block);
      const Index operand_width = operand == cells::Operand::h_prev ? layer.state : hidden;
      const bool projection = source.matrix == cells::Matrix::w_hr;
      T* out = projection ? call.dw_hr : source.matrix == cells::Matrix::w_hh ? call.dw_hh : call.dparams;
      products[product_count++] = {1 + int(operand), source.column, projection ? within(layer.state) : count,
                                   operand_width, out + (source.block * hidden + units.begin) * operand_width};
    }
  // Each right side is packed once for all columns that it meets; each column copied once for all right sides.
  Panels<T> packed[1 + cells::kMatrixOperands];
  T* room = call.packed_right;
  for (int r = 0; r < 1 + cells::kMatrixOperands; ++r) {
    bool ready = false;
    for (int i = 0; i < product_count; ++i) {
      const OuterProduct<T>& product = products[i];
      if (product.right != r) continue;
      if (!ready) {
        if (r > 0)
          for (Index k = 0; k < n; ++k)
            call.right[k] = operand_row(layer, cells::Operand(r - 1), step[k], batch_row[k]);
        if (n > kFewRows) packed[r] = pack_rows(call.right, n, product.width, room);
        room += packed[r].count * n * 4 * Vec<T>::kLanes;
        ready = true;
      }
      if (n <= kFewRows && !stops(call.watch, n * product.units * product.width))
        outer_product_of_few(call.left, product.column * padded + units.begin, call.right, n, product.width,
                             product.units, product.out, fresh);
    }
  }
  if (n > kFewRows)
    for (int column = 0; column < cell.dcolumns; ++column)
      outer_products(call.watch, call.left, column, column * padded + units.begin, n, products, product_count, packed,
                     call.packed_left, fresh);

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
