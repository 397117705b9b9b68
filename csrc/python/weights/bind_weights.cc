// PackedWeights.
#include "fastrnn/unpack.hpp"
#include "python/interpreter/signals.h"
#include "python/weights/parameters.h"

namespace fastrnn::python {

namespace {

Dtype dtype_of(const WeightsDtype& weights) { return weights.is_double ? Dtype::float64 : Dtype::float32; }

template <class T>
PackedWeights pack_as(CellOptions options, const PackOptions& pack_options, const py::dict& given,
                      const std::string& owner) {
  HostParameters<T> source(given, owner);
  PackedWeights packed;
  const Parameters<T> parameters = read_parameters<T>(options, source, packed.parameters);
  run_interruptible([&] { packed.weights = std::make_shared<const Weights<T>>(options, parameters, pack_options); });
  return packed;
}

PackedWeights pack(const std::string& cell, const py::dict& parameters, const py::dict& given, py::handle dtype,
                   bool fast_activations, py::handle x) {
  const CellOptions options = parse_cell_options(cell, given);
  std::string owner = "x";
  std::optional<Dtype> given_dtype;
  if (!x.is_none()) given_dtype = own_dtype("x", x);
  if (!given_dtype) {
    owner = "w_ih";
    given_dtype =
        own_dtype("w_ih", parameters.contains("w_ih") ? py::object(parameters["w_ih"]) : py::object(py::none()));
  }
  Dtype target = given_dtype.value_or(Dtype::float32);
  PackOptions pack_options;
  pack_options.fast_activations = fast_activations;
  if (!dtype.is_none()) {
    const WeightsDtype& chosen = parse_weights_dtype(py::str(dtype));
    target = dtype_of(chosen);
    pack_options.precision = chosen.precision;
    owner.clear();
  }
  if (fast_activations && target == Dtype::float64) wrong_value("fast_activations", "False for float64", "True");
  return with_type(target, [&](auto* type) {
    return pack_as<std::remove_pointer_t<decltype(type)>>(options, pack_options, parameters, owner);
  });
}

template <class F>
auto visit(const PackedWeights& packed, F&& f) {
  return std::visit([&](const auto& pointer) { return f(*pointer); }, packed.weights);
}

py::object activation_object(const ActivationOption& option) {
  const ActivationOption plain(option.kind);
  if (option.alpha == plain.alpha && option.beta == plain.beta) return py::str(activation_name(option.kind));
  return py::make_tuple(activation_name(option.kind), option.alpha, option.beta);
}

/// The options that the cell was packed with: the usual ones, and of the others those that are not at their default.
py::dict options_dict(const PackedWeights& packed) {
  const CellOptions options = visit(packed, [](const auto& w) { return w.options(); });
  const CellOptions usual;
  py::dict result;
  if (cells::has(options.cell, "w_peep")) result["peephole"] = std::string(kPeepholeNames[int(options.peephole)]);
  for (const cells::OptionRow& row : cells::kOptionTable) {
    if ((row.cells & cells::only(options.cell)) == 0) continue;
    const py::str name = std::string(row.name);
    switch (row.kind) {
      case cells::OptionKind::activation: {
        // The one activation of a cell without gates is always told.
        const bool alone = !cells::has(options.cell, "recurrent_activation");
        if (alone || (options.*row.activation).kind != (usual.*row.activation).kind)
          result[name] = activation_object(options.*row.activation);
        break;
      }
      case cells::OptionKind::flag:
      case cells::OptionKind::choice: result[name] = option_value(row, options); break;
      case cells::OptionKind::positive: break;
      default:
        if (options.*row.number != 0) result[name] = options.*row.number;
    }
  }
  return result;
}

/// What pickle keeps: (restore_weights, arguments). Canonical parameters, which any instruction set packs to the same
/// numbers; `shapes` are of those that have gradients.
py::tuple reduce(const PackedWeights& packed) {
  return visit(packed, [&](const auto& weights) {
    const auto unpacked = unpack(weights);
    using T = typename decltype(unpacked.w_ih)::value_type;
    const CellOptions& options = weights.options();
    const cells::ParameterSizes sizes = {weights.inputs(), weights.hidden(), weights.outputs(), options.peephole};
    py::dict arrays;
    for (const auto& row : cells::kParameterTable<T>) {
      const std::vector<T>& values = unpacked.*row.unpacked;
      if (values.empty() && row.name != "w_ih") continue;  // w_ih may have no columns
      const std::vector<Index> shape = cells::parameter_shape(options.cell, row.name, sizes);
      arrays[py::str(std::string(row.name))] = py::array_t<T>(shape, values.data());
    }
    py::list names;
    for (const auto& parameter : packed.parameters) names.append(parameter.first);
    return py::make_tuple(py::module_::import("fastrnn._core").attr("restore_weights"),
                          py::make_tuple(1, cell_name(options.cell), cell_options_dict(options), arrays, names,
                                         packed.dtype_text(), weights.pack_options().fast_activations));
  });
}

PackedWeights restore(const py::int_& version, const std::string& cell, const py::dict& given, const py::dict& arrays,
                      const py::list& names, const std::string& dtype, bool fast_activations) {
  if (version.cast<Index>() != 1) wrong_value("version", "1", py::str(version));
  CellOptions options = parse_cell_options(cell, given);
  const WeightsDtype& chosen = parse_weights_dtype(dtype);
  const PackOptions pack_options = {chosen.precision, fast_activations};
  return with_type(dtype_of(chosen), [&](auto* type) {
    using T = std::remove_pointer_t<decltype(type)>;
    const std::string owner;
    HostParameters<T> source(arrays, owner);
    PackedWeights packed;
    ParameterShapes shapes;
    const Parameters<T> parameters = read_parameters<T>(options, source, shapes);
    for (const auto& parameter : shapes)
      if (names.contains(parameter.first)) packed.parameters.push_back(parameter);
    const GilRelease release;
    packed.weights = pack_unpacked<T>(options, parameters, pack_options);
    return packed;
  });
}

}  // namespace

const WeightsDtype& parse_weights_dtype(const std::string& name) {
  return kWeightsDtypes[find_choice("dtype", name, kWeightsDtypes, [](const WeightsDtype& one) { return one.name; })];
}

const char* PackedWeights::dtype_text() const {
  const Precision precision = visit(*this, [](const auto& w) { return w.pack_options().precision; });
  const bool is_double = dtype() == Dtype::float64;
  const auto* one = std::begin(kWeightsDtypes);
  while (one->precision != precision || one->is_double != is_double) ++one;
  return one->name.data();
}

void bind_weights(py::module_& module) {
  using namespace py::literals;
  bind_class<PackedWeights>(module, "PackedWeights", R"doc(Parameters packed for the instruction set in use.

Made by the pack_* functions. Immutable, and safe to share between threads. pickle keeps the parameters as numbers of the
dtype of x (those of bfloat16 and int8 as they were rounded), and whoever reads it packs them for its own machine: to the
same results as if they had been packed there at first.)doc")
      .def_property_readonly(
          "cell", [](const PackedWeights& p) { return visit(p, [](auto& w) { return cell_name(w.options().cell); }); })
      .def_property_readonly("input_size",
                             [](const PackedWeights& p) { return visit(p, [](auto& w) { return w.inputs(); }); })
      .def_property_readonly("hidden_size",
                             [](const PackedWeights& p) { return visit(p, [](auto& w) { return w.hidden(); }); })
      .def_property_readonly("output_size",
                             [](const PackedWeights& p) { return visit(p, [](auto& w) { return w.outputs(); }); })
      .def_property_readonly("dtype", &PackedWeights::dtype_text)
      .def_property_readonly(
          "fast_activations",
          [](const PackedWeights& p) { return visit(p, [](auto& w) { return w.pack_options().fast_activations; }); })
      .def_property_readonly("isa", [](const PackedWeights& p) { return visit(p, [](auto& w) { return w.isa(); }); })
      .def_property_readonly("nbytes",
                             [](const PackedWeights& p) { return visit(p, [](auto& w) { return w.bytes(); }); })
      .def_property_readonly("options", &options_dict)
      .def("__reduce__", &reduce)
      .def("__copy__", [](py::object self) { return self; })
      .def("__deepcopy__", [](py::object self, py::handle) { return self; })
      .def("__repr__", [](const PackedWeights& p) {
        return visit(p, [&](auto& w) {
          return "PackedWeights(" + std::string(cell_name(w.options().cell)) + ", " + std::to_string(w.inputs()) +
                 " -> " + std::to_string(w.hidden()) + ", " + p.dtype_text() + ", " + w.isa() + ")";
        });
      });
  module.def("restore_weights", &restore);  // what pickles call
  module.def("pack", &pack, "cell"_a, "parameters"_a, "options"_a, py::kw_only(), "dtype"_a = py::none(),
             "fast_activations"_a = false, "x"_a = py::none());
}

}  // namespace fastrnn::python
