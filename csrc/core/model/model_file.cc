// From a model's file to a Model: the schema of docs/model-file.md.
#include <cfloat>
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
  const float* kernel = arrays.read("kernel", {layer.inputs, layer.outputs}, true);
  const float* bias = arrays.read("bias", {layer.outputs});
  arrays.check_all_read("kernel and bias");
  layer.kernel.assign(kernel, kernel + layer.inputs * layer.outputs);
  if (bias != nullptr) layer.bias.assign(bias, bias + layer.outputs);
  model.add(std::move(layer));
}

/// affine, layer_normalization
void add_scaled(Model& model, LayerEntry& entry, SafetensorsFile& file) {
  Arrays arrays(entry, file);
  const Tensor* const scale = arrays.find("scale");
  if (scale == nullptr || scale->axes != 1) throw Error("arrays: expected scale, of one axis");
  const Index width = scale->shape[0];
  entry.layer.scale.assign(width, 0);
  std::copy_n(arrays.read("scale", {width}, true), width, entry.layer.scale.data());
  const float* shift = arrays.read("shift", {width}, true);
  entry.layer.shift.assign(shift, shift + width);
  arrays.check_all_read("scale and shift");
  model.add(std::move(entry.layer));
}

void add(Model& model, LayerEntry entry, SafetensorsFile& file) {
  using Kind = ModelLayer::Kind;
  switch (entry.layer.kind) {
    case Kind::recurrent: return add_recurrent(model, entry, file);
    case Kind::dense: return add_dense(model, entry, file);
    case Kind::affine:
    case Kind::layer_normalization: return add_scaled(model, entry, file);
    default: return model.add(std::move(entry.layer));
  }
}

/// The elements that the last layer computes at a step: layers without weights could otherwise ask for any number.
Index unbounded_width(const Model& model) {
  const Stage& stage = *model.stages().back();
  const bool bounded = stage.is_recurrent() || (stage.layer.kind == ModelLayer::Kind::dense && stage.layer.rows == 1);
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
  if (!refusal.empty()) throw Error("expected a model that can run step by step, got " + refusal);
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
