// One run of the recurrence over time on one thread: workspace, pointer lists, and the loop that calls the backend.
#pragma once

#include <algorithm>

#include "core/float_mode.h"
#include "core/layer.h"

namespace fastrnn {

/// W x of so many bytes is computed ahead: enough rows for a good product, little enough to stay in L2 and L3.
constexpr Index kChunkBytes = 512 * 1024;
/// Rows of x of so many bytes are multiplied at a time: they stay in L2 while the panels pass.
constexpr Index kBlockBytes = 192 * 1024;

template <class T>
Index chunk_steps(const PackedData<T>& packed, Index steps, Index rows) {
  const Index step_bytes = std::max<Index>(1, rows * packed.cell.columns * packed.padded * Index(sizeof(T)));
  return std::max<Index>(1, std::min(steps, kChunkBytes / step_bytes));
}

template <class T>
Mode mode_of(const PackedData<T>& packed, bool training) {
  return training ? Mode::training : packed.pack_options.fast_activations ? Mode::fast : Mode::inference;
}

/// Room for `rows` rows of every operand of a step, or for a block of the `inputs` rows of x.
template <class T>
void place_operands(const PackedData<T>& packed, Index rows, Index inputs, Arena& arena, ForwardCall<T>& call) {
  OperandSpace<T>& space = call.operands;
  // The widest form is a float a term and a tail; whole vectors are written.
  space.row_bytes = spaced<T>(std::max(packed.inputs, packed.hidden) + 64 / Index(sizeof(T))) * Index(sizeof(T));
  space.block = std::clamp<Index>(kBlockBytes / space.row_bytes, 8, std::max<Index>(8, inputs));
  const bool converts = packed.pack_options.precision != Precision::full;
  const Index most = converts ? std::max(rows, space.block) : 0;
  arena.take(space.memory, converts ? std::max(2 * rows, space.block) * space.row_bytes : 0);
  for (int s = 0; s < 2; ++s) {
    arena.take(space.rows[s], most);
    arena.take(space.scales[s], most);
  }
}

template <class T>
void place_step_lists(Index rows, Arena& arena, ForwardCall<T>& call) {
  arena.take(call.h_prev, rows);
  arena.take(call.c_prev, rows);
  arena.take(call.c, rows);
  arena.take(call.kept, rows);
  arena.take(call.gates, rows);
  arena.take(call.y, rows);
}

/// Runs the rows in layer.order from their first step to their last. It allocates nothing: place() gives it memory.
template <class T>
class ForwardRun {
 public:
  /// Without `training`, gates and c of the layer are the run's own.
  ForwardRun(const PackedData<T>& packed, const Layer<T>& layer, Index chunk, bool training)
      : packed_(packed), chunk_(chunk), training_(training) {
    call_.layer = layer;
    call_.panels = packed.panels;
    call_.bias = packed.bias;
    call_.recurrent_bias = packed.recurrent_bias;
  }

  void place(Arena& arena) {
    Layer<T>& layer = call_.layer;
    const Index rows = layer.rows;
    if (!training_) {
      arena.take(layer.gates, chunk_ * rows * layer.gates_width);
      arena.take(layer.c, layer.cell.has_c ? 2 * rows * layer.padded : 0);
    }
    place_operands(packed_, rows, chunk_ * rows, arena, call_);
    arena.take(call_.input_rows, chunk_ * rows);
    arena.take(call_.output_rows, chunk_ * rows);
    place_step_lists(rows, arena, call_);
  }

  Layer<T>& layer() { return call_.layer; }
  const Layer<T>& layer() const { return call_.layer; }

  void run() {
    const FlushDenormals flush;
    const Layer<T>& layer = call_.layer;
    const ForwardKernels<T>& kernels = packed_.forward_kernels();
    const auto& cell = packed_.kernels().cell[int(mode_of(packed_, training_))][int(layer.kind)];
    const Index longest = layer.longest();
    Index active = layer.rows;
    for (Index first = 0; first < longest; first += chunk_) {
      const Index last = std::min(first + chunk_, longest);
      const Index n = list_chunk(first, last, active);
      for (int phase = 0; phase < layer.cell.phases; ++phase)
        kernels.project(call_, phase, 0, n, {0, packed_.panels[phase].count});
      for (Index s = first; s < last; ++s) {
        active = list_step(first, s, active);
        for (int phase = 0; phase < layer.cell.phases; ++phase)
          kernels.step(call_, phase, cell[phase], active, {0, packed_.panels[phase].count});
      }
    }
  }

  const T* final_h(Index i) const {
    const Layer<T>& layer = call_.layer;
    const Index b = layer.order[i], length = layer.length[b];
    return length > 0 ? layer.y.at(layer.time(b, length - 1), b) : layer.h0 + b * layer.padded;
  }
  const T* final_c(Index i) const {
    const Layer<T>& layer = call_.layer;
    const Index b = layer.order[i], length = layer.length[b];
    return length > 0 ? layer.c + c_row(length - 1, i) * layer.padded : layer.c0 + b * layer.padded;
  }

 private:
  /// The row of `gates` and of `c` that belongs to step s of the i-th row in order.
  Index gates_row(Index first, Index s, Index i) const {
    const Layer<T>& layer = call_.layer;
    return training_ ? saved_row(s, i) : (s - first) * layer.rows + i;
  }
  Index c_row(Index s, Index i) const { return training_ ? saved_row(s, i) : (s & 1) * call_.layer.rows + i; }
  Index saved_row(Index s, Index i) const {
    const Layer<T>& layer = call_.layer;
    return layer.time(layer.order[i], s) * layer.batch + layer.order[i];
  }

  /// Lists x and W x of steps first .. last; returns how many rows they are.
  Index list_chunk(Index first, Index last, Index active) {
    const Layer<T>& layer = call_.layer;
    Index n = 0;
    for (Index s = first; s < last; ++s) {
      while (layer.length[layer.order[active - 1]] <= s) --active;
      for (Index i = 0; i < active; ++i, ++n) {
        const Index b = layer.order[i];
        call_.input_rows[n] = layer.x.at(layer.time(b, s), b);
        call_.output_rows[n] = layer.gates + gates_row(first, s, i) * layer.gates_width;
      }
    }
    return n;
  }

  /// Lists what step s reads and writes; returns how many rows it has.
  Index list_step(Index first, Index s, Index active) {
    const Layer<T>& layer = call_.layer;
    const Index padded = layer.padded;
    while (layer.length[layer.order[active - 1]] <= s) --active;
    for (Index i = 0; i < active; ++i) {
      const Index b = layer.order[i];
      call_.h_prev[i] = s > 0 ? layer.y.at(layer.time(b, s - 1), b) : layer.h0 + b * padded;
      call_.y[i] = layer.y.at(layer.time(b, s), b);
      call_.gates[i] = layer.gates + gates_row(first, s, i) * layer.gates_width;
      if (layer.cell.columns > cells::kOperandColumn) call_.kept[i] = call_.gates[i] + cells::kOperandColumn * padded;
      if (layer.cell.has_c) {
        call_.c_prev[i] = s > 0 ? layer.c + c_row(s - 1, i) * padded : layer.c0 + b * padded;
        call_.c[i] = layer.c + c_row(s, i) * padded;
      }
    }
    return active;
  }

  const PackedData<T>& packed_;
  ForwardCall<T> call_;
  Index chunk_;
  bool training_;
};

/// h_n and c_n of the run's rows, and zeros in y beyond their lengths.
template <class T>
void finish_rows(const ForwardRun<T>& run, const ForwardArguments<T>& arguments) {
  const Layer<T>& layer = run.layer();
  for (Index i = 0; i < layer.rows; ++i) {
    const Index b = layer.order[i];
    std::copy_n(run.final_h(i), layer.hidden, arguments.h_n + b * layer.hidden);
    if (layer.cell.has_c) std::copy_n(run.final_c(i), layer.hidden, arguments.c_n + b * layer.hidden);
    for (Index t = layer.length[b]; t < layer.steps; ++t) std::fill_n(layer.y.at(t, b), layer.hidden, T(0));
  }
}

}  // namespace fastrnn
