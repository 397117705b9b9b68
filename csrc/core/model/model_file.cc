// From a model's file to a Model: the schema of docs/model-file.md.
#include <cfloat>
#include <cmath>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "cells/options.h"
#include "core/model/layer_entry.h"
#include "core/model/model.h"
#include "core/model/safetensors.h"

namespace fastrnn {

namespace {

constexpr const char* kEntry = "fastrnn.native";
constexpr Index kVersion = 1;
constexpr std::size_t kMostLayers = 4096;

/// The arrays of one layer, by the names of the parameters that they are.
class Arrays {
 public:
  Arrays(const LayerEntry& entry, SafetensorsFile& file) : entry_(entry), file_(file) {}

  /// The array of a parameter, checked; null where the layer has none and need not.
  const float* read(std::string_view parameter, const std::vector<Index>& shape, bool required = false) {
    Tensor* tensor = find(parameter);
    if (tensor == nullptr) {
      if (required) throw Error("arrays: expected " + std::string(parameter));
      return nullptr;
    }
    if (std::vector<Index>(tensor->shape, tensor->shape + tensor->axes) != shape) {
      Tensor expected;
      for (const Index size : shape) expected.shape[expected.axes++] = size;
      throw Error(std::string(parameter) + ", array " + quoted(tensor->name) + ": expected shape " +
                  expected.shape_text() + ", got " + tensor->shape_text());
    }
    if (tensor->dtype != entry_.dtype)
      throw Error(std::string(parameter) + ", array " + quoted(tensor->name) + ": expected dtype " +
                  std::string(entry_.dtype) + ", that of the layer, got " + std::string(tensor->dtype));
    if (std::exchange(tensor->used, true))
      throw Error(std::string(parameter) + ", array " + quoted(tensor->name) + ": expected an array of its own");
    ++read_;
    return values_.emplace_back(file_.floats(*tensor)).data();
  }
  Tensor* find(std::string_view parameter) {
    for (const auto& [name, array] : entry_.arrays)
      if (name == parameter) {
        Tensor* tensor = file_.find(array);
        if (tensor == nullptr)
          throw Error(std::string(parameter) + ": expected the name of an array, got " + quoted(array));
        return tensor;
      }
    return nullptr;
  }
  /// An array that no parameter took is an error.
  void check_all_read(const char* names) const {
    if (read_ != entry_.arrays.size()) throw Error(std::string("arrays: expected none but ") + names);
  }

 private:
  const LayerEntry& entry_;
  SafetensorsFile& file_;
  std::vector<std::vector<float>> values_;
  std::size_t read_ = 0;
};

void add_recurrent(Model& model, LayerEntry& entry, SafetensorsFile& file) {
  CellOptions options = entry.options;
  Arrays arrays(entry, file);
  const auto has = [&](const char* parameter) { return cells::has(options.cell, parameter); };
  const Index hidden = entry.hidden, outputs = entry.outputs;
  const bool projected = has("w_hr") && arrays.find("w_hr") != nullptr;
  if (projected ? outputs > hidden : outputs != hidden)
    throw Error("outputs: expected " + std::string(projected ? "at most " : "") + "hidden, " + std::to_string(hidden) +
                ", got " + std::to_string(outputs));
  Parameters<float> parameters;
  parameters.inputs = entry.layer.inputs;
  parameters.hidden = hidden;
  if (projected) parameters.projection = outputs;
  if (const Tensor* peepholes = has("w_peep") ? arrays.find("w_peep") : nullptr)
    options.peephole = peepholes->axes == 3 ? Peephole::full : Peephole::diagonal;
  const cells::ParameterSizes sizes = {entry.layer.inputs, hidden, outputs, options.peephole};
  std::vector<std::string> names;
  for (const auto& row : cells::kParameterTable<float>) {
    if ((row.cells & cells::only(options.cell)) == 0) continue;
    names.emplace_back(row.name);
    const bool required = row.name == "w_ih" || row.name == "w_hh";
    parameters.*row.value = arrays.read(row.name, cells::parameter_shape(options.cell, row.name, sizes), required);
  }
  // The states before the first step: h0, c0, ...; those that are left out are zeros.
  if (const float* const h0 = arrays.read("h0", {outputs})) entry.layer.h0.assign(h0, h0 + outputs);
  names.emplace_back("h0");
  const std::string_view letters = cells::state_names(cell_state_count(options.cell));
  for (std::size_t j = 0; j < letters.size(); ++j) {
    names.push_back(std::string(1, letters[j]) + "0");
    const float* const state = arrays.read(names.back(), {hidden});
    if (state == nullptr) continue;
    std::vector<float>& c0 = entry.layer.c0;
    c0.resize(letters.size() * std::size_t(hidden));
    std::copy_n(state, hidden, c0.begin() + Index(j) * hidden);
  }
  std::string known;
  for (std::size_t i = 0; i < names.size(); ++i)
    known += (i == 0 ? "" : i + 1 == names.size() ? " and " : ", ") + names[i];
  arrays.check_all_read(known.c_str());
  entry.layer.weights = std::make_shared<const Weights<float>>(options, parameters, model.options());
  model.add(std::move(entry.layer));
}

void add_dense(Model& model, LayerEntry& entry, SafetensorsFile& file) {
  ModelLayer& layer = entry.layer;
  Arrays arrays(entry, file);
  const Index rows = layer.inputs / layer.groups;  // Model::add checks that it divides
  const float* kernel = arrays.read("kernel", {rows, layer.outputs}, true);
  const float* bias = arrays.read("bias", {layer.outputs});
  arrays.check_all_read("kernel and bias");
  layer.kernel.assign(kernel, kernel + rows * layer.outputs);
  if (bias != nullptr) layer.bias.assign(bias, bias + layer.outputs);
  model.add(std::move(layer));
}

/// affine, layer_normalization, batch_normalization, which becomes an affine layer
void add_scaled(Model& model, LayerEntry& entry, SafetensorsFile& file) {
  ModelLayer& layer = entry.layer;
  const bool folds = entry.folds_statistics, needs_both = layer.kind == ModelLayer::Kind::affine && !folds;
  Arrays arrays(entry, file);
  // The first array that is there says the width; layer_normalization without any goes over the whole step.
  Index width = layer.inputs;
  for (const char* name : {"scale", "shift", "mean", "variance"})
    if (const Tensor* const tensor = arrays.find(name)) {
      if (tensor->axes != 1) throw Error(std::string(name) + ": expected an array of one axis");
      width = tensor->shape[0];
      break;
    }
  const float* const scale = arrays.read("scale", {width}, needs_both);
  const float* const shift = arrays.read("shift", {width}, needs_both);
  const float* const mean = folds ? arrays.read("mean", {width}, true) : nullptr;
  const float* const variance = folds ? arrays.read("variance", {width}, true) : nullptr;
  arrays.check_all_read(folds ? "scale, shift, mean and variance" : "scale and shift");
  layer.scale.assign(width, 1);
  layer.shift.assign(width, 0);
  if (scale != nullptr) layer.scale.assign(scale, scale + width);
  if (shift != nullptr) layer.shift.assign(shift, shift + width);
  for (Index i = 0; folds && i < width; ++i) {
    const double spread = variance[i] + layer.number;
    if (!(spread > 0))
      throw Error("variance: expected numbers that are > 0 with " + std::to_string(layer.number) + " added, got " +
                  std::to_string(variance[i]));
    const double factor = layer.scale[i] / std::sqrt(spread);
    layer.scale[i] = float(factor);
    layer.shift[i] = float(layer.shift[i] - mean[i] * factor);
  }
  if (folds) layer.number = 0;
  model.add(std::move(layer));
}

void add_embedding(Model& model, LayerEntry& entry, SafetensorsFile& file) {
  Arrays arrays(entry, file);
  const Tensor* const found = arrays.find("table");
  if (found == nullptr || found->axes != 2 || found->shape[0] < 1)
    throw Error("arrays: expected table, of shape (N, outputs)");
  const Index rows = found->shape[0];
  const float* const table = arrays.read("table", {rows, entry.outputs}, true);
  arrays.check_all_read("table");
  entry.layer.kernel.assign(table, table + rows * entry.outputs);
  model.add(std::move(entry.layer));
}

void add(Model& model, LayerEntry entry, SafetensorsFile& file) {
  using Kind = ModelLayer::Kind;
  switch (entry.layer.kind) {
    case Kind::recurrent: return add_recurrent(model, entry, file);
    case Kind::dense: return add_dense(model, entry, file);
    case Kind::affine:
    case Kind::layer_normalization: return add_scaled(model, entry, file);
    case Kind::embedding: return add_embedding(model, entry, file);
    default: return model.add(std::move(entry.layer));
  }
}

/// The elements that the last layer computes at a step: layers without weights could otherwise ask for any number.
Index unbounded_width(const Model& model) {
  const Stage& stage = *model.stages().back();
  const bool bounded = stage.is_recurrent() || (stage.layer.kind == ModelLayer::Kind::dense && stage.layer.rows == 1) ||
                       (stage.layer.kind == ModelLayer::Kind::embedding && stage.inputs == 1);
  return bounded ? 0 : stage.outputs;
}

std::shared_ptr<const Model> read_model(const ByteSource& source, const PackOptions& options) {
  SafetensorsFile file(source);
  std::string text(file.metadata(kEntry));
  if (text.empty())
    throw Error(std::string("expected the metadata entry '") + kEntry +
                "', which fastrnn writes to .safetensors files, got none");
  const auto model = std::make_shared<Model>(options);
  JsonReader json(text.data(), text.size(), kEntry);
  bool has_version = false;
  std::string refusal;
  // A chain of layers without weights could double what a step takes with each: all of them together have no more
  // elements than the file has bytes.
  Index left = Index(source.size()) + 4096;
  json.object([&](std::string_view key) {
    if (!std::exchange(has_version, true)) {
      // First of all: what follows may have another form in another version.
      const Index version = key == "version" ? json.integer() : 0;
      if (version != kVersion) json.fail("version " + std::to_string(kVersion) + " first", std::to_string(version));
    } else if (key == "refused") {
      refusal = std::string(json.string());
    } else if (key == "layers") {
      json.array([&](std::size_t i) {
        if (i == kMostLayers) json.fail("at most " + std::to_string(kMostLayers) + " layers", "more");
        try {
          add(*model, read_layer(json), file);
          left -= unbounded_width(*model);
          if (left < 0)
            throw Error("expected layers without weights to have no more outputs than the file has bytes, got more");
        } catch (const Error& error) {
          throw Error("layer " + std::to_string(i) + ": " + error.what());
        }
      });
    } else {
      json.fail("layers or refused", quoted(key));
    }
  });
  json.end();
  if (!refusal.empty()) throw Error("expected a model with a native form, got " + refusal);
  if (model->stages().empty()) throw Error(std::string(kEntry) + ": expected at least one layer");
  return model;
}

}  // namespace

std::shared_ptr<const Model> Model::load(const std::string& path, const PackOptions& options) {
  try {
    return read_model(FileSource(path), options);
  } catch (const Error& error) {
    throw Error(path + ": " + error.what());
  }
}

std::shared_ptr<const Model> Model::load(const void* data, std::size_t bytes, const PackOptions& options) {
  try {
    return read_model(MemorySource(data, bytes), options);
  } catch (const Error& error) {
    throw Error(std::string("model: ") + error.what());
  }
}

}  // namespace fastrnn
