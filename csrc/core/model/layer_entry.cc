#include "core/model/layer_entry.h"

#include "cells/options.h"

#include <initializer_list>
#include <iterator>

namespace fastrnn {

namespace {

constexpr Index kMostUnits = 1 << 30;  // so that gates times units cannot overflow

/// Reads a name; returns its index, which is the value of its enumerator.
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

/// A model's file has all options but the one that only training uses.
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

/// Reads the options; returns which were given, as bits by their rows of the table.
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

enum Field : unsigned {
  kKind,
  kCell,
  kDtype,
  kInputs,
  kHidden,
  kOutputs,
  kArrays,
  kCellOptions,
  kActivation,
  kRuns,
  kSteps,
  kAhead,
  kNumber,
  kFrom,
  kRows,
  kWidth,
  kGroups,
  kSize,
  kStride,
  kDilation,
  kBefore,
  kAfter,
  kSame,
  kFields
};
constexpr std::string_view kFieldNames[kFields] = {"kind",   "cell",     "dtype",      "inputs", "hidden", "outputs",
                                                   "arrays", "options",  "activation", "runs",   "steps",  "ahead",
                                                   "number", "from",     "rows",       "width",  "groups", "size",
                                                   "stride", "dilation", "before",     "after",  "same"};

template <class... Fields>
constexpr unsigned bits(Fields... fields) {
  return ((1u << fields) | ... | 0u);
}

/// A kind of layer: its name, the fields that it must have, and those that it may.
struct KindRow {
  std::string_view name;
  ModelLayer::Kind kind;
  unsigned required, optional;
};
using Kind = ModelLayer::Kind;
constexpr unsigned kOfWindows = bits(kStride, kDilation, kBefore, kAfter, kSame);
constexpr std::string_view kBatchNormalization = "batch_normalization";
constexpr KindRow kKindTable[] = {
    {"recurrent", Kind::recurrent, bits(kCell, kDtype, kInputs, kHidden, kOutputs, kArrays, kCellOptions), 0},
    {"dense", Kind::dense, bits(kDtype, kInputs, kOutputs, kArrays), bits(kRows, kWidth, kGroups)},
    {"activation", Kind::activation, bits(kActivation), 0},
    {"softmax", Kind::softmax, 0, bits(kWidth)},
    {"gather", Kind::gather, bits(kInputs, kRuns), 0},
    {"delay", Kind::delay, bits(kInputs, kSteps), bits(kAhead)},
    {"concatenate", Kind::concatenate, 0, 0},
    {"add", Kind::add, 0, 0},
    {"subtract", Kind::subtract, 0, 0},
    {"multiply", Kind::multiply, 0, 0},
    {"divide", Kind::divide, 0, 0},
    {"affine", Kind::affine, bits(kDtype, kInputs, kArrays), 0},
    {"power", Kind::power, bits(kNumber), 0},
    {"layer_normalization", Kind::layer_normalization, bits(kDtype, kInputs, kArrays, kNumber), 0},
    {kBatchNormalization, Kind::affine, bits(kDtype, kInputs, kArrays, kNumber), 0},
    {"embedding", Kind::embedding, bits(kDtype, kInputs, kOutputs, kArrays), 0},
    {"reverse", Kind::reverse, 0, 0},
    {"last", Kind::last, 0, 0},
    {"mean", Kind::mean, 0, 0},
    {"maximum", Kind::maximum, 0, 0},
    {"log", Kind::log, 0, 0},
    {"erf", Kind::erf, 0, 0},
    {"at_least", Kind::at_least, bits(kNumber), 0},
    {"at_most", Kind::at_most, bits(kNumber), 0},
    {"log_softmax", Kind::log_softmax, 0, bits(kWidth)},
    {"windows", Kind::windows, bits(kSize), kOfWindows},
    {"window_maximum", Kind::window_maximum, bits(kSize), kOfWindows},
    {"window_mean", Kind::window_mean, bits(kSize), kOfWindows}};

Index read_size(JsonReader& json) {
  const Index size = json.integer();
  if (size < 1 || size > kMostUnits) json.fail("a size in 1.." + std::to_string(kMostUnits), std::to_string(size));
  return size;
}

/// [first, count, first, count, ...]
std::vector<ModelLayer::Run> read_runs(JsonReader& json) {
  std::vector<ModelLayer::Run> runs;
  bool whole = true;
  json.array([&](std::size_t) {
    const Index number = json.integer();
    if (number > kMostUnits) json.fail("a place of at most " + std::to_string(kMostUnits), std::to_string(number));
    if (whole)
      runs.push_back({number, 0});
    else
      runs.back().count = number;
    whole = !whole;
  });
  if (!whole) json.fail("pairs of first and count", "an odd number of them");
  return runs;
}

const KindRow& row_of(const JsonReader& json, std::string_view name) {
  for (const KindRow& row : kKindTable)
    if (name == row.name) return row;
  std::string known;
  for (std::size_t i = 0; i < std::size(kKindTable); ++i)
    known += (i == 0 ? "" : i + 1 == std::size(kKindTable) ? " or " : ", ") + std::string(kKindTable[i].name);
  json.fail("kind " + known, quoted(name));
}

}  // namespace

LayerEntry read_layer(JsonReader& json) {
  LayerEntry entry;
  ModelLayer& layer = entry.layer;
  std::string_view kind;
  unsigned fields = 0, options = 0;
  json.object([&](std::string_view key) {
    unsigned field = 0;
    while (field < kFields && key != kFieldNames[field]) ++field;
    fields |= 1u << field;
    switch (field) {
      case kKind: kind = json.string(); break;
      case kCell: entry.options.cell = static_cast<CellType>(choose(json, kCellNames)); break;
      case kDtype: entry.dtype = json.string(); break;
      case kInputs: layer.inputs = read_size(json); break;
      case kHidden: entry.hidden = read_size(json); break;
      case kOutputs: layer.outputs = entry.outputs = read_size(json); break;
      case kArrays:
        json.object([&](std::string_view parameter) { entry.arrays.emplace_back(parameter, json.string()); });
        break;
      case kCellOptions: options = read_options(json, entry.options); break;
      case kActivation: layer.activation = read_activation(json); break;
      case kRuns: layer.runs = read_runs(json); break;
      case kSteps: layer.steps = read_size(json); break;
      case kAhead: layer.ahead = read_size(json); break;
      case kNumber: layer.number = json.number(); break;
      case kRows: layer.rows = read_size(json); break;
      case kWidth: layer.width = read_size(json); break;
      case kGroups: layer.groups = read_size(json); break;
      case kSize: layer.windows.size = std::int32_t(read_size(json)); break;
      case kStride: layer.windows.stride = std::int32_t(read_size(json)); break;
      case kDilation: layer.windows.dilation = std::int32_t(read_size(json)); break;
      case kBefore: layer.windows.before = std::int32_t(read_size(json)); break;
      case kAfter: layer.windows.after = std::int32_t(read_size(json)); break;
      case kSame: layer.windows.same = json.boolean(); break;
      case kFrom: json.array([&](std::size_t) { layer.from.push_back(json.integer()); }); break;
      default: json.fail("a field of a layer", quoted(key));
    }
  });
  const KindRow& row = row_of(json, kind);
  layer.kind = row.kind;
  entry.folds_statistics = row.name == kBatchNormalization;
  const unsigned required = row.required | bits(kKind), allowed = required | row.optional | bits(kFrom, kInputs);
  for (unsigned field = 0; field < kFields; ++field) {
    const bool has = (fields >> field & 1) != 0;
    if (has ? (allowed >> field & 1) != 0 : (required >> field & 1) == 0) continue;
    json.fail(std::string(has ? "no field " : "a field ") + std::string(kFieldNames[field]) + " in a layer of kind " +
                  std::string(kind),
              has ? "one" : "none");
  }
  for (unsigned i = 0; i < std::size(cells::kOptionTable); ++i) {
    const cells::OptionRow& option = cells::kOptionTable[i];
    if ((options >> i & 1) != 0 && (option.cells & cells::only(entry.options.cell)) == 0)
      json.fail(
          "no option " + std::string(option.name) + " of cell " + std::string(kCellNames[int(entry.options.cell)]),
          "one");
  }
  return entry;
}

}  // namespace fastrnn
