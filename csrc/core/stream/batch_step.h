// One step of one layer for rows that may lie anywhere in memory: a pool's streams that have an input waiting.
#pragma once

#include "core/layer/forward_run.h"

namespace fastrnn {

template <class T>
class BatchStep {
 public:
  BatchStep(const PackedData<T>& packed, Index rows) : packed_(packed), rows_(rows) {}

  void place(Arena& arena) {
    Layer<T>& layer = call_.layer;
    place_layer(packed_, ForwardArguments<T>(), false, 0, layer, arena);
    layer.rows = std::min(rows_, kRows);
    arena.take(gates_, layer.rows * layer.gates_width);
    arena.take(call_.raw, layer.rows * layer.cell.gates * layer.padded);
    place_operands(packed_, layer.rows, layer.rows, arena, call_);
    arena.take(call_.input_rows, rows_);
    arena.take(call_.output_rows, layer.rows);
    place_step_lists(rows_, arena, call_);
    call_.panels = packed_.panels;
    call_.bias = packed_.bias;
    call_.recurrent_bias = packed_.recurrent_bias;
  }

  Index h_width() const { return call_.layer.padded; }
  Index c_width() const { return call_.layer.c_width; }

  /// Row i of the next run: x (I), h before and after it (each in memory of its own), c likewise (c_width).
  void set_row(Index i, const T* x, const T* h_before, T* h, const T* c_before, T* c) noexcept {
    call_.input_rows[i] = x;
    call_.h_prev[i] = call_.h_operand[i] = h_before;
    call_.y[i] = h;
    call_.c_prev[i] = c_before;
    call_.c[i] = c;
  }

  /// The first n rows, unless the watch ends it early.
  void run(Index n, Watch* watch) noexcept {
    const FlushDenormals flush;
    call_.watch = watch;
    for (Index first = 0; first < n && !stopped(watch); first += kRows) run_tile(first, std::min(kRows, n - first));
  }

 private:
  /// Rows that are computed together: their h and x stay in L2 beside the weights, which pass once for all of them.
  static constexpr Index kRows = 96;

  void run_tile(Index first, Index n) noexcept {
    ForwardCall<T> call = call_;
    const Layer<T>& layer = call.layer;
    call.input_rows += first;
    call.h_prev += first;
    call.h_operand += first;
    call.y += first;
    call.c_prev += first;
    call.c += first;
    for (Index i = 0; i < n; ++i) {
      call.gates[i] = call.output_rows[i] = gates_ + i * layer.gates_width;
      if (layer.cell.columns > cells::kOperandColumn)
        call.kept[i] = call.gates[i] + cells::kOperandColumn * layer.padded;
    }
    const ForwardKernels<T>& kernels = packed_.forward_kernels();
    if (const RowKernel<T> row = n == 1 ? row_kernel(packed_, layer, false) : nullptr)
      return row(call, true, layer.padded);
    const auto& cell = packed_.kernels().cell[int(mode_of(packed_, layer, false))][int(layer.kind)];
    if (takes_whole_steps(layer.cell)) return kernels.whole_step(call, cell[0], n);
    for (int phase = 0; phase < layer.cell.phases; ++phase)
      if (layer.cell.phase[phase].input) kernels.project(call, phase, 0, n, {0, packed_.panels[phase].count});
    for (int phase = 0; phase < layer.cell.phases; ++phase)
      kernels.step(call, phase, cell[phase], n, {0, packed_.panels[phase].count});
  }

  const PackedData<T>& packed_;
  Index rows_;
  ForwardCall<T> call_;
  T* gates_ = nullptr;
};

}  // namespace fastrnn
