// PackedWeights.
#include <tuple>

#include "fastrnn/unpack.hpp"
#include "python/interpreter/signals.h"
#include "python/weights/parameters.h"

namespace fastrnn::python {

namespace {

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
    std::tie(target, pack_options.precision) = parse_weights_dtype(py::str(dtype));
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

/// What the cell was packed with; of the many further options, those that are not at their default.
py::dict options_dict(const PackedWeights& packed) {
  const CellOptions options = visit(packed, [](const auto& w) { return w.options(); });
  static const char* const peepholes[] = {"none", "diagonal", "full"};
  const CellOptions usual;
  py::dict result;
  if (cells::has(options.cell, "w_peep")) result["peephole"] = peepholes[int(options.peephole)];
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
    const Index hidden = weights.hidden(), state = weights.outputs(),
                rows = gate_count(weights.options().cell) * hidden;
    const bool vector = cells::describe(weights.options().cell).vector_recurrence;
    py::dict arrays;
    const auto add = [&](const char* name, const std::vector<T>& values, const std::vector<Index>& shape) {
      if (!values.empty() || std::string_view(name) == "w_ih") arrays[name] = py::array_t<T>(shape, values.data());
    };
    add("w_ih", unpacked.w_ih, {rows, weights.inputs()});
    add("w_hh", unpacked.w_hh, vector ? std::vector<Index>{hidden} : std::vector<Index>{rows, state});
    add("b_ih", unpacked.b_ih, {rows});
    add("b_hh", unpacked.b_hh, {rows});
    add("w_peep", unpacked.w_peep,
        weights.options().peephole == Peephole::full ? std::vector<Index>{3, hidden, hidden}
                                                     : std::vector<Index>{3, hidden});
    add("w_hr", unpacked.w_hr, {state, hidden});
    add("ln_ih", unpacked.ln_ih, {rows});
    add("ln_hh", unpacked.ln_hh, {rows});
    add("ln_c", unpacked.ln_c, {2, hidden});
    py::list names;
    for (const auto& parameter : packed.parameters) names.append(parameter.first);
    return py::make_tuple(py::module_::import("fastrnn._core").attr("restore_weights"),
                          py::make_tuple(1, cell_name(weights.options().cell), cell_options_dict(weights.options()),
                                         arrays, names, packed.dtype_text(), weights.pack_options().fast_activations));
  });
}

PackedWeights restore(const py::int_& version, const std::string& cell, const py::dict& given, const py::dict& arrays,
                      const py::list& names, const std::string& dtype, bool fast_activations) {
  if (version.cast<Index>() != 1) wrong_value("version", "1", py::str(version));
  CellOptions options = parse_cell_options(cell, given);
  const auto [target, precision] = parse_weights_dtype(dtype);
  const PackOptions pack_options = {precision, fast_activations};
  return with_type(target, [&](auto* type) {
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

std::pair<Dtype, Precision> parse_weights_dtype(const std::string& name) {
  return choose<std::pair<Dtype, Precision>>("dtype", name,
                                             {{"float32", {Dtype::float32, Precision::full}},
                                              {"float64", {Dtype::float64, Precision::full}},
                                              {"bfloat16", {Dtype::float32, Precision::bfloat16}},
                                              {"bfloat16_weights", {Dtype::float32, Precision::bfloat16_weights}},
                                              {"int8", {Dtype::float32, Precision::int8}}});
}

const char* PackedWeights::dtype_text() const {
  static const char* const names[] = {nullptr, "bfloat16", "bfloat16_weights", "int8"};
  const Precision precision = visit(*this, [](const auto& w) { return w.pack_options().precision; });
  return precision == Precision::full ? dtype_name(dtype()) : names[int(precision)];
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
