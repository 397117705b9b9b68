// forward() and Saved: checks, memory, and the choice between one thread and several. The loop over time is in
// forward_run.h.
#include <algorithm>
#include <string>

#include "core/backend/options.h"
#include "core/layer/forward_run.h"
#include "core/layer/forward_threads.h"

namespace fastrnn {

namespace {

template <class T>
void compute_forward(const std::shared_ptr<const PackedData<T>>& packed, const ForwardArguments<T>& arguments,
                     const Layer<T>& layer, const ForwardPlan<T>& plan) {
  if (run_on_threads(packed, arguments, layer, plan)) return check_interrupted();
  Watch* const watch = current_watch();
  ForwardRun<T> run = plan.make_run(*packed, layer);
  const AlignedBuffer memory = allocate([&](Arena& arena) { run.place(arena); });
  run.run(watch);
  write_results(run, arguments, watch);
  check_interrupted();
}

}  // namespace

template <class T>
void forward(const Weights<T>& weights, const ForwardArguments<T>& arguments) {
  check_run(weights.options().cell, arguments);
  Layer<T> layer;
  const AlignedBuffer memory = lay_out(weights.packed(), arguments, false, 0, layer);
  compute_forward(weights.shared_packed(), arguments, layer, {});
}

template <class T>
Saved<T>::Saved(std::shared_ptr<const Weights<T>> weights, const ForwardArguments<T>& arguments)
    : data_(std::make_unique<SavedData<T>>()) {
  const PackedData<T>& packed = weights->packed();
  check_run(packed.options.cell, arguments);
  if (packed.pack_options.precision != Precision::full || packed.pack_options.fast_activations)
    throw Error("training: expected weights of full precision with exact activations");
  SavedData<T>& data = *data_;
  Layer<T>& layer = data.layer;
  const Index every = std::min(arguments.checkpoint_every, arguments.steps);
  const bool saving = every == 0;
  ForwardArguments<T> kept = arguments;
  if (arguments.reset_mask != nullptr) {
    data.reset.assign(arguments.reset_mask, arguments.reset_mask + arguments.steps * arguments.batch);
    kept.reset_mask = data.reset.data();
  }
  data.memory = lay_out(packed, kept, true, saving ? arguments.steps : 0, layer);
  data.weights = std::move(weights);
  data.dropout = arguments.dropout;
  data.repeats_output = arguments.mask != nullptr && !arguments.zero_output_for_mask;
  data.checkpoint_every = every;
  const StepMasks<T> masks(layer, arguments.dropout);
  if (!saving)
    data.checkpoint_memory = allocate([&](Arena& arena) {
      arena.take(data.checkpoints, (arguments.steps + every - 1) / every * arguments.batch * layer.c_width);
    });
  // Without cell states there is nothing to keep: y has h.
  T* checkpoints = layer.c_width > 0 ? data.checkpoints : nullptr;
  compute_forward(data.weights->shared_packed(), arguments, layer, {saving, &masks, every, checkpoints});
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
  return data_->memory.bytes() + data_->checkpoint_memory.bytes();
}

template void forward<float>(const Weights<float>&, const ForwardArguments<float>&);
template void forward<double>(const Weights<double>&, const ForwardArguments<double>&);
template class Saved<float>;
template class Saved<double>;

}  // namespace fastrnn
