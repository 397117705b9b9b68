#include "core/model/layer_entry.h"

#include "cells/options.h"

#include <initializer_list>
#include <iterator>

namespace fastrnn {

namespace {

constexpr Index kMostUnits = 1 << 30;  // so that gates times units cannot overflow

/// Index of the name, which is also the value of its enumerator.
int choose(JsonReader& json, const std::string_view* names, std::size_t n) {
  const std::string_view name = json.string();
  std::string known;
  for (std::size_t i = 0; i < n; ++i) {
    if (name == names[i]) return int(i);
    known += (i == 0 ? "" : i + 1 == n ? " or " : ", ") + std::string(names[i]);
  }
  json.fail(known, quoted(name));
}

template <std::size_t n>
int choose(JsonReader& json, const std::string_view (&names)[n]) {
  return choose(json, names, n);
}

/// A name, [name, alpha] or [name, alpha, beta]; what is left out is ONNX's.
ActivationOption read_activation(JsonReader& json) {
  if (!json.next_is('[')) return static_cast<Activation>(choose(json, kActivationNames));
  ActivationOption option(Activation::identity);
  std::size_t count = 0;
  json.array([&](std::size_t i) {
    if (i == 0)
      option = static_cast<Activation>(choose(json, kActivationNames));
    else if (i <= 2)
      (i == 1 ? option.alpha : option.beta) = json.number();
    else
      json.fail("[name, alpha, beta]", "more");
    count = i + 1;
  });
  if (count == 0) json.fail("[name, alpha, beta]", "[]");
  return option;
}

double positive(JsonReader& json) {
  const double value = json.number();
  if (!(value > 0)) json.fail("a number > 0", std::to_string(value));
  return value;
}

/// Everything but what is drawn anew in training.
bool is_stored(const cells::OptionRow& row) { return row.name != "weight_dropout"; }

void read_option(JsonReader& json, const cells::OptionRow& row, CellOptions& options) {
  switch (row.kind) {
    case cells::OptionKind::activation: options.*row.activation = read_activation(json); break;
    case cells::OptionKind::flag: options.*row.flag = json.boolean(); break;
    case cells::OptionKind::bound:
    case cells::OptionKind::positive: options.*row.number = positive(json); break;
    case cells::OptionKind::number:
    case cells::OptionKind::rate: options.*row.number = json.number(); break;
    case cells::OptionKind::choice: {
      const std::size_t count = row.choices[2].empty() ? 2 : 3;
      cells::choose(row, options, choose(json, row.choices, count));
    }
  }
}

/// Which options came, as bits of their places in the table.
unsigned read_options(JsonReader& json, CellOptions& options) {
  unsigned given = 0;
  bool has_output = false;
  json.object([&](std::string_view key) {
    for (unsigned i = 0; i < std::size(cells::kOptionTable); ++i) {
      const cells::OptionRow& row = cells::kOptionTable[i];
      if (key != row.name || !is_stored(row)) continue;
      given |= 1u << i;
      has_output = has_output || row.activation == &CellOptions::output_activation;
      return read_option(json, row, options);
    }
    json.fail("an option of a cell", quoted(key));
  });
  if (!has_output) options.output_activation = options.activation;
  return given;
}

enum Field : unsigned { kKind, kCell, kDtype, kInputs, kHidden, kOutputs, kArrays, kCellOptions, kActivation, kFields };
constexpr std::string_view kFieldNames[kFields] = {"kind",    "cell",   "dtype",   "inputs",    "hidden",
                                                   "outputs", "arrays", "options", "activation"};

Index read_size(JsonReader& json) {
  const Index size = json.integer();
  if (size < 1 || size > kMostUnits) json.fail("a size in 1.." + std::to_string(kMostUnits), std::to_string(size));
  return size;
}

/// The fields that a kind of layer has, all of them.
unsigned fields_of(const JsonReader& json, std::string_view kind) {
  const auto bits = [](std::initializer_list<Field> fields) {
    unsigned sum = 1u << kKind;
    for (const Field field : fields) sum |= 1u << field;
    return sum;
  };
  if (kind == "recurrent") return bits({kCell, kDtype, kInputs, kHidden, kOutputs, kArrays, kCellOptions});
  if (kind == "dense") return bits({kDtype, kInputs, kOutputs, kArrays});
  if (kind == "activation") return bits({kActivation});
  if (kind != "softmax") json.fail("kind recurrent, dense, activation or softmax", quoted(kind));
  return bits({});
}

}  // namespace

LayerEntry read_layer(JsonReader& json) {
  LayerEntry entry;
  unsigned fields = 0, options = 0;
  json.object([&](std::string_view key) {
    unsigned field = 0;
    while (field < kFields && key != kFieldNames[field]) ++field;
    fields |= 1u << field;
    switch (field) {
      case kKind: entry.kind = json.string(); break;
      case kCell: entry.options.cell = static_cast<CellType>(choose(json, kCellNames)); break;
      case kDtype: entry.dtype = json.string(); break;
      case kInputs: entry.inputs = read_size(json); break;
      case kHidden: entry.hidden = read_size(json); break;
      case kOutputs: entry.outputs = read_size(json); break;
      case kArrays:
        json.object([&](std::string_view parameter) { entry.arrays.emplace_back(parameter, json.string()); });
        break;
      case kCellOptions: options = read_options(json, entry.options); break;
      case kActivation: entry.activation = read_activation(json); break;
      default: json.fail("a field of a layer", quoted(key));
    }
  });
  const unsigned expected = fields_of(json, entry.kind);
  for (unsigned field = 0; field < kFields; ++field)
    if ((fields ^ expected) >> field & 1)
      json.fail(std::string(expected >> field & 1 ? "a field " : "no field ") + std::string(kFieldNames[field]) +
                    " in a layer of kind " + std::string(entry.kind),
                expected >> field & 1 ? "none" : "one");
  for (unsigned i = 0; i < std::size(cells::kOptionTable); ++i) {
    const cells::OptionRow& row = cells::kOptionTable[i];
    if ((options >> i & 1) != 0 && (row.cells & cells::only(entry.options.cell)) == 0)
      json.fail("no option " + std::string(row.name) + " of cell " + std::string(kCellNames[int(entry.options.cell)]),
                "one");
  }
  return entry;
}

}  // namespace fastrnn
