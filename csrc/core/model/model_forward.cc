// Whole sequences through a model, layer by layer: each layer sees all steps before the next one begins.
#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "core/backend/options.h"
#include "core/model/model.h"

namespace fastrnn {

namespace {

using Kind = ModelLayer::Kind;

/// Layers without a state see so many rows at once, which stay in the cache.
constexpr Index kRowsAtOnce = 256;

/// The shape of a call.
struct Batch {
  Index steps, rows;
  const Index* lengths;  // or null

  Index length(Index b) const { return lengths != nullptr ? lengths[b] : steps; }
};

/// What layers read and write: (T,B,W), or (B,W) where `sequence` is false.
struct Value {
  const float* data = nullptr;
  AlignedBuffer memory;
  Index last_reader = -1;
};

void check_call(const Model& model, const Batch& batch) {
  if (model.stages().empty()) throw Error("model: expected at least one layer");
  check_batch(batch.steps, batch.rows, batch.lengths);
  Index widest = model.inputs() + 64;
  for (const auto& stage : model.stages()) widest = std::max(widest, stage->outputs + 64);
  if (batch.rows > PTRDIFF_MAX / Index(sizeof(float)) / widest / std::max<Index>(batch.steps, 1))
    throw std::bad_alloc();
}

/// An embedding of the input has to have a row for each element that counts.
void check_choices(const Stage& stage, const Batch& batch, const float* x) {
  const Index inputs = stage.inputs, rows = Index(stage.layer.kernel.size()) / stage.layer.outputs;
  for (Index t = 0; t < batch.steps; ++t)
    for (Index b = 0; b < batch.rows; ++b, x += inputs)
      for (Index i = 0; t < batch.length(b) && i < inputs; ++i)
        if (!stage.has_row(x[i]))
          throw Error("x: expected whole numbers in 0.." + std::to_string(rows - 1) + ", got " + std::to_string(x[i]) +
                      " at step " + std::to_string(t) + " of row " + std::to_string(b));
}

void run_recurrent(const Stage& stage, const Batch& batch, const float* x, float* y, int threads) {
  const ModelLayer& layer = stage.layer;
  const Index state = stage.outputs, hidden = layer.weights->hidden();
  const Index cell_states = cell_state_count(layer.weights->options().cell);
  // forward() writes the last states; nobody reads them.
  std::vector<float> h0, c0, h_n(std::size_t(batch.rows * state)), c_n(std::size_t(cell_states * batch.rows * hidden));
  for (Index b = 0; b < batch.rows && !layer.h0.empty(); ++b) h0.insert(h0.end(), layer.h0.begin(), layer.h0.end());
  for (std::size_t first = 0; first < layer.c0.size(); first += std::size_t(hidden))
    for (Index b = 0; b < batch.rows; ++b)
      c0.insert(c0.end(), layer.c0.begin() + Index(first), layer.c0.begin() + Index(first) + hidden);
  ForwardArguments<float> arguments;
  arguments.steps = batch.steps;
  arguments.batch = batch.rows;
  arguments.x = {x, batch.rows * stage.inputs, stage.inputs, nullptr};
  arguments.y = {y, batch.rows * state, state, nullptr};
  arguments.lengths = batch.lengths;
  arguments.h_n = h_n.data();
  arguments.c_n = c_n.data();
  arguments.threads = threads;
  if (!h0.empty()) arguments.h0 = h0.data();
  if (!c0.empty()) arguments.c0 = c0.data();
  forward(*layer.weights, arguments);
}

void run_delay(const Stage& stage, const Batch& batch, const float* x, float* y) {
  const Index width = stage.inputs, steps = stage.layer.steps, ahead = stage.layer.ahead;
  for (Index t = 0; t < batch.steps; ++t)
    for (Index b = 0; b < batch.rows; ++b)
      for (Index time = t + ahead - steps; time <= t + ahead; ++time, y += width) {
        if (time >= 0 && time < batch.length(b))
          std::copy_n(x + (time * batch.rows + b) * width, width, y);
        else
          std::fill_n(y, width, 0.0f);
      }
}

void run_reverse(const Stage& stage, const Batch& batch, const float* x, float* y) {
  const Index width = stage.inputs;
  for (Index t = 0; t < batch.steps; ++t)
    for (Index b = 0; b < batch.rows; ++b, y += width) {
      const Index from = batch.length(b) - 1 - t;
      if (from >= 0)
        std::copy_n(x + (from * batch.rows + b) * width, width, y);
      else
        std::fill_n(y, width, 0.0f);
    }
}

void run_last(const Stage& stage, const Batch& batch, const float* x, float* y) {
  const Index width = stage.inputs;
  for (Index b = 0; b < batch.rows; ++b, y += width) {
    const Index length = batch.length(b);
    if (length > 0)
      std::copy_n(x + ((length - 1) * batch.rows + b) * width, width, y);
    else
      std::fill_n(y, width, 0.0f);
  }
}

/// Sums are in double, as those of layer_normalization.
void run_mean(const Stage& stage, const Batch& batch, const float* x, float* y) {
  const Index width = stage.inputs;
  std::vector<double> sum(static_cast<std::size_t>(width));
  for (Index b = 0; b < batch.rows; ++b, y += width) {
    std::fill(sum.begin(), sum.end(), 0.0);
    for (Index t = 0; t < batch.length(b); ++t)
      for (Index i = 0; i < width; ++i) sum[std::size_t(i)] += x[(t * batch.rows + b) * width + i];
    for (Index i = 0; i < width; ++i) y[i] = float(sum[std::size_t(i)] / double(batch.length(b)));
  }
}

/// NaN in gives NaN out.
void run_maximum(const Stage& stage, const Batch& batch, const float* x, float* y) {
  const Index width = stage.inputs;
  for (Index b = 0; b < batch.rows; ++b, y += width) {
    std::fill_n(y, width, -std::numeric_limits<float>::infinity());
    for (Index t = 0; t < batch.length(b); ++t)
      for (Index i = 0; i < width; ++i) {
        const float value = x[(t * batch.rows + b) * width + i];
        if (value > y[i] || std::isnan(value)) y[i] = value;
      }
  }
}

/// Runs a layer that sees each row by itself.
void run_rows(const Stage& stage, Index rows, const std::vector<Value>& values, bool fast, float* y) {
  const std::size_t read = stage.widths.size();
  std::vector<const float*> pointers(std::size_t(kRowsAtOnce * stage.pointers())),
      list(read * std::size_t(kRowsAtOnce));
  std::vector<const float* const*> lists(read);
  for (std::size_t s = 0; s < read; ++s) lists[s] = list.data() + s * std::size_t(kRowsAtOnce);
  for (Index first = 0; first < rows; first += kRowsAtOnce, check_interrupted()) {
    const Index count = std::min(kRowsAtOnce, rows - first);
    for (std::size_t s = 0; s < read; ++s) {
      const float* const from = values[std::size_t(stage.layer.from[s])].data + first * stage.widths[s];
      for (Index r = 0; r < count; ++r)
        list[s * std::size_t(kRowsAtOnce) + std::size_t(r)] = from + r * stage.widths[s];
    }
    stage.apply(lists.data(), count, y + first * stage.outputs, pointers.data(), fast, current_watch());
  }
}

}  // namespace

void Model::forward(const float* x, Index steps, Index batch, const Index* lengths, float* y, int threads) const {
  const Batch call = {steps, batch, lengths};
  check_call(*this, call);
  const Index stages = Index(stages_.size());
  std::vector<Value> values(static_cast<std::size_t>(stages) + 1);
  values[0].data = x;
  for (Index i = 0; i < stages; ++i)
    for (const Index value : stages_[std::size_t(i)]->layer.from) values[std::size_t(value)].last_reader = i;
  for (Index i = 0; i < stages; ++i) {
    const Stage& stage = *stages_[std::size_t(i)];
    Value& value = values[std::size_t(i + 1)];
    const Index rows = stage.sequence ? steps * batch : batch;
    float* to = y;
    if (i + 1 < stages) {
      value.memory = AlignedBuffer(std::size_t(rows * stage.outputs) * sizeof(float));
      to = static_cast<float*>(value.memory.data());
    }
    value.data = to;
    const float* const from = values[std::size_t(stage.layer.from[0])].data;
    switch (stage.layer.kind) {
      case Kind::recurrent: run_recurrent(stage, call, from, to, threads); break;
      case Kind::delay: run_delay(stage, call, from, to); break;
      case Kind::reverse: run_reverse(stage, call, from, to); break;
      case Kind::last: run_last(stage, call, from, to); break;
      case Kind::mean: run_mean(stage, call, from, to); break;
      case Kind::maximum: run_maximum(stage, call, from, to); break;
      case Kind::embedding:
        if (stage.layer.from[0] == 0) check_choices(stage, call, x);
        [[fallthrough]];
      default: run_rows(stage, rows, values, options_.fast_activations, to);
    }
    check_interrupted(rows * stage.outputs * kPerElement);
    for (const Index read : stage.layer.from)
      if (values[std::size_t(read)].last_reader == i) values[std::size_t(read)].memory = {};
    if (value.last_reader < 0) value.memory = {};
  }
  if (!sequences() || lengths == nullptr) return;
  for (Index t = 0; t < steps; ++t)
    for (Index b = 0; b < batch; ++b)
      if (t >= lengths[b]) std::fill_n(y + (t * batch + b) * outputs(), outputs(), 0.0f);
}

}  // namespace fastrnn
