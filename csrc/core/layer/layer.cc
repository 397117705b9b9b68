#include "core/layer/layer.h"

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
      const T* row = from != nullptr ? from + layer.in_cell_states(j, b) : nullptr;
      pad_rows(row, to + b * layer.c_width + j * layer.padded, 1, layer.hidden, layer.padded);
    }
}

namespace {

/// Lists the times that a mask keeps, in the order of computation, (B,T), and counts them for each row.
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

/// Reserves columns of `gates` behind the cell's own, for normalised values and for masks.
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
LayerMemory<T> place_layer(const PackedData<T>& packed, const ForwardArguments<T>& arguments, bool training,
                           Index saved_steps, Layer<T>& layer, Arena& arena) {
  const Index batch = arguments.batch, steps = arguments.steps, padded = packed.padded, rows = saved_steps * batch;
  const bool masks_h = training && arguments.dropout.recurrent > 0, masks_x = training && arguments.dropout.inputs > 0;
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
  LayerMemory<T> memory;
  arena.take(memory.h0, batch * padded);
  arena.take(memory.c0, batch * layer.c_width);
  arena.take(memory.zeros, std::max(padded, layer.c_width));
  arena.take(memory.length, batch);
  arena.take(memory.order, batch);
  arena.take(memory.times, arguments.mask != nullptr ? batch * steps : 0);
  arena.take(memory.starts, arguments.batch_sizes != nullptr ? 2 * steps : 0);
  arena.take(memory.h_mask, masks_h ? batch * padded : 0);
  arena.take(memory.x_mask, masks_x ? layer.inputs : 0);
  arena.take(memory.x, masks_x ? steps * batch * layer.inputs : 0);
  arena.take(layer.h_operand, masks_h ? rows * padded : 0);
  arena.take(layer.gates, rows * layer.gates_width);
  arena.take(layer.c, rows * layer.c_width);
  layer.h0 = memory.h0;
  layer.c0 = memory.c0;
  layer.zeros = memory.zeros;
  layer.length = memory.length;
  layer.order = memory.order;
  layer.times = arguments.mask != nullptr ? memory.times : nullptr;
  layer.h_mask = masks_h ? memory.h_mask : nullptr;
  return memory;
}

template <class T>
void fill_layer(const ForwardArguments<T>& arguments, const LayerMemory<T>& memory, Layer<T>& layer) {
  const Index batch = layer.batch, steps = layer.steps, padded = layer.padded;
  Index *length = memory.length, *order = memory.order;
  pad_rows(arguments.h0, memory.h0, batch, layer.state, padded);
  pad_cell_states(layer, arguments.c0, memory.c0);
  std::fill_n(memory.zeros, std::max(padded, layer.c_width), T(0));
  for (Index b = 0; b < batch; ++b) length[b] = arguments.lengths != nullptr ? arguments.lengths[b] : steps;
  if (arguments.mask != nullptr) list_times(arguments, memory.times, length);
  if (arguments.batch_sizes != nullptr) {
    Index before = 0;
    for (Index t = 0; t < steps; ++t) {
      memory.starts[t] = before * arguments.x.row;
      memory.starts[steps + t] = before * arguments.y.row;
      before += arguments.batch_sizes[t];
      for (Index b = arguments.batch_sizes[t]; b < batch && length[b] > t; ++b) length[b] = t;
    }
    layer.x.start = memory.starts;
    layer.y.start = memory.starts + steps;
  }
  // By decreasing length, so that the rows still running are always a prefix.
  std::iota(order, order + batch, Index(0));
  if (arguments.lengths != nullptr || arguments.mask != nullptr)
    std::stable_sort(order, order + batch, [&](Index a, Index b) { return length[a] > length[b]; });
  const DropoutOptions& dropout = arguments.dropout;
  if (layer.h_mask != nullptr) {
    const Masks masks(dropout.seed, dropout.stream, MaskKind::recurrent_dropout, dropout.recurrent);
    for (Index b = 0; b < batch; ++b) masks.fill_inverted(0, b, padded, memory.h_mask + b * padded);
  }
}

/// Makes x times its dropout mask, the same at all steps, the layer's input.
template <class T>
void drop_inputs(const DropoutOptions& dropout, const LayerMemory<T>& memory, Layer<T>& layer) {
  const Masks masks(dropout.seed, dropout.stream, MaskKind::dropout, dropout.inputs);
  const Index inputs = layer.inputs;
  for (Index b = 0; b < layer.batch; ++b) {
    check_interrupted(layer.length[b] * inputs);
    masks.fill_inverted(0, b, inputs, memory.x_mask);
    for (Index s = 0; s < layer.length[b]; ++s) {
      const Index t = layer.time(b, s);
      const T* from = layer.x.at(t, b);
      T* to = memory.x + (t * layer.batch + b) * inputs;
      for (Index i = 0; i < inputs; ++i) to[i] = from[i] * memory.x_mask[i];
    }
  }
  layer.x = {memory.x, layer.batch * inputs, inputs, nullptr};
}

template <class T>
AlignedBuffer lay_out(const PackedData<T>& packed, const ForwardArguments<T>& arguments, bool training,
                      Index saved_steps, Layer<T>& layer) {
  LayerMemory<T> memory;
  AlignedBuffer buffer =
      allocate([&](Arena& arena) { memory = place_layer(packed, arguments, training, saved_steps, layer, arena); });
  fill_layer(arguments, memory, layer);
  if (training && arguments.dropout.inputs > 0) drop_inputs(arguments.dropout, memory, layer);
  return buffer;
}

template void pad_rows<float>(const float*, float*, Index, Index, Index);
template void pad_rows<double>(const double*, double*, Index, Index, Index);
template void pad_cell_states<float>(const Layer<float>&, const float*, float*);
template void pad_cell_states<double>(const Layer<double>&, const double*, double*);
template LayerMemory<float> place_layer(const PackedData<float>&, const ForwardArguments<float>&, bool, Index,
                                        Layer<float>&, Arena&);
template void fill_layer(const ForwardArguments<float>&, const LayerMemory<float>&, Layer<float>&);
template AlignedBuffer lay_out(const PackedData<float>&, const ForwardArguments<float>&, bool, Index, Layer<float>&);
template AlignedBuffer lay_out(const PackedData<double>&, const ForwardArguments<double>&, bool, Index, Layer<double>&);

}  // namespace fastrnn
