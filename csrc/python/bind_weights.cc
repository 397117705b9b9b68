// PackedWeights.
#include "bindings.h"

namespace fastrnn::python {

namespace {

/// Takes the parameters out of a dict, checked against the shapes that w_ih and each other give them.
template <class T>
class ParameterReader {
 public:
  /// `owner` names the argument whose dtype they must have; empty: any is cast to T.
  ParameterReader(const py::dict& given, const std::string& owner) : given_(given), owner_(owner) {}

  /// Null where it is absent, unless it must be there.
  const T* read(const char* name, const std::vector<Index>& shape, bool required = false) {
    const py::object object = given(name);
    if (object.is_none() && !required) return nullptr;
    const py::array array = checked(name, object);
    check_shape(name, array, shape);
    return keep(name, array);
  }
  /// Without a check of its shape.
  py::array checked(const char* name, py::handle object) {
    const py::array array = float_array(name, object);
    if (!owner_.empty()) check_dtype(name, array, dtype_of<T>(), owner_);
    return array;
  }
  const T* keep(const char* name, const py::array& array) {
    shapes.emplace_back(name, std::vector<Index>(array.shape(), array.shape() + array.ndim()));
    alive_.push_back(contiguous<T>(array));
    return alive_.back().data();
  }
  py::object given(const char* name) const {
    return given_.contains(name) ? py::object(given_[name]) : py::object(py::none());
  }

  std::vector<std::pair<std::string, std::vector<Index>>> shapes;

 private:
  const py::dict& given_;
  const std::string& owner_;
  std::vector<py::array_t<T>> alive_;
};

template <class T>
void read_peepholes(ParameterReader<T>& reader, CellOptions& options, Parameters<T>& parameters) {
  const py::object object = reader.given("w_peep");
  if (object.is_none()) return;
  const py::array array = reader.checked("w_peep", object);
  const Index hidden = parameters.hidden;
  const std::vector<Index> diagonal = {3, hidden}, full = {3, hidden, hidden};
  const std::vector<Index> shape(array.shape(), array.shape() + array.ndim());
  if (shape != diagonal && shape != full)
    wrong_value("w_peep", "shape " + shape_text(diagonal) + " or " + shape_text(full), shape_text(array));
  options.peephole = shape == full ? Peephole::full : Peephole::diagonal;
  parameters.w_peep = reader.keep("w_peep", array);
}

template <class T>
PackedWeights pack_as(CellOptions options, const PackOptions& pack_options, const py::dict& given,
                      const std::string& owner) {
  const Index gates = gate_count(options.cell);
  const bool one_number = options.cell == CellType::indrnn;
  ParameterReader<T> reader(given, owner);
  const py::array w_ih = float_array("w_ih", reader.given("w_ih"));
  const std::string letters = gates > 1 ? "(" + std::to_string(gates) + "*H, I)" : "(H, I)";
  check_rank("w_ih", w_ih, letters, 2);
  const Index rows = w_ih.shape(0);
  if (rows % gates != 0 || rows == 0) wrong_value("w_ih", "shape " + letters + " with H >= 1", shape_text(w_ih));
  Parameters<T> parameters;
  const Index hidden = parameters.hidden = rows / gates;
  parameters.inputs = w_ih.shape(1);
  Index state = hidden;
  if (const py::object w_hr = reader.given("w_hr"); !w_hr.is_none()) {
    const py::array array = reader.checked("w_hr", w_hr);
    check_rank("w_hr", array, "(P, H)", 2);
    state = parameters.projection = array.shape(0);
    if (state < 1 || state > hidden)
      wrong_value("w_hr", "shape (P, H) with 1 <= P <= H = " + std::to_string(hidden), shape_text(array));
  }
  parameters.w_ih = reader.read("w_ih", {rows, parameters.inputs}, true);
  parameters.w_hh =
      reader.read("w_hh", one_number ? std::vector<Index>{hidden} : std::vector<Index>{rows, state}, true);
  parameters.b_ih = reader.read("b_ih", {rows});
  parameters.b_hh = reader.read("b_hh", {rows});
  read_peepholes(reader, options, parameters);
  parameters.w_hr = reader.read("w_hr", {state, hidden});
  parameters.ln_ih = reader.read("ln_ih", {rows});
  parameters.ln_hh = reader.read("ln_hh", {rows});
  parameters.ln_c = reader.read("ln_c", {2, hidden});
  PackedWeights packed;
  packed.parameters = std::move(reader.shapes);
  const py::gil_scoped_release release;
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
  py::class_<PackedWeights>(module, "PackedWeights", R"doc(Parameters packed for the instruction set in use.

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
