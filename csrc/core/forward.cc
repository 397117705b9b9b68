// The forward pass of a whole batch of sequences.
#include <algorithm>
#include <string>

#include "core/forward_run.h"
#include "core/forward_threads.h"

namespace fastrnn {

namespace {

template <class T>
void check(const ForwardArguments<T>& arguments) {
  if (arguments.steps < 0 || arguments.batch < 0) throw Error("x: expected T >= 0 and B >= 0");
  if (arguments.lengths == nullptr) return;
  for (Index b = 0; b < arguments.batch; ++b)
    if (arguments.lengths[b] < 0 || arguments.lengths[b] > arguments.steps)
      throw Error("lengths: expected values in 0.." + std::to_string(arguments.steps) + ", got " +
                  std::to_string(arguments.lengths[b]) + " at index " + std::to_string(b));
}

template <class T>
void run_forward(const std::shared_ptr<const PackedData<T>>& packed, const ForwardArguments<T>& arguments,
                 const Layer<T>& layer, bool training) {
  if (run_on_threads(packed, arguments, layer, training)) return;
  ForwardRun<T> run(*packed, layer, chunk_steps(*packed, layer.steps, layer.rows), training);
  const AlignedBuffer memory = allocate([&](Arena& arena) { run.place(arena); });
  run.run();
  finish_rows(run, arguments);
}

}  // namespace

template <class T>
void forward(const Weights<T>& weights, const ForwardArguments<T>& arguments) {
  check(arguments);
  Layer<T> layer;
  const AlignedBuffer memory = lay_out(weights.packed(), arguments, false, layer);
  run_forward(weights.shared_packed(), arguments, layer, false);
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
  run_forward(data_->weights->shared_packed(), arguments, data_->layer, true);
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

template void forward<float>(const Weights<float>&, const ForwardArguments<float>&);
template void forward<double>(const Weights<double>&, const ForwardArguments<double>&);
template class Saved<float>;
template class Saved<double>;

}  // namespace fastrnn
