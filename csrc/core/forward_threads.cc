#include "core/forward_threads.h"

#include <cstring>

#include "core/forward_run.h"
#include "core/threads.h"

namespace fastrnn {

namespace {

/// Below about 100 us, waking a worker costs more than it gains; above about 10 ms, a stopped worker costs less than
/// copies would.
constexpr double kWorthThreads = 8e6;
constexpr double kWorthWaiting = 8e8;
/// Of a step, that several threads share: some microseconds, against some hundred nanoseconds for the barrier.
constexpr double kWorthSharing = 2e5;
/// Rows that a thread computes nearly as fast, each, as more of them.
constexpr Index kFewRows = 4;

template <class T>
double flops(const PackedData<T>& packed, Index inputs, double rows) {
  return 2.0 * packed.cell.gates * double(packed.hidden) * double(inputs + packed.hidden) * rows;
}

/// Cuts the rows, which are sorted by length, so that every slice has about the same number of steps.
template <class T>
std::vector<Index> cut_rows(const Layer<T>& layer, Index slices) {
  double all = 0, steps = 0;
  for (Index i = 0; i < layer.rows; ++i) all += double(layer.length[layer.order[i]]);
  std::vector<Index> first = {0};
  for (Index i = 0; i < layer.rows; ++i) {
    if (steps >= all * double(first.size()) / double(slices) && i > first.back()) first.push_back(i);
    steps += double(layer.length[layer.order[i]]);
  }
  first.push_back(layer.rows);
  return first;
}

template <class T>
class RowsInPlace final : public Job {
 public:
  RowsInPlace(const PackedData<T>& packed, const ForwardArguments<T>& arguments, const Layer<T>& layer, bool training,
              const std::vector<Index>& first)
      : Job(1, int(first.size()) - 1, measure(packed, layer, training, first)),
        packed_(packed),
        arguments_(arguments),
        layer_(layer),
        training_(training),
        first_(first) {}

 private:
  static ForwardRun<T> run_of(const PackedData<T>& packed, Layer<T> layer, bool training, Index first, Index end) {
    layer.order += first;
    layer.rows = end - first;
    return ForwardRun<T>(packed, layer, chunk_steps(packed, layer.steps, layer.rows), training);
  }
  static std::size_t measure(const PackedData<T>& packed, const Layer<T>& layer, bool training,
                             const std::vector<Index>& first) {
    std::size_t most = 0;
    for (std::size_t i = 0; i + 1 < first.size(); ++i) {
      Arena arena;
      run_of(packed, layer, training, first[i], first[i + 1]).place(arena);
      most = std::max(most, arena.used());
    }
    return most;
  }
  void compute(int, int slice, void* buffer) noexcept override {
    ForwardRun<T> run = run_of(packed_, layer_, training_, first_[slice], first_[slice + 1]);
    Arena arena(buffer);
    run.place(arena);
    run.run();
    finish_rows(run, arguments_);
  }

  const PackedData<T>& packed_;
  const ForwardArguments<T>& arguments_;
  const Layer<T>& layer_;
  const bool training_;
  const std::vector<Index>& first_;
};

/// Owns what it reads: x, states and lengths in the order of the slices.
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
      arena.take(c0, layer.cell.has_c ? rows * padded : 0);
      arena.take(length, rows);
      arena.take(order, rows);
    });
    for (Index i = 0; i < rows; ++i) {
      const Index b = order_[i];
      length[i] = layer.length[b];
      order[i] = i;
      std::copy_n(layer.h0 + b * padded, padded, h0 + i * padded);
      if (layer.cell.has_c) std::copy_n(layer.c0 + b * padded, padded, c0 + i * padded);
      for (Index t = 0; t < length[i]; ++t)
        std::copy_n(layer.x.at(t, b), layer.inputs, x + (t * rows + i) * layer.inputs);
    }
    layer_.x = {x, rows * layer.inputs, layer.inputs};
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
      Results(part.steps, part.rows, part.hidden, part.cell.has_c, arena);
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
    const Results results(part.steps, part.rows, part.hidden, part.cell.has_c, arena);
    part.x.data += first * part.x.row;
    part.y = {results.y, part.rows * part.hidden, part.hidden};
    part.h0 += first * part.padded;
    if (part.cell.has_c) part.c0 += first * part.padded;
    part.length += first;
    ForwardRun<T> run(*packed_, part, chunk_steps(*packed_, part.steps, part.rows), false);
    run.place(arena);
    run.run();
    for (Index i = 0; i < part.rows; ++i) {
      std::copy_n(run.final_h(i), part.hidden, results.h_n + i * part.hidden);
      if (part.cell.has_c) std::copy_n(run.final_c(i), part.hidden, results.c_n + i * part.hidden);
    }
  }

  void commit(int, int slice, const void* buffer) noexcept override {
    const Index first = first_[slice], rows = first_[slice + 1] - first, hidden = layer_.hidden;
    Arena arena(const_cast<void*>(buffer));
    const Results results(layer_.steps, rows, hidden, layer_.cell.has_c, arena);
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
      if (layer_.cell.has_c) std::copy_n(results.c_n + i * hidden, hidden, c_n_ + b * hidden);
    }
  }

  const std::shared_ptr<const PackedData<T>> packed_;
  Layer<T> layer_;  // y is the caller's, for commit
  T *h_n_, *c_n_;
  const std::vector<Index> first_, order_;
  AlignedBuffer memory_;
};

/// A chunk of time steps for few rows. Phase 0 is W x, by panels; then each step is one phase. h and c of every step
/// have places of their own. With `training` results go where they belong at once, else through the buffer.
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
      arena.take(c_, layer.cell.has_c ? (steps_ + 1) * rows * padded : 0);
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
  T* c_at(Index s) { return layer_.cell.has_c ? c_ + s * layer_.rows * layer_.padded : nullptr; }

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
  Index saved_row(Index s, Index i) const {
    const Index b = layer_.order[i];
    return layer_.time(b, s) * layer_.batch + b;
  }
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
    for (Index i = 0; i < active; ++i) {
      const Index b = layer_.order[i], step = first_ + s;
      if (training_) {
        call.h_prev[i] = step > 0 ? layer_.y.at(layer_.time(b, step - 1), b) : layer_.h0 + b * padded;
        call.y[i] = layer_.y.at(layer_.time(b, step), b);
        call.gates[i] = layer_.gates + saved_row(step, i) * width;
        if (layer_.cell.has_c) {
          call.c_prev[i] = step > 0 ? layer_.c + saved_row(step - 1, i) * padded : layer_.c0 + b * padded;
          call.c[i] = layer_.c + saved_row(step, i) * padded;
        }
      } else {
        call.h_prev[i] = h_ + (s * rows + i) * padded;
        call.y[i] = buffer.y + i * padded;
        call.gates[i] = gates_ + (s * rows + i) * width;
        if (layer_.cell.has_c) {
          call.c_prev[i] = c_ + (s * rows + i) * padded;
          call.c[i] = buffer.c + i * padded;
        }
      }
    }
    const auto& cell = packed_->kernels().cell[int(mode_of(*packed_, training_))][int(layer_.kind)];
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
      if (layer_.cell.has_c) std::copy_n(buffer.c + i * padded + units.begin, count, c_ + at);
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
    if (layer.cell.has_c) std::copy_n(layer.c0 + b * padded, padded, c + i * padded);
  }
  for (Index first = 0; first < longest; first += chunk) {
    const Index last = std::min(first + chunk, longest);
    const auto job = std::make_shared<UnitsOfChunk<T>>(packed, layer, training, first, last, slices);
    if (!training) {
      std::copy_n(h, rows * padded, job->h_at(0));
      if (layer.cell.has_c) std::copy_n(c, rows * padded, job->c_at(0));
    }
    team.run(job);
    for (Index i = 0; i < rows; ++i) {
      const Index b = layer.order[i], end = std::min(layer.length[b], last), s = end - first;
      if (s <= 0) break;
      const Index row = layer.time(b, end - 1) * layer.batch + b;
      const T* new_h = training ? layer.y.at(layer.time(b, end - 1), b) : job->h_at(s) + i * padded;
      std::copy_n(new_h, hidden, h + i * padded);
      if (layer.cell.has_c)
        std::copy_n(training ? layer.c + row * padded : job->c_at(s) + i * padded, hidden, c + i * padded);
    }
  }
  for (Index i = 0; i < rows; ++i) {
    const Index b = layer.order[i];
    std::copy_n(h + i * padded, hidden, arguments.h_n + b * hidden);
    if (layer.cell.has_c) std::copy_n(c + i * padded, hidden, arguments.c_n + b * hidden);
    for (Index t = layer.length[b]; t < layer.steps; ++t) std::fill_n(layer.y.at(t, b), hidden, T(0));
  }
}

}  // namespace

template <class T>
bool run_on_threads(const std::shared_ptr<const PackedData<T>>& packed, const ForwardArguments<T>& arguments,
                    const Layer<T>& layer, bool training) {
  const int wanted = arguments.threads > 0 ? arguments.threads : num_threads();
  if (wanted == 1) return false;
  double steps = 0;
  for (Index b = 0; b < layer.batch; ++b) steps += double(layer.length[b]);
  const double work = flops(*packed, layer.inputs, steps);
  if (work < kWorthThreads) return false;

  const bool few = layer.rows < kFewRows * wanted;
  const bool one_phase = layer.cell.phases == 1;  // two would hand on more than h and c
  if (few && one_phase && flops(*packed, 0, double(layer.rows)) >= kWorthSharing) {
    Team team(wanted);
    if (team.threads() == 1) return false;
    run_units(team, packed, arguments, layer, training);
    return true;
  }
  if (layer.rows < 2) return false;
  Team team(int(std::min<Index>(wanted, layer.rows)));
  if (team.threads() == 1) return false;
  const Index slices = std::min(layer.rows, team.threads() * std::max<Index>(1, layer.rows / (6 * kFewRows * wanted)));
  const std::vector<Index> first = cut_rows(layer, slices);
  if (training || work > kWorthWaiting)
    team.run(std::make_shared<RowsInPlace<T>>(*packed, arguments, layer, training, first));
  else
    team.run(std::make_shared<RowsCopied<T>>(packed, arguments, layer, first));
  return true;
}

template bool run_on_threads(const std::shared_ptr<const PackedData<float>>&, const ForwardArguments<float>&,
                             const Layer<float>&, bool);
template bool run_on_threads(const std::shared_ptr<const PackedData<double>>&, const ForwardArguments<double>&,
                             const Layer<double>&, bool);

}  // namespace fastrnn
