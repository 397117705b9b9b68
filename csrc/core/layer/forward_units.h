// The forward pass cut by units, for few rows: each slice computes some panels of one step, so that a thread reads the
// same part of the weights at every step, from its own cache. All of h is needed for the next step: one barrier a step.
#pragma once

#include <vector>

#include "core/base/threads.h"
#include "core/layer/forward_run.h"

namespace fastrnn {

/// A chunk of time steps. Phase 0 of the job is W x, by panels; then each step is a phase. h and c of every step have
/// places of their own, so that a slow thread cannot find them overwritten. In training results are written to the
/// layer's arrays at once, else to a buffer first, so that a thread which the system has stopped can be overtaken.
template <class T>
class UnitsOfChunk final : public Job {
 public:
  UnitsOfChunk(const std::shared_ptr<const PackedData<T>>& packed, const Layer<T>& layer, bool training, Index first,
               Index last, int slices)
      : Job(int(1 + last - first), slices, measure(*packed, layer, last - first, training), !training),
        packed_(packed),
        layer_(layer),
        training_(training),
        first_(first),
        steps_(last - first),
        active_(steps_) {
    const Index rows = layer.rows, padded = layer.padded;
    T* x;
    Index *length, *order;
    memory_ = allocate([&](Arena& arena) {
      arena.take(length, layer.batch);
      arena.take(order, rows);
      if (training) return;
      arena.take(x, steps_ * rows * layer.inputs);
      arena.take(h_, (steps_ + 1) * rows * padded);
      arena.take(c_, layer.cell.c_states > 0 ? (steps_ + 1) * rows * padded : 0);
      arena.take(gates_, steps_ * rows * layer.gates_width);
    });
    std::copy_n(layer.length, layer.batch, length);
    std::copy_n(layer.order, rows, order);
    layer_.length = length;
    layer_.order = order;
    for (Index s = 0; s < steps_; ++s) {
      Index& active = active_[s];
      while (active < rows && length[order[active]] > first + s) ++active;
      if (training) continue;
      for (Index i = 0; i < active; ++i)
        std::copy_n(layer.x.at(layer.time(order[i], first + s), order[i]), layer.inputs,
                    x + (s * rows + i) * layer.inputs);
    }
    if (!training) x_ = x;
  }

  /// The states before the chunk's first step; rows are in order. For inference alone.
  T* h_at(Index s) { return h_ + s * layer_.rows * layer_.padded; }
  T* c_at(Index s) { return layer_.cell.c_states > 0 ? c_ + s * layer_.rows * layer_.padded : nullptr; }

 private:
  struct Buffer {
    ForwardCall<T> call;
    T *y, *c, *gates;  // what the slice computes, until it is committed
    Buffer(const PackedData<T>& packed, const Layer<T>& layer, Index steps, bool training, Arena& arena) {
      const Index rows = layer.rows;
      call.layer = layer;
      call.panels = packed.panels;
      call.bias = packed.bias;
      call.recurrent_bias = packed.recurrent_bias;
      place_operands(packed, rows, steps * rows, arena, call);
      arena.take(call.input_rows, steps * rows);
      arena.take(call.output_rows, steps * rows);
      place_step_lists(rows, arena, call);
      arena.take(y, training ? 0 : rows * layer.padded);
      arena.take(c, training ? 0 : rows * layer.padded);
      arena.take(gates, training ? 0 : steps * rows * layer.gates_width);
    }
  };
  static std::size_t measure(const PackedData<T>& packed, const Layer<T>& layer, Index steps, bool training) {
    Arena arena;
    Buffer(packed, layer, steps, training, arena);
    return arena.used();
  }

  Range panels_of(int slice) const {
    const Index count = packed_->panels[0].count;
    return {count * slice / slices(), count * (slice + 1) / slices()};
  }
  Range units_of(int slice) const {
    const Range panels = panels_of(slice);
    const Index width = packed_->panels[0].blocks * Index(packed_->kernels().lanes);
    return {panels.begin * width, std::min(panels.end * width, layer_.padded)};
  }
  Index saved_row(Index s, Index i) const { return layer_.saved_row(layer_.order[i], s); }
  /// Calls each(s, i, n) for the rows of the chunk, which are the n-th of a list.
  template <class Each>
  void for_each_row(const Each& each) const {
    Index n = 0;
    for (Index s = 0; s < steps_; ++s)
      for (Index i = 0; i < active_[s]; ++i) each(s, i, n++);
  }

  void compute(int phase, int slice, void* memory) noexcept override {
    Arena arena(memory);
    Buffer buffer(*packed_, layer_, steps_, training_, arena);
    ForwardCall<T>& call = buffer.call;
    call.watch = current_watch();
    const ForwardKernels<T>& kernels = packed_->forward_kernels();
    const Index width = layer_.gates_width, padded = layer_.padded, rows = layer_.rows;
    if (phase == 0) {
      Index count = 0;
      for_each_row([&](Index s, Index i, Index n) {
        const Index b = layer_.order[i];
        call.input_rows[n] =
            training_ ? layer_.x.at(layer_.time(b, first_ + s), b) : x_ + (s * rows + i) * layer_.inputs;
        call.output_rows[n] = training_ ? layer_.gates + saved_row(first_ + s, i) * width : buffer.gates + n * width;
        count = n + 1;
      });
      return kernels.project(call, 0, 0, count, panels_of(slice));
    }
    const Index s = phase - 1, active = active_[s];
    call.descending = (s & 1) != 0;
    for (Index i = 0; i < active; ++i) {
      const Index b = layer_.order[i], step = first_ + s;
      if (training_) {
        call.h_prev[i] = call.h_operand[i] = layer_.h_before(b, step);
        call.y[i] = layer_.y.at(layer_.time(b, step), b);
        call.gates[i] = layer_.gates + saved_row(step, i) * width;
        if (layer_.cell.c_states > 0) {
          call.c_prev[i] = layer_.c_before(b, step);
          call.c[i] = layer_.c + saved_row(step, i) * padded;
        }
      } else {
        call.h_prev[i] = call.h_operand[i] = h_ + (s * rows + i) * padded;
        call.y[i] = buffer.y + i * padded;
        call.gates[i] = gates_ + (s * rows + i) * width;
        if (layer_.cell.c_states > 0) {
          call.c_prev[i] = c_ + (s * rows + i) * padded;
          call.c[i] = buffer.c + i * padded;
        }
      }
    }
    const auto& cell = packed_->kernels().cell[int(mode_of(*packed_, layer_, training_))][int(layer_.kind)];
    kernels.step(call, 0, cell[0], active, panels_of(slice));
  }

  void commit(int phase, int slice, const void* memory) noexcept override {
    if (training_) return;
    Arena arena(const_cast<void*>(memory));
    const Buffer buffer(*packed_, layer_, steps_, training_, arena);
    const Range units = units_of(slice);
    const Index count = units.end - units.begin, width = layer_.gates_width, padded = layer_.padded;
    if (count <= 0) return;
    if (phase == 0) {
      for_each_row([&](Index s, Index i, Index n) {
        for (int g = 0; g < layer_.cell.gates; ++g)
          std::copy_n(buffer.gates + n * width + g * padded + units.begin, count,
                      gates_ + (s * layer_.rows + i) * width + g * padded + units.begin);
      });
      return;
    }
    const Index s = phase - 1, inside = std::min(units.end, layer_.hidden) - units.begin;
    for (Index i = 0; i < active_[s]; ++i) {
      const Index b = layer_.order[i], at = ((s + 1) * layer_.rows + i) * padded + units.begin;
      const T* h = buffer.y + i * padded + units.begin;
      std::copy_n(h, inside, h_ + at);
      std::copy_n(h, inside, layer_.y.at(layer_.time(b, first_ + s), b) + units.begin);
      if (layer_.cell.c_states > 0) std::copy_n(buffer.c + i * padded + units.begin, count, c_ + at);
    }
  }

  const std::shared_ptr<const PackedData<T>> packed_;
  Layer<T> layer_;
  const bool training_;
  const Index first_, steps_;
  std::vector<Index> active_;  // rows still running, per step
  const T* x_ = nullptr;       // (steps, rows, I)
  T* h_ = nullptr;             // (steps + 1, rows, padded)
  T* c_ = nullptr;
  T* gates_ = nullptr;  // (steps, rows, gates_width)
  AlignedBuffer memory_;
};

template <class T>
void run_units(Team& team, const std::shared_ptr<const PackedData<T>>& packed, const ForwardArguments<T>& arguments,
               const Layer<T>& layer, bool training) {
  const Index rows = layer.rows, padded = layer.padded, hidden = layer.hidden, longest = layer.longest();
  const int slices = int(std::min<Index>(4 * team.threads(), (packed->panels[0].count + 1) / 2));
  const Index chunk = chunk_steps(*packed, layer.steps, rows);
  // The states between chunks, rows in order.
  T *h, *c;
  const AlignedBuffer memory = allocate([&](Arena& arena) {
    arena.take(h, rows * padded);
    arena.take(c, rows * padded);
  });
  for (Index i = 0; i < rows; ++i) {
    const Index b = layer.order[i];
    std::copy_n(layer.h0 + b * padded, padded, h + i * padded);
    if (layer.cell.c_states > 0) std::copy_n(layer.c0 + b * padded, padded, c + i * padded);
  }
  for (Index first = 0; first < longest; first += chunk) {
    const Index last = std::min(first + chunk, longest);
    const auto job = std::make_shared<UnitsOfChunk<T>>(packed, layer, training, first, last, slices);
    if (!training) {
      std::copy_n(h, rows * padded, job->h_at(0));
      if (layer.cell.c_states > 0) std::copy_n(c, rows * padded, job->c_at(0));
    }
    team.run(job);
    check_interrupted();
    for (Index i = 0; i < rows; ++i) {
      const Index b = layer.order[i], end = std::min(layer.length[b], last), s = end - first;
      if (s <= 0) break;
      const Index row = layer.saved_row(b, end - 1);
      const T* new_h = training ? layer.y.at(layer.time(b, end - 1), b) : job->h_at(s) + i * padded;
      std::copy_n(new_h, hidden, h + i * padded);
      if (layer.cell.c_states > 0)
        std::copy_n(training ? layer.c + row * padded : job->c_at(s) + i * padded, hidden, c + i * padded);
    }
  }
  for (Index i = 0; i < rows; ++i) {
    const Index b = layer.order[i];
    std::copy_n(h + i * padded, hidden, arguments.h_n + b * hidden);
    if (layer.cell.c_states > 0) std::copy_n(c + i * padded, hidden, arguments.c_n + b * hidden);
    for (Index t = layer.length[b]; t < layer.steps; ++t) std::fill_n(layer.y.at(t, b), hidden, T(0));
  }
}

}  // namespace fastrnn
