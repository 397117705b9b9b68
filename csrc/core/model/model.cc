#include "core/model/model.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "core/backend/dispatch.h"
#include "core/backend/options.h"
#include "core/base/float_mode.h"
#include "core/weights/matmul.h"

namespace fastrnn {

namespace {

void check_width(const Model& model, Index inputs) {
  if (!model.stages().empty() && model.outputs() != inputs)
    throw Error("layer " + std::to_string(model.stages().size()) + ": expected " + std::to_string(model.outputs()) +
                " inputs, the outputs of the layer before, got " + std::to_string(inputs));
}

/// Shifted by the greatest, so that nothing overflows.
void softmax(float* y, Index n) noexcept {
  float most = y[0], sum = 0;
  for (Index i = 1; i < n; ++i) most = std::max(most, y[i]);
  for (Index i = 0; i < n; ++i) sum += y[i] = std::exp(y[i] - most);
  for (Index i = 0; i < n; ++i) y[i] /= sum;
}

}  // namespace

void Stage::apply(const float* const* x, Index n, float* y, bool fast, Watch* watch) const noexcept {
  const FlushDenormals flush;
  if (kind == Kind::dense) {
    multiply(matrix->data(), x, y, n, watch);
    if (!bias.empty())
      for (Index r = 0; r < n; ++r)
        for (Index i = 0; i < outputs; ++i) y[r * outputs + i] += bias[i];
    return;
  }
  for (Index r = 0; r < n && !stops(watch, outputs * kPerElement); ++r, y += outputs) {
    if (kind == Kind::activation) {
      kernels->activate(activation, fast, x[r], y, outputs);
      continue;
    }
    if (x[r] != y) std::copy_n(x[r], outputs, y);
    softmax(y, outputs);
  }
}

Model::Model(const PackOptions& options) : options_(options) {}
Model::~Model() = default;

void Model::add_recurrent(const CellOptions& options, const Parameters<float>& parameters) {
  check_width(*this, parameters.inputs);  // before they are packed
  add_recurrent(std::make_shared<const Weights<float>>(options, parameters, options_));
}

void Model::add_recurrent(std::shared_ptr<const Weights<float>> weights) {
  check_width(*this, weights->inputs());
  auto stage = std::make_unique<Stage>();
  stage->kind = Stage::Kind::recurrent;
  stage->inputs = weights->inputs();
  stage->outputs = weights->outputs();
  stage->weights = std::move(weights);
  stages_.push_back(std::move(stage));
}

void Model::add_dense(Index inputs, Index outputs, const float* kernel, const float* bias) {
  if (inputs < 1 || outputs < 1) throw Error("dense layer: expected at least one input and one output");
  check_width(*this, inputs);
  auto stage = std::make_unique<Stage>();
  stage->kind = Stage::Kind::dense;
  stage->matrix = std::make_unique<const Matrix<float>>(kernel, inputs, outputs);
  if (bias != nullptr) stage->bias.assign(bias, bias + outputs);
  stage->inputs = inputs;
  stage->outputs = outputs;
  stages_.push_back(std::move(stage));
}

void Model::add_activation(const ActivationOption& activation) {
  if (stages_.empty()) throw Error("activation: expected a layer before it");
  auto stage = std::make_unique<Stage>();
  stage->kind = Stage::Kind::activation;
  stage->activation = activation_spec(activation);
  stage->kernels = &current_backend().table<float>();
  stage->inputs = stage->outputs = outputs();
  stages_.push_back(std::move(stage));
}

void Model::add_softmax() {
  if (stages_.empty()) throw Error("softmax: expected a layer before it");
  auto stage = std::make_unique<Stage>();
  stage->kind = Stage::Kind::softmax;
  stage->inputs = stage->outputs = outputs();
  stages_.push_back(std::move(stage));
}

Index Model::inputs() const noexcept { return stages_.empty() ? 0 : stages_.front()->inputs; }
Index Model::outputs() const noexcept { return stages_.empty() ? 0 : stages_.back()->outputs; }
Index Model::layers() const noexcept {
  return std::count_if(stages_.begin(), stages_.end(), [](const auto& stage) { return stage->is_recurrent(); });
}
std::size_t Model::bytes() const noexcept {
  std::size_t sum = 0;
  for (const auto& stage : stages_)
    sum +=
        stage->is_recurrent() ? stage->weights->bytes() : std::size_t(stage->inputs * stage->outputs) * sizeof(float);
  return sum;
}

std::vector<UnpackedLayer> unpack(const Model& model) {
  using Kind = UnpackedLayer::Kind;
  std::vector<UnpackedLayer> layers;
  for (const auto& stage : model.stages()) {
    const cells::ActivationSpec& f = stage->activation;
    layers.push_back({stage->kind,
                      stage->inputs,
                      stage->outputs,
                      stage->weights,
                      {},
                      stage->bias,
                      {static_cast<Activation>(f.kind), f.alpha, f.beta}});
    if (layers.back().kind != Kind::dense) continue;
    layers.back().kernel.resize(std::size_t(stage->inputs * stage->outputs));
    stage->matrix->unpack(layers.back().kernel.data());
  }
  return layers;
}

}  // namespace fastrnn
