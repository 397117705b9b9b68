#include "core/model/layer_entry.h"

#include <initializer_list>
#include <iterator>

namespace fastrnn {

namespace {

constexpr Index kMostUnits = 1 << 30;  // so that gates times units cannot overflow

constexpr std::string_view kActivations[] = {
    "tanh",     "relu",     "sigmoid",      "identity",    "leaky_relu",       "elu",    "selu",
    "softsign", "softplus", "hard_sigmoid", "scaled_tanh", "thresholded_relu", "affine", "exponential"};

/// Index of the name, which is also the value of its enumerator.
template <std::size_t n>
int choose(JsonReader& json, const std::string_view (&names)[n]) {
  const std::string_view name = json.string();
  std::string known;
  for (std::size_t i = 0; i < n; ++i) {
    if (name == names[i]) return int(i);
    known += (i == 0 ? "" : i + 1 == n ? " or " : ", ") + std::string(names[i]);
  }
  json.fail(known, quoted(name));
}

/// A name, [name, alpha] or [name, alpha, beta]; what is left out is ONNX's.
ActivationOption read_activation(JsonReader& json) {
  if (!json.next_is('[')) return static_cast<Activation>(choose(json, kActivations));
  ActivationOption option(Activation::identity);
  std::size_t count = 0;
  json.array([&](std::size_t i) {
    if (i == 0)
      option = static_cast<Activation>(choose(json, kActivations));
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

constexpr unsigned bit(CellType cell) { return 1u << int(cell); }
constexpr unsigned kRnn = bit(CellType::rnn), kLstm = bit(CellType::lstm), kGru = bit(CellType::gru),
                   kIndRnn = bit(CellType::indrnn), kMgu = bit(CellType::mgu), kSlstm = bit(CellType::slstm);
constexpr unsigned kGated = kLstm | kGru | kMgu, kAllButSlstm = kGated | kRnn | kIndRnn;

/// An option of a cell: which cells have it, and how it is read.
struct OptionRow {
  std::string_view name;
  unsigned cells;
  void (*read)(JsonReader&, CellOptions&);
};
constexpr OptionRow kOptions[] = {
    {"activation", kAllButSlstm, [](JsonReader& json, CellOptions& o) { o.activation = read_activation(json); }},
    {"recurrent_activation", kGated,
     [](JsonReader& json, CellOptions& o) { o.recurrent_activation = read_activation(json); }},
    {"output_activation", kLstm, [](JsonReader& json, CellOptions& o) { o.output_activation = read_activation(json); }},
    {"peephole_output", kLstm,
     [](JsonReader& json, CellOptions& o) { o.peephole_current = choose(json, {"previous", "current"}) == 1; }},
    {"coupled", kLstm, [](JsonReader& json, CellOptions& o) { o.coupled = json.boolean(); }},
    {"reset", kGru,
     [](JsonReader& json, CellOptions& o) {
       o.reset = static_cast<Reset>(choose(json, {"after", "before", "output"}));
     }},
    {"forget_gate", kSlstm,
     [](JsonReader& json, CellOptions& o) { o.exponential_forget = choose(json, {"sigmoid", "exp"}) == 1; }},
    {"clip", kAllButSlstm, [](JsonReader& json, CellOptions& o) { o.clip = positive(json); }},
    {"cell_clip", kLstm, [](JsonReader& json, CellOptions& o) { o.cell_clip = positive(json); }},
    {"proj_clip", kLstm, [](JsonReader& json, CellOptions& o) { o.projection_clip = positive(json); }},
    {"forget_bias", kLstm, [](JsonReader& json, CellOptions& o) { o.forget_bias = json.number(); }},
    {"norm_eps", kRnn | kLstm | kGru, [](JsonReader& json, CellOptions& o) { o.norm_epsilon = positive(json); }},
    {"zoneout_h", kAllButSlstm, [](JsonReader& json, CellOptions& o) { o.zoneout_h = json.number(); }},
    {"zoneout_c", kLstm, [](JsonReader& json, CellOptions& o) { o.zoneout_c = json.number(); }},
};

constexpr unsigned kOutputActivation = 2;
static_assert(kOptions[kOutputActivation].name == "output_activation");

/// Which options came, as bits of their places in kOptions.
unsigned read_options(JsonReader& json, CellOptions& options) {
  unsigned given = 0;
  json.object([&](std::string_view key) {
    for (unsigned i = 0; i < std::size(kOptions); ++i)
      if (key == kOptions[i].name) {
        given |= 1u << i;
        return kOptions[i].read(json, options);
      }
    json.fail("an option of a cell", quoted(key));
  });
  if ((given >> kOutputActivation & 1) == 0) options.output_activation = options.activation;
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
  for (unsigned i = 0; i < std::size(kOptions); ++i)
    if ((options >> i & 1) != 0 && (kOptions[i].cells & bit(entry.options.cell)) == 0)
      json.fail(
          "no option " + std::string(kOptions[i].name) + " of cell " + std::string(kCellNames[int(entry.options.cell)]),
          "one");
  return entry;
}

}  // namespace fastrnn
