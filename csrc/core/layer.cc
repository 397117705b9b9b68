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
AlignedBuffer lay_out(const PackedData<T>& packed, const ForwardArguments<T>& arguments, bool training,
                      Layer<T>& layer) {
  const Index batch = arguments.batch, padded = packed.padded, rows = training ? arguments.steps * batch : 0;
  layer.kind = packed.kind;
  layer.options = packed.cell_options;
  layer.cell = packed.cell;
  layer.steps = arguments.steps;
  layer.batch = layer.rows = batch;
  layer.inputs = packed.inputs;
  layer.hidden = packed.hidden;
  layer.padded = padded;
  layer.gates_width = spaced<T>(packed.cell.columns * padded);
  layer.dgates_width = spaced<T>(packed.cell.dcolumns * padded);
  layer.params = packed.params;
  layer.x = arguments.x;
  layer.y = arguments.y;
  layer.reverse = arguments.reverse;
  T *h0, *c0;
  Index *length, *order;
  AlignedBuffer memory = allocate([&](Arena& arena) {
    arena.take(h0, batch * padded);
    arena.take(c0, layer.cell.has_c ? batch * padded : 0);
    arena.take(length, batch);
    arena.take(order, batch);
    arena.take(layer.gates, rows * layer.gates_width);
    arena.take(layer.c, layer.cell.has_c ? rows * padded : 0);
  });
  pad_rows(arguments.h0, h0, batch, packed.hidden, padded);
  if (layer.cell.has_c) pad_rows(arguments.c0, c0, batch, packed.hidden, padded);
  for (Index b = 0; b < batch; ++b) length[b] = arguments.lengths != nullptr ? arguments.lengths[b] : arguments.steps;
  // By decreasing length, so that the rows still running are always a prefix.
  std::iota(order, order + batch, Index(0));
  if (arguments.lengths != nullptr)
    std::stable_sort(order, order + batch, [&](Index a, Index b) { return length[a] > length[b]; });
  layer.h0 = h0;
  layer.c0 = c0;
  layer.length = length;
  layer.order = order;
  return memory;
}

template void pad_rows<float>(const float*, float*, Index, Index, Index);
template void pad_rows<double>(const double*, double*, Index, Index, Index);
template AlignedBuffer lay_out(const PackedData<float>&, const ForwardArguments<float>&, bool, Layer<float>&);
template AlignedBuffer lay_out(const PackedData<double>&, const ForwardArguments<double>&, bool, Layer<double>&);

}  // namespace fastrnn
