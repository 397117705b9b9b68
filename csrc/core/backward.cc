// The backward pass: workspace and pointers, then the backend's three parts.
#include <algorithm>

#include "core/float_mode.h"
#include "core/layer.h"

namespace fastrnn {

template <class T>
void backward(const Saved<T>& saved, const BackwardArguments<T>& arguments) {
  const PackedData<T>& packed = saved.weights().packed();
  const TransposedPanels<T>& transposed = packed.transposed();
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
  const BackwardKernels<T>& kernels = packed.kernels().backward;
  kernels.steps(call);
  kernels.parameters(call, {0, padded});
  if (call.dx.data != nullptr) kernels.inputs(call, {0, layer.steps * batch});
}

template void backward<float>(const Saved<float>&, const BackwardArguments<float>&);
template void backward<double>(const Saved<double>&, const BackwardArguments<double>&);

}  // namespace fastrnn
