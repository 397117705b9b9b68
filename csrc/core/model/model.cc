// A model as it is built, layer by layer: what fits where.
#include "core/model/model.h"

#include <algorithm>
#include <string>

#include "core/backend/dispatch.h"
#include "core/backend/options.h"
#include "core/model/refuse.h"
#include "fastrnn/unpack.hpp"

namespace fastrnn {

namespace {

using Kind = ModelLayer::Kind;

/// Most elements that a layer's value may have at one step: products of sizes then cannot overflow, and a chunk of
/// steps fits in memory.
constexpr Index kMostWidth = Index(1) << 26;

Index values_read(Kind kind) {
  return kind == Kind::add || kind == Kind::subtract || kind == Kind::multiply || kind == Kind::divide ? 2 : 1;
}

/// Checks which values the layer reads, and notes their widths.
void connect(const Model& model, Stage& stage) {
  ModelLayer& layer = stage.layer;
  const Index latest = Index(model.stages().size());
  if (layer.from.empty()) layer.from.push_back(latest);
  const std::size_t expected = std::size_t(values_read(layer.kind));
  if (layer.kind == Kind::concatenate ? layer.from.size() < 2 : layer.from.size() != expected)
    refuse("from", layer.kind == Kind::concatenate ? "two values or more" : plural(expected, "value"),
           std::to_string(layer.from.size()));
  for (const Index value : layer.from) {
    if (value < 0 || value > latest) refuse("from", "values 0 to " + std::to_string(latest), std::to_string(value));
    stage.widths.push_back(model.width(value));
  }
  const Index own = layer.inputs * (layer.kind == Kind::dense ? layer.rows : 1);
  if (own < 0 || own > kMostWidth) refuse("inputs", "at most " + std::to_string(kMostWidth), std::to_string(own));
  const bool says = own != 0 || layer.kind == Kind::recurrent;  // a recurrent layer may have 0 inputs
  if (latest == 0) {
    if (!says) throw Error("expected a layer before it, or the number of its inputs");
    std::fill(stage.widths.begin(), stage.widths.end(), own);
  }
  stage.inputs = stage.widths[0];
  if (says && own != stage.inputs)
    throw Error("layer " + std::to_string(latest) + ": expected " + std::to_string(stage.inputs) +
                (layer.from[0] == latest ? " inputs, the outputs of the layer before, got "
                                         : " inputs, those of value " + std::to_string(layer.from[0]) + ", got ") +
                std::to_string(own));
  for (const Index width : stage.widths)
    if (layer.kind != Kind::concatenate && width != stage.inputs)
      refuse("from", "values of one width", std::to_string(stage.inputs) + " and " + std::to_string(width));
}

void check_rows(const std::string& what, Index inputs, std::size_t width) {
  if (width < 1 || inputs % Index(width) != 0)
    refuse(what, "a divisor of " + std::to_string(inputs) + ", the inputs", std::to_string(width));
}

Index sum(const std::vector<Index>& widths) {
  Index all = 0;
  for (const Index width : widths) all += width;
  return all;
}

Index gathered(const ModelLayer& layer, Index inputs) {
  Index all = 0;
  for (const ModelLayer::Run& run : layer.runs) {
    const Index most = run.first == inputs ? kMostWidth : inputs - run.first;
    if (run.first < 0 || run.count < 1 || run.count > most)
      refuse("runs", "elements of the " + std::to_string(inputs) + " inputs",
             std::to_string(run.count) + " from " + std::to_string(run.first));
    all += run.count;
    if (all > kMostWidth) break;
  }
  if (all == 0) refuse("runs", "one or more", "none");
  return all;
}

/// A matrix is padded to whole panels, of which a group of fewer outputs would fill little; and a product of its own
/// for each group costs more than that of a few inputs.
constexpr Index kNarrow = 8;

void pack_dense(Stage& stage) {
  ModelLayer& layer = stage.layer;
  const Index groups = layer.groups, inputs = layer.inputs / groups, outputs = layer.outputs / groups;
  if (groups > 1 && (layer.width < layer.inputs || std::min(inputs, outputs) < kNarrow)) return;
  std::vector<float> part(std::size_t(groups > 1 ? inputs * outputs : 0));
  for (Index g = 0; g < groups; ++g) {
    for (Index i = 0; groups > 1 && i < inputs; ++i)
      std::copy_n(layer.kernel.data() + i * layer.outputs + g * outputs, outputs, part.data() + i * outputs);
    stage.matrices.emplace_back(groups > 1 ? part.data() : layer.kernel.data(), inputs, outputs);
  }
  layer.kernel = {};
}

void check_windows(const ModelLayer& layer, Index inputs) {
  const ModelLayer::Windows& own = layer.windows;
  constexpr Index most = Index(1) << 30;
  const auto check = [](const char* name, Index value, Index least) {
    if (value < least || value > most)
      refuse(name, std::to_string(least) + " to " + std::to_string(most), std::to_string(value));
  };
  check("size", own.size, 1);
  check("stride", own.stride, 1);
  check("dilation", own.dilation, 1);
  check("before", own.before, 0);
  check("after", own.after, 0);
  if (own.same && Index(own.before) + own.after > 0) refuse("same", "no padding beside it", "before or after");
  if (Index(own.before) + own.after >= own.span())
    refuse("before and after", "fewer than " + std::to_string(own.span()) + ", which a window goes over",
           std::to_string(Index(own.before) + own.after));
  if (layer.kind == Kind::windows && own.size > kMostWidth / inputs)
    refuse("size", "windows of at most " + std::to_string(kMostWidth) + " elements", std::to_string(own.size));
}

/// Checks and packs what this kind of layer needs; returns the width of the layer's value.
Index complete(Stage& stage) {
  ModelLayer& layer = stage.layer;
  const Index inputs = stage.inputs;
  switch (layer.kind) {
    case Kind::recurrent: return layer.weights->outputs();
    case Kind::dense: pack_dense(stage); return layer.outputs * layer.rows;
    case Kind::activation:
      stage.activation = activation_spec(layer.activation);
      stage.kernels = &current_backend().table<float>();
      return inputs;
    case Kind::softmax:
    case Kind::log_softmax:
      if (layer.width == 0) layer.width = inputs;
      check_rows("width", inputs, std::size_t(layer.width));
      return inputs;
    case Kind::gather: return gathered(layer, inputs);
    case Kind::delay:
      if (layer.steps < 1 || layer.steps > kMostWidth) refuse("steps", "1 or more", std::to_string(layer.steps));
      if (layer.ahead < 0 || layer.ahead > layer.steps)
        refuse("ahead", "0 to " + std::to_string(layer.steps) + ", the steps", std::to_string(layer.ahead));
      return (layer.steps + 1) * inputs;
    case Kind::concatenate: return sum(stage.widths);
    case Kind::windows:
    case Kind::window_maximum:
    case Kind::window_mean: return layer.kind == Kind::windows ? layer.windows.size * inputs : inputs;
    case Kind::affine:
    case Kind::layer_normalization:
      check_rows("scale", inputs, layer.scale.size());
      if (layer.shift.size() != layer.scale.size())
        refuse("shift", plural(layer.scale.size(), "number") + " as scale has", std::to_string(layer.shift.size()));
      if (layer.kind == Kind::layer_normalization && !(layer.number > 0))
        refuse("epsilon", "a number > 0", std::to_string(layer.number));
      return inputs;
    case Kind::embedding: return inputs * layer.outputs;
    case Kind::add:
    case Kind::subtract:
    case Kind::multiply:
    case Kind::divide:
    case Kind::power:
    case Kind::reverse:
    case Kind::last:
    case Kind::mean:
    case Kind::maximum:
    case Kind::log:
    case Kind::erf:
    case Kind::at_least:
    case Kind::at_most: return inputs;
  }
  return 0;
}

}  // namespace

Model::Model(const PackOptions& options) : options_(options) {}
Model::~Model() = default;

void Model::add(ModelLayer layer) {
  auto stage = std::make_unique<Stage>();
  if (layer.kind == Kind::recurrent) {
    if (layer.weights == nullptr) throw Error("weights: expected those of a recurrent layer, got none");
    layer.inputs = layer.weights->inputs();
    const PackedData<float>& packed = layer.weights->packed();
    const auto check = [](const char* name, std::size_t size, Index expected) {
      if (size != 0 && size != std::size_t(expected))
        refuse(name, plural(std::size_t(expected), "number"), std::to_string(size));
    };
    check("h0", layer.h0.size(), packed.state);
    check("c0", layer.c0.size(), packed.hidden * packed.cell.c_states);
  }
  if (layer.kind == Kind::embedding) {
    if (layer.outputs < 1 || layer.outputs > kMostWidth || layer.inputs > kMostWidth / layer.outputs)
      refuse("outputs", "1 or more, of a step of at most " + std::to_string(kMostWidth), std::to_string(layer.outputs));
    if (layer.kernel.empty() || layer.kernel.size() % std::size_t(layer.outputs) != 0)
      refuse("table", "rows of " + plural(std::size_t(layer.outputs), "number"), std::to_string(layer.kernel.size()));
  }
  if (layer.kind == Kind::dense) {
    if (layer.inputs < 1 || layer.outputs < 1) throw Error("dense layer: expected at least one input and one output");
    if (layer.rows < 1 || layer.rows > kMostWidth / std::max(layer.inputs, layer.outputs))
      refuse("rows", "1 or more, of a step of at most " + std::to_string(kMostWidth), std::to_string(layer.rows));
    if (layer.width == 0) layer.width = layer.inputs;
    check_rows("width", layer.inputs, std::size_t(layer.width));
    if (layer.groups < 1 || layer.width % layer.groups != 0 || layer.outputs % layer.groups != 0)
      refuse("groups",
             "a divisor of " + std::to_string(layer.width) + ", the width, and " + std::to_string(layer.outputs) +
                 ", the outputs",
             std::to_string(layer.groups));
    const Index rows = layer.inputs / layer.groups;
    if (layer.kernel.size() / std::size_t(layer.outputs) != std::size_t(rows) ||
        layer.kernel.size() % std::size_t(layer.outputs) != 0)
      refuse("kernel", std::to_string(rows) + " x " + std::to_string(layer.outputs) + " numbers",
             std::to_string(layer.kernel.size()));
    if (!layer.bias.empty() && layer.bias.size() != std::size_t(layer.outputs))
      refuse("bias", plural(std::size_t(layer.outputs), "number"), std::to_string(layer.bias.size()));
  }
  stage->layer = std::move(layer);
  connect(*this, *stage);
  if (stage->has_windows()) check_windows(stage->layer, stage->inputs);
  check_time(*this, *stage);
  stage->outputs = complete(*stage);
  if (stage->outputs > kMostWidth)
    refuse("layer " + std::to_string(stages_.size()), "at most " + std::to_string(kMostWidth) + " outputs", "more");
  for (const Index value : stage->layer.from)
    if (value > 0 && value < Index(stages_.size())) stages_[std::size_t(value - 1)]->kept = true;
  stages_.push_back(std::move(stage));
}

void Model::add_recurrent(const CellOptions& options, const Parameters<float>& parameters) {
  if (!stages_.empty() && outputs() != parameters.inputs)  // checked here too, before the work of packing
    throw Error("layer " + std::to_string(stages_.size()) + ": expected " + std::to_string(outputs()) +
                " inputs, the outputs of the layer before, got " + std::to_string(parameters.inputs));
  add_recurrent(std::make_shared<const Weights<float>>(options, parameters, options_));
}

void Model::add_recurrent(std::shared_ptr<const Weights<float>> weights) {
  ModelLayer layer;
  layer.kind = Kind::recurrent;
  layer.weights = std::move(weights);
  add(std::move(layer));
}

void Model::add_dense(Index inputs, Index outputs, const float* kernel, const float* bias) {
  ModelLayer layer;
  layer.inputs = inputs;
  layer.outputs = outputs;
  if (inputs > 0 && outputs > 0) layer.kernel.assign(kernel, kernel + inputs * outputs);
  if (bias != nullptr && outputs > 0) layer.bias.assign(bias, bias + outputs);
  add(std::move(layer));
}

void Model::add_activation(const ActivationOption& activation) {
  ModelLayer layer;
  layer.kind = Kind::activation;
  layer.activation = activation;
  add(std::move(layer));
}

void Model::add_softmax() {
  ModelLayer layer;
  layer.kind = Kind::softmax;
  add(std::move(layer));
}

Index Model::inputs() const noexcept { return width(0); }
Index Model::outputs() const noexcept { return stages_.empty() ? 0 : stages_.back()->outputs; }
Index Model::width(Index value) const noexcept {
  if (stages_.empty()) return 0;
  return value == 0 ? stages_.front()->inputs : stages_[std::size_t(value - 1)]->outputs;
}
Index Model::layers() const noexcept {
  return std::count_if(stages_.begin(), stages_.end(), [](const auto& stage) { return stage->is_recurrent(); });
}
std::size_t Model::bytes() const noexcept {
  std::size_t sum = 0;
  for (const auto& stage : stages_) {
    const ModelLayer& layer = stage->layer;
    if (stage->is_recurrent()) sum += layer.weights->bytes();
    for (const auto& matrix : stage->matrices) sum += std::size_t(matrix.rows() * matrix.columns()) * sizeof(float);
    sum += (layer.scale.size() + layer.shift.size() + layer.kernel.size() + layer.h0.size() + layer.c0.size()) *
               sizeof(float) +
           layer.runs.size() * sizeof(ModelLayer::Run);
  }
  return sum;
}

std::vector<ModelLayer> unpack(const Model& model) {
  std::vector<ModelLayer> layers;
  for (const auto& stage : model.stages()) {
    ModelLayer& layer = layers.emplace_back(stage->layer);
    if (stage->matrices.empty()) continue;
    layer.kernel.resize(std::size_t(layer.inputs / layer.groups * layer.outputs));
    float* to = layer.kernel.data();
    for (const auto& matrix : stage->matrices) {
      std::vector<float> part(std::size_t(matrix.rows() * matrix.columns()));
      matrix.unpack(part.data());
      for (Index i = 0; i < matrix.rows(); ++i)
        std::copy_n(part.data() + i * matrix.columns(), matrix.columns(), to + i * layer.outputs);
      to += matrix.columns();
    }
  }
  return layers;
}

}  // namespace fastrnn
