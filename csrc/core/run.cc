// Sets up one call: order of rows, workspace, pointers; then hands over to the backend.
#include <algorithm>
#include <cstring>
#include <numeric>

#include "core/dispatch.h"
#include "core/float_mode.h"
#include "core/pack.h"

namespace fastrnn {

namespace {

/// W x of so many bytes is computed ahead: enough rows for a good product, little enough to stay in L2 and L3.
constexpr Index kChunkBytes = 512 * 1024;

/// Rows by decreasing length, so that the rows still running are always a prefix.
void order_rows(const Index* lengths, Index* order, Index batch) {
  std::iota(order, order + batch, Index(0));
  std::stable_sort(order, order + batch, [&](Index a, Index b) { return lengths[a] > lengths[b]; });
}

/// (rows, n) to (rows, padded); null is zeros.
template <class T>
void pad_rows(const T* from, T* to, Index rows, Index n, Index padded) {
  std::fill_n(to, rows * padded, T(0));
  if (from != nullptr)
    for (Index b = 0; b < rows; ++b) std::copy_n(from + b * n, n, to + b * padded);
}

template <class T>
void check(const ForwardArguments<T>& arguments) {
  if (arguments.steps < 0 || arguments.batch < 0) throw Error("x: expected T >= 0 and B >= 0");
  if (arguments.lengths == nullptr) return;
  for (Index b = 0; b < arguments.batch; ++b)
    if (arguments.lengths[b] < 0 || arguments.lengths[b] > arguments.steps)
      throw Error("lengths: expected values in 0.." + std::to_string(arguments.steps) + ", got " +
                  std::to_string(arguments.lengths[b]) + " at index " + std::to_string(b));
}

/// The parts of a Layer that live as long as the call, or as the Saved when training.
template <class T>
AlignedBuffer lay_out(const PackedData<T>& packed, const ForwardArguments<T>& arguments, Index gates_rows, Index c_rows,
                      Layer<T>& layer) {
  const Index batch = arguments.batch;
  layer.kind = packed.kind;
  layer.options = packed.cell_options;
  layer.cell = packed.cell;
  layer.steps = arguments.steps;
  layer.batch = batch;
  layer.inputs = packed.inputs;
  layer.hidden = packed.hidden;
  layer.padded = packed.padded;
  layer.gates_width = spaced<T>(packed.cell.columns * packed.padded);
  layer.dgates_width = spaced<T>(packed.cell.dcolumns * packed.padded);
  layer.params = packed.params;
  layer.x = arguments.x;
  layer.y = arguments.y;
  layer.reverse = arguments.reverse;
  T *h0, *c0;
  Index *length, *order;
  AlignedBuffer memory = allocate([&](Arena& arena) {
    arena.take(h0, batch * packed.padded);
    arena.take(c0, layer.cell.has_c ? batch * packed.padded : 0);
    arena.take(length, batch);
    arena.take(order, batch);
    arena.take(layer.gates, gates_rows * layer.gates_width);
    arena.take(layer.c, layer.cell.has_c ? c_rows * packed.padded : 0);
  });
  pad_rows(arguments.h0, h0, batch, packed.hidden, packed.padded);
  if (layer.cell.has_c) pad_rows(arguments.c0, c0, batch, packed.hidden, packed.padded);
  for (Index b = 0; b < batch; ++b) length[b] = arguments.lengths != nullptr ? arguments.lengths[b] : arguments.steps;
  order_rows(length, order, batch);
  layer.h0 = h0;
  layer.c0 = c0;
  layer.length = length;
  layer.order = order;
  return memory;
}

template <class T>
Index chunk_steps(const PackedData<T>& packed, const ForwardArguments<T>& arguments) {
  const Index step_bytes = std::max<Index>(1, arguments.batch * packed.cell.columns * packed.padded * Index(sizeof(T)));
  return std::max<Index>(1, std::min(arguments.steps, kChunkBytes / step_bytes));
}

template <class T>
void run_forward(const PackedData<T>& packed, const Layer<T>& layer, const ForwardArguments<T>& arguments, Index chunk,
                 bool training) {
  ForwardCall<T> call;
  call.layer = layer;
  call.panels = packed.panels;
  call.bias = packed.bias;
  call.recurrent_bias = packed.recurrent_bias;
  call.training = training;
  call.chunk = chunk;
  call.h_n = arguments.h_n;
  call.c_n = arguments.c_n;
  const Index batch = layer.batch;
  const AlignedBuffer memory = allocate([&](Arena& arena) {
    arena.take(call.input_rows, chunk * batch);
    arena.take(call.output_rows, chunk * batch);
    arena.take(call.h_prev, batch);
    arena.take(call.c_prev, batch);
    arena.take(call.c, batch);
    arena.take(call.kept, batch);
    arena.take(call.gates, batch);
    arena.take(call.y, batch);
  });
  const FlushDenormals flush;
  packed.kernels().forward(call);
}

}  // namespace

template <class T>
void forward(const Weights<T>& weights, const ForwardArguments<T>& arguments) {
  check(arguments);
  const PackedData<T>& packed = weights.packed();
  const Index chunk = chunk_steps(packed, arguments);
  Layer<T> layer;
  const AlignedBuffer memory = lay_out(packed, arguments, chunk * arguments.batch, 2 * arguments.batch, layer);
  run_forward(packed, layer, arguments, chunk, false);
}

template <class T>
struct SavedData {
  std::shared_ptr<const Weights<T>> weights;
  Layer<T> layer;
  AlignedBuffer memory;
};

template <class T>
Saved<T>::Saved(std::shared_ptr<const Weights<T>> weights, const ForwardArguments<T>& arguments)
    : data_(std::make_unique<SavedData<T>>()) {
  check(arguments);
  const PackedData<T>& packed = weights->packed();
  const Index rows = arguments.steps * arguments.batch;
  data_->memory = lay_out(packed, arguments, rows, rows, data_->layer);
  data_->weights = std::move(weights);
  run_forward(packed, data_->layer, arguments, chunk_steps(packed, arguments), true);
}
template <class T>
Saved<T>::~Saved() = default;
template <class T>
const Weights<T>& Saved<T>::weights() const noexcept {
  return *data_->weights;
}
template <class T>
Index Saved<T>::steps() const noexcept {
  return data_->layer.steps;
}
template <class T>
Index Saved<T>::batch() const noexcept {
  return data_->layer.batch;
}
template <class T>
std::size_t Saved<T>::bytes() const noexcept {
  return data_->memory.bytes();
}

template <class T>
void backward(const Saved<T>& saved, const BackwardArguments<T>& arguments) {
  const PackedData<T>& packed = saved.weights().packed();
  const TransposedPanels<T> transposed = transpose(packed);
  BackwardCall<T> call;
  const Layer<T>& layer = call.layer = saved.data().layer;
  const Index batch = layer.batch, padded = layer.padded, width = layer.dgates_width;
  const Index rows = std::max(batch, kOuterDepth);
  const Index lanes = packed.kernels().lanes, panel = 4 * lanes;
  const Index widest = (std::max(layer.inputs, layer.hidden) + panel - 1) / panel * panel;
  T* zeros;
  const AlignedBuffer memory = allocate([&](Arena& arena) {
    arena.take(call.dgates, layer.steps * batch * width);
    arena.take(call.carry_h, batch * padded);
    arena.take(call.carry_c, batch * padded);
    arena.take(zeros, width);
    arena.take(call.column_sums, width);
    arena.take(call.param_sums, layer.cell.params * padded);
    arena.take(call.packed_left, kOuterDepth * kOuterRows);
    arena.take(call.packed_right, kOuterDepth * widest);
    arena.take(call.h_prev, batch);
    arena.take(call.c_prev, batch);
    arena.take(call.c, batch);
    arena.take(call.gates, batch);
    arena.take(call.dy_rows, batch);
    arena.take(call.dgate_rows, batch);
    arena.take(call.carry_h_rows, batch);
    arena.take(call.carry_c_rows, batch);
    for (auto& factor : call.factor) arena.take(factor, rows);
    arena.take(call.left, kOuterDepth);
    arena.take(call.right, kOuterDepth);
    arena.take(call.dx_rows, kOuterDepth);
  });
  std::fill_n(zeros, width, T(0));
  call.zeros = zeros;
  call.panels = transposed.back;
  call.input_panels = transposed.input;
  call.dy = arguments.dy;
  call.dx = arguments.dx;
  call.dh0 = arguments.dh0;
  call.dc0 = arguments.dc0;
  call.dw_ih = arguments.dw_ih;
  call.dw_hh = arguments.dw_hh;
  call.db_ih = arguments.db_ih;
  call.db_hh = arguments.db_hh;
  call.dparams = arguments.dw_peep;
  pad_rows(arguments.dh_n, call.carry_h, batch, layer.hidden, padded);
  pad_rows(arguments.dc_n, call.carry_c, batch, layer.hidden, padded);
  const FlushDenormals flush;
  packed.kernels().backward(call);
}

template void forward<float>(const Weights<float>&, const ForwardArguments<float>&);
template void forward<double>(const Weights<double>&, const ForwardArguments<double>&);
template class Saved<float>;
template class Saved<double>;
template void backward<float>(const Saved<float>&, const BackwardArguments<float>&);
template void backward<double>(const Saved<double>&, const BackwardArguments<double>&);

}  // namespace fastrnn
