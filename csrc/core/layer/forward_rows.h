// The forward pass cut by rows of the batch: each slice runs its rows from their first step to their last. Rows do not
// depend on each other, so no thread waits for another before the end.
#pragma once

#include <vector>

#include "core/base/threads.h"
#include "core/layer/cuts.h"
#include "core/layer/forward_run.h"

namespace fastrnn {

/// Slices write to the caller's arrays directly. run() waits for every thread, one that the system has stopped
/// included.
template <class T>
class RowsInPlace final : public Job {
 public:
  RowsInPlace(const PackedData<T>& packed, const ForwardArguments<T>& arguments, const Layer<T>& layer,
              const ForwardPlan<T>& plan, const std::vector<Index>& first)
      : Job(1, int(first.size()) - 1, measure(packed, layer, plan, first)),
        packed_(packed),
        arguments_(arguments),
        layer_(layer),
        plan_(plan),
        first_(first) {}

 private:
  static ForwardRun<T> run_of(const PackedData<T>& packed, Layer<T> layer, const ForwardPlan<T>& plan, Index first,
                              Index end) {
    layer.order += first;
    layer.rows = end - first;
    return plan.make_run(packed, layer);
  }
  static std::size_t measure(const PackedData<T>& packed, const Layer<T>& layer, const ForwardPlan<T>& plan,
                             const std::vector<Index>& first) {
    std::size_t most = 0;
    for (std::size_t i = 0; i + 1 < first.size(); ++i) {
      Arena arena;
      run_of(packed, layer, plan, first[i], first[i + 1]).place(arena);
      most = std::max(most, arena.used());
    }
    return most;
  }
  void compute(int, int slice, void* buffer) noexcept override {
    ForwardRun<T> run = run_of(packed_, layer_, plan_, first_[slice], first_[slice + 1]);
    Arena arena(buffer);
    run.place(arena);
    Watch* const watch = current_watch();
    run.run(watch);
    write_results(run, arguments_, watch);
  }

  const PackedData<T>& packed_;
  const ForwardArguments<T>& arguments_;
  const Layer<T>& layer_;
  const ForwardPlan<T>& plan_;
  const std::vector<Index>& first_;
};

/// Slices compute on copies of x, states and lengths, and their results are copied out by whoever commits them: a
/// thread that the system has stopped can be overtaken (core/base/threads.h). For simple layers (is_simple).
template <class T>
class RowsCopied final : public Job {
 public:
  RowsCopied(const std::shared_ptr<const PackedData<T>>& packed, const ForwardArguments<T>& arguments,
             const Layer<T>& layer, const std::vector<Index>& first)
      : Job(1, int(first.size()) - 1, measure(*packed, layer, first), true),
        packed_(packed),
        layer_(layer),
        h_n_(arguments.h_n),
        c_n_(arguments.c_n),
        first_(first),
        order_(layer.order, layer.order + layer.rows) {
    const Index rows = layer.rows, padded = layer.padded;
    T *x, *h0, *c0;
    Index *length, *order;
    memory_ = allocate([&](Arena& arena) {
      arena.take(x, layer.steps * rows * layer.inputs);
      arena.take(h0, rows * padded);
      arena.take(c0, layer.cell.c_states * rows * padded);
      arena.take(length, rows);
      arena.take(order, rows);
    });
    for (Index i = 0; i < rows; ++i) {
      const Index b = order_[i];
      length[i] = layer.length[b];
      order[i] = i;
      std::copy_n(layer.h0 + b * padded, padded, h0 + i * padded);
      if (layer.cell.c_states > 0) std::copy_n(layer.c0 + b * padded, padded, c0 + i * padded);
      for (Index t = 0; t < length[i]; ++t)
        std::copy_n(layer.x.at(t, b), layer.inputs, x + (t * rows + i) * layer.inputs);
    }
    layer_.x = {x, rows * layer.inputs, layer.inputs, nullptr};
    layer_.h0 = h0;
    layer_.c0 = c0;
    layer_.length = length;
    layer_.order = order;
  }

 private:
  struct Results {
    T *y, *h_n, *c_n;
    Results(Index steps, Index rows, Index hidden, bool has_c, Arena& arena) {
      arena.take(y, steps * rows * hidden);
      arena.take(h_n, rows * hidden);
      arena.take(c_n, has_c ? rows * hidden : 0);
    }
  };
  static std::size_t measure(const PackedData<T>& packed, const Layer<T>& layer, const std::vector<Index>& first) {
    std::size_t most = 0;
    for (std::size_t i = 0; i + 1 < first.size(); ++i) {
      Arena arena;
      Layer<T> part = layer;
      part.batch = part.rows = first[i + 1] - first[i];
      Results(part.steps, part.rows, part.hidden, part.cell.c_states > 0, arena);
      ForwardRun<T>(packed, part, chunk_steps(packed, part.steps, part.rows), false).place(arena);
      most = std::max(most, arena.used());
    }
    return most;
  }

  /// The slice as a batch of its own.
  void compute(int, int slice, void* buffer) noexcept override {
    const Index first = first_[slice];
    Arena arena(buffer);
    Layer<T> part = layer_;
    part.batch = part.rows = first_[slice + 1] - first;
    const Results results(part.steps, part.rows, part.hidden, part.cell.c_states > 0, arena);
    part.x.data += first * part.x.row;
    part.y = {results.y, part.rows * part.hidden, part.hidden, nullptr};
    part.h0 += first * part.padded;
    if (part.cell.c_states > 0) part.c0 += first * part.padded;
    part.length += first;
    ForwardRun<T> run(*packed_, part, chunk_steps(*packed_, part.steps, part.rows), false);
    run.place(arena);
    run.run(current_watch());
    for (Index i = 0; i < part.rows; ++i) {
      std::copy_n(run.final_h(i), part.hidden, results.h_n + i * part.hidden);
      if (part.cell.c_states > 0) std::copy_n(run.final_c(i), part.hidden, results.c_n + i * part.hidden);
    }
  }

  void commit(int, int slice, const void* buffer) noexcept override {
    const Index first = first_[slice], rows = first_[slice + 1] - first, hidden = layer_.hidden;
    Arena arena(const_cast<void*>(buffer));
    const Results results(layer_.steps, rows, hidden, layer_.cell.c_states > 0, arena);
    for (Index i = 0; i < rows; ++i) {
      const Index b = order_[first + i], length = layer_.length[first + i];
      for (Index t = 0; t < layer_.steps; ++t) {
        T* y = layer_.y.at(t, b);
        if (t < length)
          std::copy_n(results.y + (t * rows + i) * hidden, hidden, y);
        else
          std::fill_n(y, hidden, T(0));
      }
      std::copy_n(results.h_n + i * hidden, hidden, h_n_ + b * hidden);
      if (layer_.cell.c_states > 0) std::copy_n(results.c_n + i * hidden, hidden, c_n_ + b * hidden);
    }
  }

  const std::shared_ptr<const PackedData<T>> packed_;
  Layer<T> layer_;  // y is the caller's, for commit
  T *h_n_, *c_n_;
  const std::vector<Index> first_, order_;
  AlignedBuffer memory_;
};

}  // namespace fastrnn
