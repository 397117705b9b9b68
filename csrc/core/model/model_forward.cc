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
  Batch batch = {};            // its steps, and how many each row has
  std::vector<Index> lengths;  // of windows, which `batch` refers to; later values share them
};

void count_windows(const ModelLayer::Windows& windows, const Batch& in, Value& value) {
  value.batch.steps = windows.count(in.steps);
  for (Index b = 0; b < in.rows && in.lengths != nullptr; ++b) value.lengths.push_back(windows.count(in.lengths[b]));
  if (in.lengths != nullptr) value.batch.lengths = value.lengths.data();
}

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

/// NaN in gives NaN out.
void take_maximum(const float* x, Index n, float* y) {
  for (Index i = 0; i < n; ++i)
    if (x[i] > y[i] || std::isnan(x[i])) y[i] = x[i];
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

/// The steps of a window that lie within a sequence: places begin .. end of it, at times first + place * dilation.
struct Window {
  Index first, begin, end;
};

Window window_at(const ModelLayer::Windows& windows, Index t, Index length) {
  const Index first = t * windows.stride - windows.padding(length);
  const Index begin = first < 0 ? (-first + windows.dilation - 1) / windows.dilation : 0;
  const Index end = length > first ? (length - 1 - first) / windows.dilation + 1 : 0;
  return {first, begin, std::max(begin, std::min<Index>(end, windows.size))};
}

/// A step for each window of the row's own steps, zeros behind the last. `write(window, x of the row, y)` makes one.
template <class Write>
void run_windows(const Stage& stage, const Batch& in, const Batch& out, const float* x, float* y, const Write& write) {
  const Index work = out.rows * stage.inputs * std::min<Index>(stage.layer.windows.size, in.steps);
  for (Index t = 0; t < out.steps; ++t, check_interrupted(work))
    for (Index b = 0; b < out.rows; ++b, y += stage.outputs) {
      if (t < out.length(b))
        write(window_at(stage.layer.windows, t, in.length(b)), x + b * stage.inputs, y);
      else
        std::fill_n(y, stage.outputs, 0.0f);
    }
}

void join_windows(const Stage& stage, const Batch& in, const Batch& out, const float* x, float* y) {
  const Index width = stage.inputs, step = in.rows * width, dilation = stage.layer.windows.dilation;
  run_windows(stage, in, out, x, y, [&](const Window& window, const float* from, float* to) {
    std::fill_n(to, window.begin * width, 0.0f);
    for (Index place = window.begin; place < window.end; ++place)
      std::copy_n(from + (window.first + place * dilation) * step, width, to + place * width);
    std::fill_n(to + window.end * width, (stage.layer.windows.size - window.end) * width, 0.0f);
  });
}

void pool_maximum(const Stage& stage, const Batch& in, const Batch& out, const float* x, float* y) {
  const Index width = stage.inputs, step = in.rows * width, dilation = stage.layer.windows.dilation;
  run_windows(stage, in, out, x, y, [&](const Window& window, const float* from, float* to) {
    std::fill_n(to, width, -std::numeric_limits<float>::infinity());
    for (Index place = window.begin; place < window.end; ++place)
      take_maximum(from + (window.first + place * dilation) * step, width, to);
  });
}

void pool_mean(const Stage& stage, const Batch& in, const Batch& out, const float* x, float* y) {
  const Index width = stage.inputs, step = in.rows * width, dilation = stage.layer.windows.dilation;
  std::vector<double> sum(static_cast<std::size_t>(width));
  run_windows(stage, in, out, x, y, [&](const Window& window, const float* from, float* to) {
    std::fill(sum.begin(), sum.end(), 0.0);
    for (Index place = window.begin; place < window.end; ++place)
      for (Index i = 0; i < width; ++i) sum[std::size_t(i)] += from[(window.first + place * dilation) * step + i];
    for (Index i = 0; i < width; ++i) to[i] = float(sum[std::size_t(i)] / double(window.end - window.begin));
  });
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

void run_maximum(const Stage& stage, const Batch& batch, const float* x, float* y) {
  const Index width = stage.inputs;
  for (Index b = 0; b < batch.rows; ++b, y += width) {
    std::fill_n(y, width, -std::numeric_limits<float>::infinity());
    for (Index t = 0; t < batch.length(b); ++t) take_maximum(x + (t * batch.rows + b) * width, width, y);
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
  check_call(*this, {steps, batch, lengths});
  const Index stages = Index(stages_.size());
  std::vector<Value> values(static_cast<std::size_t>(stages) + 1);
  values[0].data = x;
  values[0].batch = {steps, batch, lengths};
  for (Index i = 0; i < stages; ++i)
    for (const Index value : stages_[std::size_t(i)]->layer.from) values[std::size_t(value)].last_reader = i;
  for (Index i = 0; i < stages; ++i) {
    const Stage& stage = *stages_[std::size_t(i)];
    Value& value = values[std::size_t(i + 1)];
    const Batch& in = values[std::size_t(stage.layer.from[0])].batch;
    value.batch = in;
    if (stage.has_windows()) count_windows(stage.layer.windows, in, value);
    const Index rows = stage.sequence ? value.batch.steps * batch : batch;
    float* to = y;
    if (i + 1 < stages) {
      value.memory = AlignedBuffer(std::size_t(rows * stage.outputs) * sizeof(float));
      to = static_cast<float*>(value.memory.data());
    }
    value.data = to;
    const float* const from = values[std::size_t(stage.layer.from[0])].data;
    switch (stage.layer.kind) {
      case Kind::recurrent: run_recurrent(stage, in, from, to, threads); break;
      case Kind::delay: run_delay(stage, in, from, to); break;
      case Kind::reverse: run_reverse(stage, in, from, to); break;
      case Kind::last: run_last(stage, in, from, to); break;
      case Kind::mean: run_mean(stage, in, from, to); break;
      case Kind::maximum: run_maximum(stage, in, from, to); break;
      case Kind::windows: join_windows(stage, in, value.batch, from, to); break;
      case Kind::window_maximum: pool_maximum(stage, in, value.batch, from, to); break;
      case Kind::window_mean: pool_mean(stage, in, value.batch, from, to); break;
      case Kind::embedding:
        if (stage.layer.from[0] == 0) check_choices(stage, in, x);
        [[fallthrough]];
      default: run_rows(stage, rows, values, options_.fast_activations, to);
    }
    check_interrupted(rows * stage.outputs * kPerElement);
    for (const Index read : stage.layer.from)
      if (values[std::size_t(read)].last_reader == i) values[std::size_t(read)].memory = {};
    if (value.last_reader < 0) value.memory = {};
  }
  if (!sequences() || lengths == nullptr) return;
  const Batch& out = values.back().batch;
  for (Index t = 0; t < out.steps; ++t)
    for (Index b = 0; b < batch; ++b)
      if (t >= out.lengths[b]) std::fill_n(y + (t * batch + b) * outputs(), outputs(), 0.0f);
}

}  // namespace fastrnn
