// PackedWeights.
#include "parameters.h"

namespace fastrnn::python {

namespace {

template <class T>
PackedWeights pack_as(CellOptions options, const PackOptions& pack_options, const py::dict& given,
                      const std::string& owner) {
  HostParameters<T> source(given, owner);
  PackedWeights packed;
  const Parameters<T> parameters = read_parameters<T>(options, source, packed.parameters);
  const GilRelease release;
  packed.weights = std::make_shared<const Weights<T>>(options, parameters, pack_options);
  return packed;
}

PackedWeights pack(const std::string& cell, const py::dict& parameters, const py::dict& given, py::handle dtype,
                   bool fast_activations, py::handle x) {
  const CellOptions options = parse_cell_options(cell, given);
  std::string owner = "w_ih";
  Dtype target;
  if (!x.is_none()) {
    const py::array array = float_array("x", x);
    target = float_dtype(array);
    owner = "x";
  } else {
    target = float_dtype(
        float_array("w_ih", parameters.contains("w_ih") ? py::object(parameters["w_ih"]) : py::object(py::none())));
  }
  PackOptions pack_options;
  pack_options.fast_activations = fast_activations;
  if (!dtype.is_none()) {
    const auto chosen =
        choose<std::pair<Dtype, Precision>>("dtype", py::str(dtype),
                                            {{"float32", {Dtype::float32, Precision::full}},
                                             {"float64", {Dtype::float64, Precision::full}},
                                             {"bfloat16", {Dtype::float32, Precision::bfloat16}},
                                             {"bfloat16_weights", {Dtype::float32, Precision::bfloat16_weights}},
                                             {"int8", {Dtype::float32, Precision::int8}}});
    target = chosen.first;
    pack_options.precision = chosen.second;
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
  static const char* const resets[] = {"after", "before", "output"};
  static const char* const peepholes[] = {"none", "diagonal", "full"};
  py::dict result;
  switch (options.cell) {
    case CellType::rnn:
    case CellType::indrnn: result["activation"] = activation_object(options.activation); break;
    case CellType::gru: result["reset"] = resets[int(options.reset)]; break;
    case CellType::lstm:
      result["peephole"] = peepholes[int(options.peephole)];
      result["peephole_output"] = options.peephole_current ? "current" : "previous";
      result["coupled"] = options.coupled;
      break;
    case CellType::slstm: result["forget_gate"] = options.exponential_forget ? "exp" : "sigmoid"; break;
    case CellType::mgu: break;
  }
  const auto add_activation = [&](const char* name, const ActivationOption& option, Activation usual) {
    if (option.kind != usual) result[name] = activation_object(option);
  };
  if (options.cell != CellType::slstm) {
    add_activation("activation", options.activation, Activation::tanh);
    add_activation("recurrent_activation", options.recurrent_activation, Activation::sigmoid);
    if (options.cell == CellType::lstm)
      add_activation("output_activation", options.output_activation, Activation::tanh);
  }
  const auto add = [&](const char* name, double value) {
    if (value != 0) result[name] = value;
  };
  add("clip", options.clip);
  add("cell_clip", options.cell_clip);
  add("proj_clip", options.projection_clip);
  add("forget_bias", options.forget_bias);
  add("zoneout_h", options.zoneout_h);
  add("zoneout_c", options.zoneout_c);
  add("weight_dropout", options.weight_dropout);
  return result;
}

}  // namespace

const char* PackedWeights::dtype_text() const {
  static const char* const names[] = {nullptr, "bfloat16", "bfloat16_weights", "int8"};
  const Precision precision = visit(*this, [](const auto& w) { return w.pack_options().precision; });
  return precision == Precision::full ? dtype_name(dtype()) : names[int(precision)];
}

void bind_weights(py::module_& module) {
  using namespace py::literals;
  bind_class<PackedWeights>(module, "PackedWeights", R"doc(Parameters packed for the instruction set in use.

Made by the pack_* functions. Immutable, and safe to share between threads.)doc")
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
      .def("__repr__", [](const PackedWeights& p) {
        return visit(p, [&](auto& w) {
          return "PackedWeights(" + std::string(cell_name(w.options().cell)) + ", " + std::to_string(w.inputs()) +
                 " -> " + std::to_string(w.hidden()) + ", " + p.dtype_text() + ", " + w.isa() + ")";
        });
      });
  module.def("pack", &pack, "cell"_a, "parameters"_a, "options"_a, py::kw_only(), "dtype"_a = py::none(),
             "fast_activations"_a = false, "x"_a = py::none());
}

}  // namespace fastrnn::python
