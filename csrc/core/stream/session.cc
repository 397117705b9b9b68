// A stream over one layer.
#include <cstdint>
#include <new>
#include <string>

#include "core/layer/forward_run.h"

namespace fastrnn {

/// Time steps whose W x a session computes at once: few, since it keeps the memory for its whole life.
constexpr Index kSessionChunk = 16;

template <class T>
struct SessionData {
  std::shared_ptr<const Weights<T>> weights;
  Layer<T> layer;
  AlignedBuffer memory;
  ForwardRun<T> run;
  AlignedBuffer run_memory;
  Index* length;
  T *h, *c;            // rows of padded and c_width
  T *next_h, *next_c;  // where a step puts the next ones
  bool can_step;

  SessionData(std::shared_ptr<const Weights<T>> given, const ForwardArguments<T>& arguments)
      : weights(std::move(given)),
        memory(lay_out(weights->packed(), arguments, false, 0, layer)),
        run(weights->packed(), layer, chunk_steps(weights->packed(), kSessionChunk, arguments.batch), false),
        run_memory(allocate([&](Arena& arena) {
          run.place(arena);
          arena.take(next_h, layer.batch * layer.padded);
          arena.take(next_c, layer.batch * layer.c_width);
        })),
        length(const_cast<Index*>(layer.length)),
        h(const_cast<T*>(layer.h0)),
        c(const_cast<T*>(layer.c0)),
        can_step(run.can_step()) {}

  void step(const T* x, T* y) noexcept {
    run.step(x, h, c, next_h, next_c);
    std::swap(h, next_h);
    std::swap(c, next_c);
    for (Index b = 0; b < layer.batch; ++b) std::copy_n(h + b * layer.padded, layer.state, y + b * layer.state);
  }

  void run_steps(const Sequence<const T>& x, Index steps, const Sequence<T>& y, Watch* watch) noexcept {
    Layer<T>& own = run.layer();
    own.h0 = h;
    own.c0 = c;
    own.steps = steps;
    own.x = x;
    own.y = y;
    std::fill_n(length, own.batch, steps);
    run.run(watch);
    if (stopped(watch)) return;
    for (Index b = 0; b < own.batch; ++b) {
      std::copy_n(run.final_h(b), own.state, h + b * own.padded);
      std::copy_n(run.final_c(b), own.c_width, c + b * own.c_width);
    }
  }
};

template <class T>
Session<T>::Session(std::shared_ptr<const Weights<T>> weights, Index batch) {
  if (weights == nullptr) throw Error("weights: expected some, got null");
  if (batch < 1) throw Error("batch: expected 1 or more, got " + std::to_string(batch));
  // Beyond, sizes in bytes would overflow: a row takes less than 64 times its inputs and units for each step of a
  // chunk.
  const Index widest = weights->inputs() + weights->hidden() + 64;
  if (batch > PTRDIFF_MAX / Index(sizeof(T)) / 64 / kSessionChunk / widest) throw std::bad_alloc();
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
  SessionData<T>& data = *data_;
  if (data.can_step) return data.step(x, y);
  data.run_steps({x, 0, data.layer.inputs, nullptr}, 1, {y, 0, data.layer.state, nullptr}, nullptr);
}

template <class T>
void Session<T>::run(const Sequence<const T>& x, Index steps, const Sequence<T>& y) noexcept {
  if (steps > 0) data_->run_steps(x, steps, y, current_watch());
}

template <class T>
void Session<T>::reset() noexcept {
  set_state(nullptr, nullptr);
}

template <class T>
void Session<T>::set_state(const T* h, const T* c) noexcept {
  const Layer<T>& layer = data_->layer;
  pad_rows(h, data_->h, layer.batch, layer.state, layer.padded);
  pad_cell_states(layer, c, data_->c);
}

template <class T>
void Session<T>::get_state(T* h, T* c) const noexcept {
  const Layer<T>& layer = data_->layer;
  for (Index b = 0; b < layer.batch; ++b) {
    std::copy_n(data_->h + b * layer.padded, layer.state, h + b * layer.state);
    unpad_cell_states(layer, b, data_->c + b * layer.c_width, c);
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
  return data_->memory.bytes() + data_->run_memory.bytes();
}

template class Session<float>;
template class Session<double>;

}  // namespace fastrnn
