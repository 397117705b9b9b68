// The loop over time on one thread: workspace, pointer lists, and the calls of the backend.
//
// A step of several rows is one product, [W|R] times [x|h], where the cell allows it. Else time is cut into chunks: W x
// of a chunk is one matrix product ahead of its steps, as large as its result stays in the cache; then each step
// multiplies R with the h of the step before and computes the cell. What a step reads and writes is given as lists of
// row pointers, so that the kernels need not know of strides, directions, lengths or masks; rows are ordered by
// decreasing length, and those that still run are always the first of the list.
#pragma once

#include <algorithm>

#include "core/base/float_mode.h"
#include "core/layer/layer.h"

namespace fastrnn {

/// The bytes of W x that are computed ahead of the steps: enough rows for a fast product, few enough to stay in L2 and
/// L3. (Longer chunks as rows of a ragged batch retire, up to the same number of rows, were no faster.)
constexpr Index kChunkBytes = 512 * 1024;
/// The bytes of x that are multiplied at a time: they stay in L2 while all panels of W pass by.
constexpr Index kBlockBytes = 192 * 1024;
/// The bytes of weights that narrow vectors may read anew for every step.
constexpr Index kSmallWeights = 128 * 1024;

template <class T>
Index chunk_steps(const PackedData<T>& packed, Index steps, Index rows) {
  const Index step_bytes = std::max<Index>(1, rows * packed.cell.columns * packed.padded * Index(sizeof(T)));
  return std::max<Index>(1, std::min(steps, kChunkBytes / step_bytes));
}

/// Whether steps of so many rows are computed whole, [W|R] times [x|h], where the cell allows it: W x then goes from
/// the registers into the sums, not through an array of the size of all gates. With vectors of 64 bytes that takes 1 to
/// 10% off; up to three rows wait for their own multiply-adds, so W x does better in larger tiles. Narrower vectors
/// read the weights more often, and W must not come from L2 again at every step (15% longer for LSTM B4 H256 with
/// AVX2).
template <class T>
bool joins_input(const PackedData<T>& packed, Index rows) {
  const Index width = packed.cell.gates * packed.padded * Index(sizeof(T)) / packed.forward_kernels().terms;
  const bool wide = packed.kernels().lanes * Index(sizeof(T)) >= 64;
  return takes_whole_steps(packed.cell) && rows >= 4 &&
         (wide || width * (packed.inputs + packed.state) <= kSmallWeights);
}

template <class T>
Mode mode_of(const PackedData<T>& packed, const Layer<T>& layer, bool training) {
  if (layer.general) return training ? Mode::general_training : Mode::general;
  return training ? Mode::training : packed.pack_options.fast_activations ? Mode::fast : Mode::inference;
}

/// The kernel for steps of a single row; null where the cell, or what it is asked for, has none.
template <class T>
RowKernel<T> row_kernel(const PackedData<T>& packed, const Layer<T>& layer, bool training) {
  const Mode mode = mode_of(packed, layer, training);
  if (mode > Mode::training || layer.cell.phase[0].norm != cells::kNoNorm) return nullptr;
  return packed.forward_kernels().row[int(mode)][int(layer.kind)];
}

/// Whether a row needs nothing but its x, states and length: no masks, no boundaries, no normalisation, one state at
/// most beside h.
template <class T>
bool is_simple(const Layer<T>& layer) {
  bool masked = layer.h_mask != nullptr || layer.norm_column >= 0;
  for (const int column : layer.mask_column) masked = masked || column >= 0;
  return !masked && layer.times == nullptr && layer.reset == nullptr && layer.y.start == nullptr &&
         !layer.options.layer_norm && layer.cell.c_states <= 1 && layer.state == layer.hidden;
}

/// Room for `rows` rows of every operand of a step, or for a block of the `inputs` rows of x.
template <class T>
void place_operands(const PackedData<T>& packed, Index rows, Index inputs, Arena& arena, ForwardCall<T>& call) {
  OperandSpace<T>& space = call.operands;
  // At most as wide as floats, plus a tail: converting writes whole vectors.
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
  arena.take(call.h_operand, rows);
  arena.take(call.c_prev, rows);
  arena.take(call.c, rows);
  arena.take(call.kept, rows);
  arena.take(call.gates, rows);
  arena.take(call.y, rows);
}

/// Runs the rows in layer.order through some of their steps, or all. It allocates nothing: place() gives it memory.
template <class T>
class ForwardRun {
 public:
  /// With `saving`, gates and c are written to the arrays of the layer, for the backward pass; else to memory of the
  /// run that later steps use again. `masks` draws the random masks of training.
  ForwardRun(const PackedData<T>& packed, const Layer<T>& layer, Index chunk, bool saving,
             const StepMasks<T>* masks = nullptr)
      : packed_(packed), chunk_(chunk), saving_(saving), masks_(masks) {
    call_.layer = layer;
    call_.panels = packed.panels;
    call_.bias = packed.bias;
    call_.recurrent_bias = packed.recurrent_bias;
  }

  void place(Arena& arena) {
    Layer<T>& layer = call_.layer;
    const Index rows = layer.rows;
    if (!saving_) {
      arena.take(layer.gates, chunk_ * rows * layer.gates_width);
      arena.take(layer.c, 2 * rows * layer.c_width);
      if (layer.h_mask != nullptr) arena.take(layer.h_operand, rows * layer.padded);
    }
    bool staged = false;
    for (int p = 0; p < layer.cell.phases; ++p)
      staged = staged || layer.cell.phase[p].norm != cells::kNoNorm || layer.cell.phase[p].from >= 0;
    arena.take(call_.raw, staged ? rows * layer.cell.gates * layer.padded : 0);
    place_operands(packed_, rows, chunk_ * rows, arena, call_);
    arena.take(call_.input_rows, chunk_ * rows);
    arena.take(call_.output_rows, chunk_ * rows);
    place_step_lists(rows, arena, call_);
  }

  Layer<T>& layer() { return call_.layer; }
  const Layer<T>& layer() const { return call_.layer; }

  /// Before every `every`-th step, c of row b is copied to row (step / every) * B + b of `rows`, c_width wide.
  void checkpoint(Index every, T* rows) {
    every_ = every;
    checkpoints_ = rows;
  }
  /// For a second forward pass over the same steps: y is known already, so it is written to these rows, and ignored.
  void discard_y(T* rows) { discarded_ = rows; }

  /// Some steps, or all. When the watch says so it ends early, and what it has computed is of no use.
  void run(Watch* watch) { run(0, call_.layer.longest(), watch); }

  /// Whether step() can take a step of this layer: one kernel does all of it, and no mask is drawn.
  bool can_step() const {
    const Layer<T>& layer = call_.layer;
    return (takes_whole_steps(layer.cell) || (layer.rows == 1 && row_kernel(packed_, layer, saving_) != nullptr)) &&
           layer.h_mask == nullptr && masks_ == nullptr && !saving_;
  }

  /// One step of all rows: x (B,I) and the states h and c (rows of padded and c_width) to the next ones. It takes no
  /// longer for a small layer than listing its rows as run() does. Whole vectors of h_next are written: what the next
  /// step reads is there at once, as it is not behind a masked store.
  void step(const T* x, const T* h, const T* c, T* h_next, T* c_next) {
    const FlushDenormals flush;
    const Layer<T>& layer = call_.layer;
    if (!ready_) get_ready();
    for (Index b = 0; b < layer.batch; ++b) {
      call_.input_rows[b] = x + b * layer.inputs;
      call_.h_prev[b] = call_.h_operand[b] = h + b * layer.padded;
      call_.y[b] = h_next + b * layer.padded;
      call_.c_prev[b] = c + b * layer.c_width;
      call_.c[b] = c_next + b * layer.c_width;
    }
    if (step_row_ != nullptr)
      step_row_(call_, true, layer.padded);
    else
      packed_.forward_kernels().whole_step(call_, *step_cell_, layer.batch);
  }

  void run(Index begin, Index end, Watch* watch) {
    const FlushDenormals flush;
    call_.watch = watch;
    ready_ = false;
    const Layer<T>& layer = call_.layer;
    const ForwardKernels<T>& kernels = packed_.forward_kernels();
    const RowKernel<T> row = row_kernel(packed_, layer, saving_);
    const auto& cell = packed_.kernels().cell[int(mode_of(packed_, layer, saving_))][int(layer.kind)];
    const Index longest = std::min(end, layer.longest());
    Index active = layer.rows;
    for (Index first = begin, last; first < longest && !stopped(watch); first = last) {
      last = std::min(first + (joins_input(packed_, active) ? 1 : chunk_), longest);
      const Index n = list_chunk(first, last, active);
      if (last - first == 1 && (takes_whole_steps(layer.cell) || (n == 1 && row != nullptr))) {
        active = list_step(first, first, active);
        if (n == 1 && row != nullptr)
          row(call_, true, layer.state);
        else
          kernels.whole_step(call_, cell[0], active);
        continue;
      }
      for (int phase = 0; phase < layer.cell.phases; ++phase)
        if (layer.cell.phase[phase].input) kernels.project(call_, phase, 0, n, {0, packed_.panels[phase].count});
      for (Index s = first; s < last && !stopped(watch); ++s) {
        active = list_step(first, s, active);
        if (active == 1 && row != nullptr) {
          row(call_, false, layer.state);
          continue;
        }
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
    return length > 0 ? c_row(length - 1, i) : layer.c0 + b * layer.c_width;
  }

 private:
  /// Where gates and c of step s of the i-th row in order lie.
  T* gates_row(Index first, Index s, Index i) const {
    const Layer<T>& layer = call_.layer;
    return saving_ ? layer.saved_gates(layer.order[i], s)
                   : layer.gates + ((s - first) * layer.rows + i) * layer.gates_width;
  }
  T* c_row(Index s, Index i) const {
    const Layer<T>& layer = call_.layer;
    return layer.c + (saving_ ? layer.saved_row(layer.order[i], s) : (s & 1) * layer.rows + i) * layer.c_width;
  }
  const T* c_before(Index s, Index i) const {
    const Layer<T>& layer = call_.layer;
    const Index b = layer.order[i];
    if (saving_ || s == 0 || layer.begins(b, s)) return layer.c_before(b, s);
    return c_row(s - 1, i);
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
        call_.output_rows[n] = gates_row(first, s, i);
      }
    }
    return n;
  }

  /// Lists what step s reads and writes; returns how many rows it has.
  Index list_step(Index first, Index s, Index active) {
    const Layer<T>& layer = call_.layer;
    const Index padded = layer.padded;
    // Steps pass the panels to and fro: those that a step ends with are in the cache still when the next one begins
    // with them. An LSTM with B 1 takes 0.9 of the time so for H 64 (R is twice the L1 of a Zen 4) and H 256 (R fills
    // its L2), 0.87 for H 512. Single steps by step() gain nothing by it, and lose up to 7%.
    call_.descending = (s & 1) != 0;
    while (layer.length[layer.order[active - 1]] <= s) --active;
    for (Index i = 0; i < active; ++i) {
      const Index b = layer.order[i];
      call_.h_prev[i] = call_.h_operand[i] = layer.h_before(b, s);
      call_.y[i] = discarded_ != nullptr ? discarded_ + i * padded : layer.y.at(layer.time(b, s), b);
      call_.gates[i] = gates_row(first, s, i);
      if (layer.cell.columns > cells::kOperandColumn) call_.kept[i] = call_.gates[i] + cells::kOperandColumn * padded;
      if (layer.cell.c_states > 0) {
        call_.c_prev[i] = c_before(s, i);
        call_.c[i] = c_row(s, i);
      }
      if (layer.h_mask != nullptr) drop_h(s, i);
      if (masks_ != nullptr) masks_->fill(layer, layer.time(b, s), b, call_.gates[i]);
      if (checkpoints_ != nullptr && s % every_ == 0)
        std::copy_n(call_.c_prev[i], layer.c_width, checkpoints_ + (s / every_ * layer.batch + b) * layer.c_width);
    }
    return active;
  }

  /// What all steps by step() have in common.
  void get_ready() {
    const Layer<T>& layer = call_.layer;
    for (Index b = 0; b < layer.batch; ++b) {
      call_.gates[b] = layer.gates + b * layer.gates_width;
      if (layer.cell.columns > cells::kOperandColumn)
        call_.kept[b] = call_.gates[b] + cells::kOperandColumn * layer.padded;
    }
    call_.watch = nullptr;
    step_row_ = layer.batch == 1 ? row_kernel(packed_, layer, saving_) : nullptr;
    step_cell_ = &packed_.kernels().cell[int(mode_of(packed_, layer, false))][int(layer.kind)][0];
    ready_ = true;
  }

  void drop_h(Index s, Index i) {
    const Layer<T>& layer = call_.layer;
    const Index b = layer.order[i];
    T* row = layer.h_operand + (saving_ ? layer.saved_row(b, s) : i) * layer.padded;
    const T *h = call_.h_prev[i], *mask = layer.h_mask + b * layer.padded;
    for (Index u = 0; u < layer.state; ++u) row[u] = h[u] * mask[u];
    call_.h_operand[i] = row;
  }

  const PackedData<T>& packed_;
  ForwardCall<T> call_;
  Index chunk_;
  bool saving_;
  const StepMasks<T>* masks_;
  Index every_ = 0;
  T* checkpoints_ = nullptr;
  T* discarded_ = nullptr;
  bool ready_ = false;  // for step()
  RowKernel<T> step_row_ = nullptr;
  const TileHooks<T>* step_cell_ = nullptr;
};

/// What all slices of a call have in common.
template <class T>
struct ForwardPlan {
  bool saving = false;
  const StepMasks<T>* masks = nullptr;  // in training
  Index checkpoint_every = 0;
  T* checkpoints = nullptr;

  ForwardRun<T> make_run(const PackedData<T>& packed, const Layer<T>& layer) const {
    ForwardRun<T> run(packed, layer, chunk_steps(packed, layer.steps, layer.rows), saving, masks);
    if (checkpoints != nullptr) run.checkpoint(checkpoint_every, checkpoints);
    return run;
  }
};

/// Writes h_n and c_n of a row.
template <class T>
void write_state(const Layer<T>& layer, const ForwardArguments<T>& arguments, Index b, const T* h, const T* c) {
  std::copy_n(h, layer.state, arguments.h_n + b * layer.state);
  unpad_cell_states(layer, b, c, arguments.c_n);
}

/// Writes y at the times where row b has no step: zeros, or, where a mask left the time out, the output before it.
template <class T>
void fill_gaps(const Layer<T>& layer, const ForwardArguments<T>& arguments, Index b) {
  if (layer.y.start != nullptr) return;
  if (layer.times == nullptr) {
    for (Index t = layer.length[b]; t < layer.steps; ++t) std::fill_n(layer.y.at(t, b), layer.state, T(0));
    return;
  }
  const T* last = layer.zeros;
  for (Index i = 0; i < layer.steps; ++i) {
    const Index t = layer.reverse ? layer.steps - 1 - i : i;
    T* y = layer.y.at(t, b);
    if (arguments.mask[t * layer.batch + b] == 0)
      std::copy_n(last, layer.state, y);
    else if (!arguments.zero_output_for_mask)
      last = y;
  }
}

template <class T>
void write_results(const ForwardRun<T>& run, const ForwardArguments<T>& arguments, Watch* watch) {
  const Layer<T>& layer = run.layer();
  for (Index i = 0; i < layer.rows; ++i) {
    const Index b = layer.order[i];
    if (stops(watch, (layer.steps - layer.length[b]) * layer.state)) return;
    write_state(layer, arguments, b, run.final_h(i), run.final_c(i));
    fill_gaps(layer, arguments, b);
  }
}

}  // namespace fastrnn
