// The forward pass over time: sets up the workspace, fills the pointer lists step by step, calls the backend.
#include <algorithm>
#include <string>

#include "core/float_mode.h"
#include "core/layer.h"

namespace fastrnn {

namespace {

/// W x of so many bytes is computed ahead: enough rows for a good product, little enough to stay in L2 and L3.
constexpr Index kChunkBytes = 512 * 1024;
/// Rows of x of so many bytes are multiplied at a time: they stay in L2 while the panels pass.
constexpr Index kBlockBytes = 192 * 1024;
/// A session's chunk is smaller: its memory is kept.
constexpr Index kSessionChunk = 16;

template <class T>
void check(const ForwardArguments<T>& arguments) {
  if (arguments.steps < 0 || arguments.batch < 0) throw Error("x: expected T >= 0 and B >= 0");
  if (arguments.lengths == nullptr) return;
  for (Index b = 0; b < arguments.batch; ++b)
    if (arguments.lengths[b] < 0 || arguments.lengths[b] > arguments.steps)
      throw Error("lengths: expected values in 0.." + std::to_string(arguments.steps) + ", got " +
                  std::to_string(arguments.lengths[b]) + " at index " + std::to_string(b));
}

/// Runs the rows in layer.order from their first step to their last.
template <class T>
class ForwardRun {
 public:
  /// Without `training`, gates and c of the layer are the run's own.
  ForwardRun(const PackedData<T>& packed, const Layer<T>& layer, Index chunk, bool training)
      : packed_(packed), chunk_(chunk), training_(training) {
    mode_ = training ? Mode::training : packed.pack_options.fast_activations ? Mode::fast : Mode::inference;
    call_.layer = layer;
    call_.panels = packed.panels;
    call_.bias = packed.bias;
    call_.recurrent_bias = packed.recurrent_bias;
    const bool converts = packed.pack_options.precision != Precision::full;
    const Index rows = layer.rows, padded = layer.padded;
    OperandSpace<T>& space = call_.operands;
    // The widest form is a float a term and a tail; whole vectors are written.
    const Index width = spaced<T>(std::max(layer.inputs, layer.hidden) + 64 / Index(sizeof(T)));
    space.row_bytes = width * Index(sizeof(T));
    space.block = std::clamp<Index>(kBlockBytes / space.row_bytes, 8, std::max<Index>(8, chunk * rows));
    const Index most = converts ? std::max(rows, space.block) : 0;
    T *gates, *c;
    memory_ = allocate([&](Arena& arena) {
      arena.take(gates, training ? 0 : chunk * rows * layer.gates_width);
      arena.take(c, training || !layer.cell.has_c ? 0 : 2 * rows * padded);
      arena.take(space.memory, converts ? std::max(2 * rows, space.block) * space.row_bytes : 0);
      for (int s = 0; s < 2; ++s) {
        arena.take(space.rows[s], most);
        arena.take(space.scales[s], most);
      }
      arena.take(call_.input_rows, chunk * rows);
      arena.take(call_.output_rows, chunk * rows);
      arena.take(call_.h_prev, rows);
      arena.take(call_.c_prev, rows);
      arena.take(call_.c, rows);
      arena.take(call_.kept, rows);
      arena.take(call_.gates, rows);
      arena.take(call_.y, rows);
    });
    if (!training) {
      call_.layer.gates = gates;
      call_.layer.c = c;
    }
  }

  Layer<T>& layer() { return call_.layer; }
  const Layer<T>& layer() const { return call_.layer; }
  std::size_t bytes() const { return memory_.bytes(); }

  void run() {
    const FlushDenormals flush;
    const Layer<T>& layer = call_.layer;
    const ForwardKernels<T>& kernels = packed_.forward_kernels();
    const auto& steps = kernels.step[int(mode_)][int(layer.kind)];
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
          steps[phase](call_, active, {0, packed_.panels[phase].count});
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
  Mode mode_;
  AlignedBuffer memory_;
};

template <class T>
Index chunk_steps(const PackedData<T>& packed, Index steps, Index rows) {
  const Index step_bytes = std::max<Index>(1, rows * packed.cell.columns * packed.padded * Index(sizeof(T)));
  return std::max<Index>(1, std::min(steps, kChunkBytes / step_bytes));
}

template <class T>
void run_forward(const PackedData<T>& packed, const Layer<T>& layer, const ForwardArguments<T>& arguments,
                 bool training) {
  ForwardRun<T> run(packed, layer, chunk_steps(packed, layer.steps, layer.rows), training);
  run.run();
  for (Index i = 0; i < layer.rows; ++i) {
    const Index b = layer.order[i];
    std::copy_n(run.final_h(i), layer.hidden, arguments.h_n + b * layer.hidden);
    if (layer.cell.has_c) std::copy_n(run.final_c(i), layer.hidden, arguments.c_n + b * layer.hidden);
    for (Index t = layer.length[b]; t < layer.steps; ++t) std::fill_n(layer.y.at(t, b), layer.hidden, T(0));
  }
}

}  // namespace

template <class T>
void forward(const Weights<T>& weights, const ForwardArguments<T>& arguments) {
  check(arguments);
  Layer<T> layer;
  const AlignedBuffer memory = lay_out(weights.packed(), arguments, false, layer);
  run_forward(weights.packed(), layer, arguments, false);
}

template <class T>
Saved<T>::Saved(std::shared_ptr<const Weights<T>> weights, const ForwardArguments<T>& arguments)
    : data_(std::make_unique<SavedData<T>>()) {
  check(arguments);
  const PackedData<T>& packed = weights->packed();
  if (packed.pack_options.precision != Precision::full || packed.pack_options.fast_activations)
    throw Error("training: expected weights of full precision with exact activations");
  data_->memory = lay_out(packed, arguments, true, data_->layer);
  data_->weights = std::move(weights);
  run_forward(packed, data_->layer, arguments, true);
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
struct SessionData {
  std::shared_ptr<const Weights<T>> weights;
  Layer<T> layer;
  AlignedBuffer memory;
  ForwardRun<T> run;
  Index* length;
  T* h;
  T* c;

  SessionData(std::shared_ptr<const Weights<T>> given, const ForwardArguments<T>& arguments)
      : weights(std::move(given)),
        memory(lay_out(weights->packed(), arguments, false, layer)),
        run(weights->packed(), layer, chunk_steps(weights->packed(), kSessionChunk, arguments.batch), false),
        length(const_cast<Index*>(layer.length)),
        h(const_cast<T*>(layer.h0)),
        c(const_cast<T*>(layer.c0)) {}
};

template <class T>
Session<T>::Session(std::shared_ptr<const Weights<T>> weights, Index batch) {
  if (batch < 1) throw Error("batch: expected 1 or more, got " + std::to_string(batch));
  ForwardArguments<T> arguments;
  arguments.batch = batch;
  data_ = std::make_unique<SessionData<T>>(std::move(weights), arguments);
}
template <class T>
Session<T>::~Session() = default;
template <class T>
Session<T>::Session(Session&& other) noexcept = default;
template <class T>
Session<T>& Session<T>::operator=(Session&& other) noexcept = default;

template <class T>
void Session<T>::step(const T* x, T* y) noexcept {
  const Layer<T>& layer = data_->layer;
  run({x, 0, layer.inputs}, 1, {y, 0, layer.hidden});
}

template <class T>
void Session<T>::run(const Sequence<const T>& x, Index steps, const Sequence<T>& y) noexcept {
  if (steps <= 0) return;
  SessionData<T>& data = *data_;
  Layer<T>& layer = data.run.layer();
  layer.steps = steps;
  layer.x = x;
  layer.y = y;
  std::fill_n(data.length, layer.batch, steps);
  data.run.run();
  for (Index b = 0; b < layer.batch; ++b) {
    std::copy_n(data.run.final_h(b), layer.hidden, data.h + b * layer.padded);
    if (layer.cell.has_c) std::copy_n(data.run.final_c(b), layer.hidden, data.c + b * layer.padded);
  }
}

template <class T>
void Session<T>::reset() noexcept {
  set_state(nullptr, nullptr);
}

template <class T>
void Session<T>::set_state(const T* h, const T* c) noexcept {
  const Layer<T>& layer = data_->layer;
  pad_rows(h, data_->h, layer.batch, layer.hidden, layer.padded);
  if (layer.cell.has_c) pad_rows(c, data_->c, layer.batch, layer.hidden, layer.padded);
}

template <class T>
void Session<T>::get_state(T* h, T* c) const noexcept {
  const Layer<T>& layer = data_->layer;
  for (Index b = 0; b < layer.batch; ++b) {
    std::copy_n(data_->h + b * layer.padded, layer.hidden, h + b * layer.hidden);
    if (layer.cell.has_c) std::copy_n(data_->c + b * layer.padded, layer.hidden, c + b * layer.hidden);
  }
}

template <class T>
const Weights<T>& Session<T>::weights() const noexcept {
  return *data_->weights;
}
template <class T>
Index Session<T>::batch() const noexcept {
  return data_->layer.batch;
}
template <class T>
std::size_t Session<T>::bytes() const noexcept {
  return data_->memory.bytes() + data_->run.bytes();
}

template void forward<float>(const Weights<float>&, const ForwardArguments<float>&);
template void forward<double>(const Weights<double>&, const ForwardArguments<double>&);
template class Saved<float>;
template class Saved<double>;
template class Session<float>;
template class Session<double>;

}  // namespace fastrnn
