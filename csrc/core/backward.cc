// The backward pass: workspace and pointers, then the backend's three parts, each cut among the threads: the steps by
// rows of the batch, the gradients of the parameters by units, those of the input by rows of time and batch. No cut
// changes the order of a sum.
#include <algorithm>
#include <vector>

#include "core/float_mode.h"
#include "core/layer.h"
#include "core/threads.h"

namespace fastrnn {

namespace {

/// Below about 100 us a worker costs more than it gains (two thirds of the work of a training step are here).
constexpr double kWorthThreads = 8e6;

template <class T>
void place_scratch(const Layer<T>& layer, Index widest, Index depth, Arena& arena, BackwardScratch<T>& call) {
  const Index rows = layer.batch;
  arena.take(call.packed_left, depth * kOuterRows);
  arena.take(call.packed_right, depth * widest);
  arena.take(call.h_prev, rows);
  arena.take(call.c_prev, rows);
  arena.take(call.c, rows);
  arena.take(call.gates, rows);
  arena.take(call.dy_rows, rows);
  arena.take(call.dgate_rows, rows);
  arena.take(call.carry_h_rows, rows);
  arena.take(call.carry_c_rows, rows);
  for (auto& factor : call.factor) arena.take(factor, std::max(rows, depth));
  arena.take(call.left, depth);
  arena.take(call.right, depth);
  arena.take(call.dx_rows, depth);
}

template <class T>
int thread_count(const PackedData<T>& packed, const Layer<T>& layer, int wanted) {
  if (wanted <= 0) wanted = num_threads();
  const double work = 4.0 * packed.cell.gates * double(layer.hidden) * double(layer.inputs + layer.hidden) *
                      double(layer.steps) * double(layer.batch);
  return work < kWorthThreads ? 1 : wanted;
}

/// Part i of n, at multiples of `grain`.
Range part(Index all, Index grain, Index i, Index n) {
  const Index grains = (all + grain - 1) / grain;
  return {std::min(all, grains * i / n * grain), std::min(all, grains * (i + 1) / n * grain)};
}

}  // namespace

template <class T>
void backward(const Saved<T>& saved, const BackwardArguments<T>& arguments) {
  const PackedData<T>& packed = saved.weights().packed();
  const BackwardKernels<T>& kernels = packed.kernels().backward;
  const TransposedPanels<T>& transposed = packed.transposed();
  BackwardCall<T> call;
  const Layer<T>& layer = call.layer = saved.data().layer;
  const Index batch = layer.batch, padded = layer.padded, width = layer.dgates_width;
  const Index lanes = packed.kernels().lanes, panel = 4 * lanes;
  const Index widest = (std::max(layer.inputs, layer.hidden) + panel - 1) / panel * panel;
  const Index depth = std::min(kOuterDepth, layer.steps * batch);
  Team team(thread_count(packed, layer, arguments.threads));
  const Index n = team.threads();
  std::vector<BackwardScratch<T>> scratch(n);
  T* zeros;
  const AlignedBuffer memory = allocate([&](Arena& arena) {
    arena.take(call.dgates, layer.steps * batch * width);
    arena.take(call.carry_h, batch * padded);
    arena.take(call.carry_c, batch * padded);
    arena.take(zeros, width);
    arena.take(call.column_sums, width);
    arena.take(call.param_sums, layer.cell.params * padded);
    for (BackwardScratch<T>& one : scratch) place_scratch(layer, widest, depth, arena, one);
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

  const auto each_part = [&](auto&& work) {
    const auto slice = [&](int i) {
      BackwardCall<T> own = call;
      static_cast<BackwardScratch<T>&>(own) = scratch[i];
      work(own, i);
    };
    if (n > 1) return run_slices(team, int(n), slice);
    const FlushDenormals flush;
    slice(0);
  };
  each_part([&](BackwardCall<T>& own, Index i) {
    const Range rows = part(batch, 1, i, n);
    own.layer.order += rows.begin;
    own.layer.rows = rows.end - rows.begin;
    kernels.steps(own);
  });
  each_part([&](BackwardCall<T>& own, Index i) { kernels.parameters(own, part(padded, lanes, i, n)); });
  if (call.dx.data != nullptr)
    each_part([&](BackwardCall<T>& own, Index i) { kernels.inputs(own, part(layer.steps * batch, 1, i, n)); });
}

template void backward<float>(const Saved<float>&, const BackwardArguments<float>&);
template void backward<double>(const Saved<double>&, const BackwardArguments<double>&);

}  // namespace fastrnn
