#include "core/layer.h"

#include <algorithm>
#include <numeric>

namespace fastrnn {

template <class T>
void pad_rows(const T* from, T* to, Index rows, Index n, Index padded) {
  std::fill_n(to, rows * padded, T(0));
  if (from != nullptr)
    for (Index b = 0; b < rows; ++b) std::copy_n(from + b * n, n, to + b * padded);
}

template <class T>
void pad_cell_states(const Layer<T>& layer, const T* from, T* to) {
  for (Index j = 0; j < layer.cell.c_states; ++j)
    for (Index b = 0; b < layer.batch; ++b) {
      const T* row = from != nullptr ? from + (j * layer.batch + b) * layer.hidden : nullptr;
      pad_rows(row, to + b * layer.c_width + j * layer.padded, 1, layer.hidden, layer.padded);
    }
}

namespace {

/// (B,T) times of the steps that a mask leaves, in running order; returns their number for each row.
template <class T>
void list_times(const ForwardArguments<T>& arguments, Index* times, Index* length) {
  const Index steps = arguments.steps, batch = arguments.batch;
  for (Index b = 0; b < batch; ++b) {
    Index n = 0;
    for (Index i = 0; i < steps; ++i) {
      const Index t = arguments.reverse ? steps - 1 - i : i;
      if (arguments.mask[t * batch + b] != 0) times[b * steps + n++] = t;
    }
    length[b] = n;
  }
}

/// Columns of `gates` behind the cell's own.
template <class T>
void add_columns(const ForwardArguments<T>& arguments, bool training, Layer<T>& layer) {
  layer.columns = layer.cell.columns;
  layer.norm_column = -1;
  std::fill_n(layer.mask_column, int(kMasks), -1);
  if (!training) return;
  if (layer.options.layer_norm) {
    layer.norm_column = int(layer.columns);
    layer.columns += 2 * layer.cell.gates + 1;
  }
  const auto mask = [&](Mask which, double rate) {
    if (rate > 0) layer.mask_column[which] = int(layer.columns++);
  };
  mask(kCandidateMask, arguments.dropout.candidate);
  mask(kZoneoutH, layer.options.zoneout_h);
  mask(kZoneoutC, layer.options.zoneout_c);
}

}  // namespace

template <class T>
AlignedBuffer lay_out(const PackedData<T>& packed, const ForwardArguments<T>& arguments, bool training,
                      Index saved_steps, Layer<T>& layer) {
  const Index batch = arguments.batch, steps = arguments.steps, padded = packed.padded, rows = saved_steps * batch;
  const bool masks_h = training && arguments.dropout.recurrent > 0;
  layer.kind = packed.kind;
  layer.options = packed.cell_options;
  layer.cell = packed.cell;
  layer.steps = steps;
  layer.batch = layer.rows = batch;
  layer.inputs = packed.inputs;
  layer.hidden = packed.hidden;
  layer.state = packed.state;
  layer.padded = padded;
  layer.padded_state = packed.padded_state;
  layer.c_width = layer.cell.c_states * padded;
  layer.params = packed.params;
  layer.norm = packed.norm;
  layer.x = arguments.x;
  layer.y = arguments.y;
  layer.reverse = arguments.reverse;
  layer.reset = arguments.reset_mask;
  layer.truncate = training ? arguments.truncate : 0;
  layer.first = 0;
  add_columns(arguments, training, layer);
  layer.general = packed.general || masks_h || layer.mask_column[kCandidateMask] >= 0;
  layer.gates_width = spaced<T>(layer.columns * padded + (layer.norm_column >= 0 ? padded + kStatistics : 0));
  layer.dgates_width = spaced<T>(layer.cell.dcolumns * padded);
  const bool has_x_mask = training && arguments.dropout.inputs > 0;
  T *h0, *c0, *zeros, *h_mask, *x, *x_mask;
  Index *length, *order, *times, *starts;
  const bool packs = arguments.batch_sizes != nullptr;
  AlignedBuffer memory = allocate([&](Arena& arena) {
    arena.take(h0, batch * padded);
    arena.take(c0, batch * layer.c_width);
    arena.take(zeros, std::max(padded, layer.c_width));
    arena.take(length, batch);
    arena.take(order, batch);
    arena.take(times, arguments.mask != nullptr ? batch * steps : 0);
    arena.take(starts, packs ? 2 * steps : 0);
    arena.take(h_mask, masks_h ? batch * padded : 0);
    arena.take(x_mask, has_x_mask ? layer.inputs : 0);
    arena.take(x, has_x_mask ? steps * batch * layer.inputs : 0);
    arena.take(layer.h_operand, masks_h ? rows * padded : 0);
    arena.take(layer.gates, rows * layer.gates_width);
    arena.take(layer.c, rows * layer.c_width);
  });
  pad_rows(arguments.h0, h0, batch, layer.state, padded);
  pad_cell_states(layer, arguments.c0, c0);
  std::fill_n(zeros, std::max(padded, layer.c_width), T(0));
  for (Index b = 0; b < batch; ++b) length[b] = arguments.lengths != nullptr ? arguments.lengths[b] : steps;
  if (arguments.mask != nullptr) list_times(arguments, times, length);
  if (packs) {
    Index before = 0;
    for (Index t = 0; t < steps; ++t) {
      starts[t] = before * layer.inputs;
      starts[steps + t] = before * layer.state;
      before += arguments.batch_sizes[t];
      for (Index b = t > 0 ? arguments.batch_sizes[t] : batch; b < batch && length[b] > t; ++b) length[b] = t;
    }
    layer.x.start = starts;
    layer.y.start = starts + steps;
  }
  // By decreasing length, so that the rows still running are always a prefix.
  std::iota(order, order + batch, Index(0));
  if (arguments.lengths != nullptr || arguments.mask != nullptr)
    std::stable_sort(order, order + batch, [&](Index a, Index b) { return length[a] > length[b]; });
  layer.h0 = h0;
  layer.c0 = c0;
  layer.zeros = zeros;
  layer.length = length;
  layer.order = order;
  layer.times = arguments.mask != nullptr ? times : nullptr;
  layer.h_mask = masks_h ? h_mask : nullptr;
  if (masks_h) {
    const Masks masks(arguments.dropout.seed, arguments.dropout.stream, MaskKind::recurrent_dropout,
                      arguments.dropout.recurrent);
    for (Index b = 0; b < batch; ++b) masks.fill_inverted(0, b, padded, h_mask + b * padded);
  }
  if (has_x_mask) {
    const Masks masks(arguments.dropout.seed, arguments.dropout.stream, MaskKind::dropout, arguments.dropout.inputs);
    for (Index b = 0; b < batch; ++b) {
      masks.fill_inverted(0, b, layer.inputs, x_mask);
      for (Index s = 0; s < length[b]; ++s) {
        const Index t = layer.time(b, s);
        for (Index i = 0; i < layer.inputs; ++i)
          x[(t * batch + b) * layer.inputs + i] = layer.x.at(t, b)[i] * x_mask[i];
      }
    }
    layer.x = {x, batch * layer.inputs, layer.inputs, nullptr};
  }
  return memory;
}

template void pad_rows<float>(const float*, float*, Index, Index, Index);
template void pad_rows<double>(const double*, double*, Index, Index, Index);
template void pad_cell_states<float>(const Layer<float>&, const float*, float*);
template void pad_cell_states<double>(const Layer<double>&, const double*, double*);
template AlignedBuffer lay_out(const PackedData<float>&, const ForwardArguments<float>&, bool, Index, Layer<float>&);
template AlignedBuffer lay_out(const PackedData<double>&, const ForwardArguments<double>&, bool, Index, Layer<double>&);

}  // namespace fastrnn
