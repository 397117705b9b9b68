// The backward pass: workspace and pointers, then the backend's parts, each cut among the threads: the steps by rows of
// the batch, the gradients of the parameters by units, those of the input by rows of time and batch. No cut changes the
// order of a sum.
//
// It runs over segments of steps, from the last to the first; each goes on from the carries and the gate gradients of
// the segment after it. With checkpoints a segment begins with its forward pass again, now saving.
#include <algorithm>
#include <vector>

#include "core/base/float_mode.h"
#include "core/base/threads.h"
#include "core/layer/cuts.h"
#include "core/layer/forward_run.h"

namespace fastrnn {

namespace {

template <class T>
void place_scratch(const Layer<T>& layer, Index packed_width, Index depth, Arena& arena, BackwardScratch<T>& call) {
  const Index rows = layer.batch;
  arena.take(call.packed_left, depth * kOuterRows);
  arena.take(call.packed_right, depth * packed_width);
  arena.take(call.h_prev, rows);
  arena.take(call.h_operand, rows);
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

/// Columns of x and of each operand of a recurrent matrix, in whole panels.
template <class T>
Index packed_columns(const Layer<T>& layer, Index panel) {
  const auto whole = [panel](Index n) { return (n + panel - 1) / panel * panel; };
  bool met[cells::kMatrixOperands] = {};
  for (int p = 0; p < layer.cell.back_phases; ++p)
    for (int f = 0; f < layer.cell.back[p].sources; ++f)
      met[int(operand_of(layer.cell, layer.cell.back[p].source[f].matrix, layer.cell.back[p].source[f].block))] = true;
  return whole(layer.inputs) +
         std::count(met, met + cells::kMatrixOperands, true) * whole(std::max(layer.hidden, layer.state));
}

template <class T>
int thread_count(const PackedData<T>& packed, const Layer<T>& layer, int wanted) {
  if (wanted <= 0) wanted = num_threads();
  const double work = 4.0 * packed.cell.gates * double(layer.hidden) * double(layer.inputs + layer.state) *
                      double(layer.steps) * double(layer.batch);
  return work < kWorthThreads ? 1 : wanted;
}

/// Range i of n over 0 .. all, with boundaries at multiples of `grain`.
Range part(Index all, Index grain, Index i, Index n) {
  const Index grains = (all + grain - 1) / grain;
  return {std::min(all, grains * i / n * grain), std::min(all, grains * (i + 1) / n * grain)};
}

/// Range i between the boundaries `cuts`; empty beyond the last.
Range slice_of(const std::vector<Index>& cuts, Index i) {
  const Index last = Index(cuts.size()) - 1;
  return {cuts[std::min(i, last)], cuts[std::min(i + 1, last)]};
}

/// The layer with some of its rows.
template <class T>
Layer<T> rows_of(const Layer<T>& layer, Range rows) {
  Layer<T> own = layer;
  own.order += rows.begin;
  own.rows = rows.end - rows.begin;
  return own;
}

/// Steps of a segment: few, so that a cache still has their gate gradients when these are read back; more for a layer
/// with larger gradients of parameters, which are read and written once for every kOuterDepth rows. Time beside that of
/// one segment: 0.73 for 17 units over 17,000 rows, 0.9 for 64 over 13,000, 0.97 for 160 over 2,600; never above 1.
template <class T>
Index segment_steps(const Layer<T>& layer) {
  const Index folds = (layer.inputs + layer.state + kOuterDepth - 1) / kOuterDepth;
  return std::clamp<Index>(folds * kOuterDepth / std::max<Index>(1, layer.batch), 1, std::max<Index>(1, layer.steps));
}

/// Where a mask made y repeat an earlier output, the gradients of the copies are added to that of the output.
template <class T>
void gather_repeated(const Layer<T>& layer, const Sequence<const T>& dy, T* sums) {
  const Index state = layer.state;
  for (Index b = 0; b < layer.batch; ++b) {
    check_interrupted(layer.steps * state);
    for (Index s = 0; s < layer.length[b]; ++s) {
      const Index step = layer.reverse ? -1 : 1, t = layer.time(b, s);
      const Index end = s + 1 < layer.length[b] ? layer.time(b, s + 1) : layer.reverse ? -1 : layer.steps;
      T* row = sums + (t * layer.batch + b) * state;
      std::copy_n(dy.at(t, b), state, row);
      for (Index copy = t + step; copy != end; copy += step)
        for (Index u = 0; u < state; ++u) row[u] += dy.at(copy, b)[u];
    }
  }
}

/// dx is zero at the times where a row has no step.
template <class T>
void clear_gaps(const Layer<T>& layer, const Sequence<T>& dx) {
  if (dx.start != nullptr) return;
  for (Index b = 0; b < layer.batch; ++b) {
    const Index first = layer.times != nullptr ? 0 : layer.length[b];
    check_interrupted((layer.steps - first) * layer.inputs);
    for (Index t = first; t < layer.steps; ++t) std::fill_n(dx.at(t, b), layer.inputs, T(0));
  }
}

template <class T>
void drop_input_gradients(const Layer<T>& layer, const DropoutOptions& dropout, const Sequence<T>& dx) {
  const Masks masks(dropout.seed, dropout.stream, MaskKind::dropout, dropout.inputs);
  std::vector<T> mask(layer.inputs);
  for (Index b = 0; b < layer.batch; ++b) {
    check_interrupted(layer.length[b] * layer.inputs);
    masks.fill_inverted(0, b, layer.inputs, mask.data());
    for (Index s = 0; s < layer.length[b]; ++s) {
      T* row = dx.at(layer.time(b, s), b);
      for (Index i = 0; i < layer.inputs; ++i) row[i] *= mask[i];
    }
  }
}

template <class T>
void drop_weight_gradients(const PackedData<T>& packed, T* dw_hh) {
  const CellOptions& options = packed.options;
  const Masks masks(options.seed, options.stream, MaskKind::weight_dropout, options.weight_dropout);
  std::vector<T> mask(packed.state);
  for (Index r = 0; r < packed.cell.gates * packed.hidden; ++r) {
    check_interrupted(packed.state * kPerElement);
    masks.fill_inverted(0, r, packed.state, mask.data());
    for (Index k = 0; k < packed.state; ++k) dw_hh[r * packed.state + k] *= mask[k];
  }
}

/// Runs the forward pass of some rows and steps a second time, for the gates that it saves.
template <class T>
class Recompute {
 public:
  Recompute(const PackedData<T>& packed, const Layer<T>& layer, const StepMasks<T>& masks, Index steps)
      : run_(packed, layer, chunk_steps(packed, steps, layer.rows), true, &masks) {
    memory_ = allocate([&](Arena& arena) {
      run_.place(arena);
      arena.take(discarded_, layer.rows * layer.padded);
    });
    run_.discard_y(discarded_);
  }
  void run(Index first, Index last, const T* c0) {
    run_.layer().first = first;
    run_.layer().c0 = c0;
    run_.run(first, last, current_watch());
  }

 private:
  ForwardRun<T> run_;
  T* discarded_;
  AlignedBuffer memory_;
};

}  // namespace

template <class T>
void backward(const Saved<T>& saved, const BackwardArguments<T>& arguments) {
  const SavedData<T>& data = saved.data();
  const PackedData<T>& packed = saved.weights().packed();
  const BackwardKernels<T>& kernels = packed.kernels().backward;
  const TransposedPanels<T>& transposed = packed.transposed();
  BackwardCall<T> call;
  Layer<T>& layer = call.layer = data.layer;
  const Index batch = layer.batch, padded = layer.padded, width = layer.dgates_width, every = data.checkpoint_every;
  const bool checkpointed = every > 0;
  const Index segment = checkpointed ? every : segment_steps(layer);
  const Index lanes = packed.kernels().lanes;
  const Index packed_width = packed_columns(layer, 4 * lanes);
  const Index depth = std::min(kOuterDepth, segment * batch);
  Team team(thread_count(packed, layer, arguments.threads));
  const Index n = team.threads();
  std::vector<BackwardScratch<T>> scratch(n);
  T *zeros, *dy_sums;
  Index *dy_start, *dx_start;
  const bool packs = layer.y.start != nullptr;
  const bool gathers = data.repeats_output && arguments.dy.data != nullptr;
  const AlignedBuffer memory = allocate([&](Arena& arena) {
    arena.take(call.dgates, (segment + (segment < layer.steps ? 1 : 0)) * batch * width);
    arena.take(call.carry_h, batch * padded);
    arena.take(call.carry_c, batch * layer.c_width);
    arena.take(zeros, width);
    arena.take(call.column_sums, width);
    arena.take(call.param_sums, layer.cell.params * padded);
    arena.take(call.norm_sums, (2 * layer.cell.gates + 1) * padded);
    arena.take(dy_start, packs ? layer.steps : 0);
    arena.take(dx_start, packs ? layer.steps : 0);
    arena.take(dy_sums, gathers ? layer.steps * batch * layer.state : 0);
    if (checkpointed) {
      arena.take(layer.gates, segment * batch * layer.gates_width);
      arena.take(layer.c, segment * batch * layer.c_width);
      if (layer.h_mask != nullptr) arena.take(layer.h_operand, segment * batch * padded);
    }
    for (BackwardScratch<T>& one : scratch) place_scratch(layer, packed_width, depth, arena, one);
  });
  std::fill_n(zeros, width, T(0));
  call.zeros = zeros;
  call.panels = transposed.back;
  call.input_panels = transposed.input;
  call.dy = arguments.dy;
  call.dx = arguments.dx;
  if (packs) {  // dy and dx have the rows of y and x
    for (Index t = 0; t < layer.steps; ++t) {
      const Index before = layer.y.start[t] / layer.y.row;
      dy_start[t] = before * call.dy.row;
      dx_start[t] = before * call.dx.row;
    }
    call.dy.start = dy_start;
    call.dx.start = dx_start;
  }
  call.dh0 = arguments.dh0;
  call.dc0 = arguments.dc0;
  call.dw_ih = arguments.dw_ih;
  call.dw_hh = arguments.dw_hh;
  call.dw_hr = arguments.dw_hr;
  call.db_ih = arguments.db_ih;
  call.db_hh = arguments.db_hh;
  call.dparams = packed.cell.vector_recurrence ? arguments.dw_hh : arguments.dw_peep;
  call.dln_ih = arguments.dln_ih;
  call.dln_hh = layer.options.layer_norm ? arguments.dln_hh : nullptr;
  call.dln_c = arguments.dln_c;
  if (gathers) {
    gather_repeated(layer, arguments.dy, dy_sums);
    call.dy = {dy_sums, batch * layer.state, layer.state, nullptr};
  }
  pad_rows(arguments.dh_n, call.carry_h, batch, layer.state, padded);
  pad_cell_states(layer, arguments.dc_n, call.carry_c);
  if (call.dx.data != nullptr) clear_gaps(layer, call.dx);

  const StepMasks<T> masks(layer, data.dropout);
  const std::vector<Index> rows = cut_rows(layer, n);
  std::vector<Recompute<T>> recompute;
  if (checkpointed) {
    recompute.reserve(n);
    for (Index i = 0; i < n; ++i) recompute.emplace_back(packed, rows_of(layer, slice_of(rows, i)), masks, segment);
  }
  const auto each_part = [&](auto&& work) {
    const auto slice = [&](int i) {
      BackwardCall<T> own = call;
      static_cast<BackwardScratch<T>&>(own) = scratch[i];
      own.watch = current_watch();
      work(own, i);
    };
    if (n > 1) {
      run_slices(team, int(n), slice);
    } else {
      const FlushDenormals flush;
      slice(0);
    }
    check_interrupted();
  };
  const Index steps = layer.longest(), segments = segment > 0 ? std::max<Index>(1, (steps + segment - 1) / segment) : 1;
  for (Index j = segments - 1; j >= 0; --j) {
    call.first = j * segment;
    if (checkpointed) layer.first = call.first;
    call.last = std::min(call.first + segment, steps);
    call.carries_on = j + 1 < segments;
    if (checkpointed) layer.c0 = data.checkpoints + j * batch * layer.c_width;
    each_part([&](BackwardCall<T>& own, Index i) {
      if (checkpointed) recompute[i].run(call.first, call.last, layer.c0);
      own.layer = rows_of(layer, slice_of(rows, i));
      kernels.steps(own);
    });
    const std::vector<Index> numbers = cut_steps(layer, call.first, call.last, n);
    if (layer.options.layer_norm && !layer.cell.norm_of_sum)
      each_part([&](BackwardCall<T>& own, Index i) { kernels.norm_inputs(own, slice_of(numbers, i)); });
    each_part([&](BackwardCall<T>& own, Index i) { kernels.parameters(own, part(padded, lanes, i, n)); });
    if (call.dx.data != nullptr)
      each_part([&](BackwardCall<T>& own, Index i) { kernels.inputs(own, slice_of(numbers, i)); });
    if (j > 0) std::copy_n(call.dgates, batch * width, call.dgates + segment * batch * width);
  }
  each_part([&](BackwardCall<T>& own, Index i) {
    own.layer = rows_of(layer, slice_of(rows, i));
    kernels.initial(own);
  });
  if (call.dx.data != nullptr && data.dropout.inputs > 0) drop_input_gradients(layer, data.dropout, call.dx);
  if (packed.options.weight_dropout > 0 && packed.cell.phase[0].sources > 0)
    drop_weight_gradients(packed, arguments.dw_hh);
}

template void backward<float>(const Saved<float>&, const BackwardArguments<float>&);
template void backward<double>(const Saved<double>&, const BackwardArguments<double>&);

}  // namespace fastrnn
