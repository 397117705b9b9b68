// PackedWeights.
#include <initializer_list>
#include <utility>

#include "bindings.h"

namespace fastrnn::python {

namespace {

/// Looks a name up; the error lists the names there are.
template <class E>
E choose(const std::string& argument, const std::string& value, std::initializer_list<std::pair<const char*, E>> list) {
  std::string names;
  for (const auto& [name, result] : list) {
    if (value == name) return result;
    names += (names.empty() ? "'" : ", '") + std::string(name) + "'";
  }
  wrong_value(argument, "one of " + names, "'" + value + "'");
}

/// w_peep (3,H) or (3,H,H).
template <class T>
py::array_t<T> peephole_array(py::handle object, Index hidden, CellOptions& options, const std::string& owner,
                              bool cast) {
  const py::array array = float_array("w_peep", object);
  if (!cast) check_dtype("w_peep", array, dtype_of<T>(), owner);
  const std::vector<Index> diagonal = {3, hidden}, full = {3, hidden, hidden};
  const std::vector<Index> shape(array.shape(), array.shape() + array.ndim());
  if (shape != diagonal && shape != full)
    wrong_value("w_peep", "shape " + shape_text(diagonal) + " or " + shape_text(full), shape_text(array));
  options.peephole = shape == full ? Peephole::full : Peephole::diagonal;
  return contiguous<T>(array);
}

/// `owner` names the argument whose dtype the others must have; empty: any is cast to T.
template <class T>
PackedWeights pack_as(CellOptions options, const PackOptions& pack_options, const py::array& w_ih, py::handle w_hh,
                      py::handle b_ih, py::handle b_hh, py::handle w_peep, const std::string& owner) {
  const bool cast = owner.empty();
  const Index gates = gate_count(options.cell);
  check_rank("w_ih", w_ih, (gates > 1 ? "(" + std::to_string(gates) + "*H, I)" : "(H, I)"), 2);
  if (w_ih.shape(0) % gates != 0 || w_ih.shape(0) == 0)
    wrong_value("w_ih", (gates > 1 ? "shape (" + std::to_string(gates) + "*H, I)" : "shape (H, I)") + " with H >= 1",
                shape_text(w_ih));
  Parameters<T> parameters;
  parameters.hidden = w_ih.shape(0) / gates;
  parameters.inputs = w_ih.shape(1);

  std::vector<py::array_t<T>> alive;
  const auto required = [&](const char* name, py::handle object, const std::vector<Index>& shape) {
    const py::array array = float_array(name, object);
    if (!cast) check_dtype(name, array, dtype_of<T>(), owner);
    check_shape(name, array, shape);
    alive.push_back(contiguous<T>(array));
    return alive.back().data();
  };
  const auto optional = [&](const char* name, py::handle object) -> const T* {
    return object.is_none() ? nullptr : required(name, object, {w_ih.shape(0)});
  };
  parameters.w_ih = required("w_ih", w_ih, {w_ih.shape(0), w_ih.shape(1)});
  parameters.w_hh = required("w_hh", w_hh, {w_ih.shape(0), parameters.hidden});
  parameters.b_ih = optional("b_ih", b_ih);
  parameters.b_hh = optional("b_hh", b_hh);
  if (!w_peep.is_none()) {
    alive.push_back(peephole_array<T>(w_peep, parameters.hidden, options, owner, cast));
    parameters.w_peep = alive.back().data();
  }
  PackedWeights packed;
  packed.has_b_ih = !b_ih.is_none();
  packed.has_b_hh = !b_hh.is_none();
  const py::gil_scoped_release release;
  packed.weights = std::make_shared<const Weights<T>>(options, parameters, pack_options);
  return packed;
}

PackedWeights pack(const std::string& cell, py::handle w_ih, py::handle w_hh, py::handle b_ih, py::handle b_hh,
                   py::handle w_peep, const std::string& activation, const std::string& peephole_output, bool coupled,
                   const std::string& reset, py::handle dtype, bool fast_activations, py::handle x) {
  CellOptions options;
  options.cell =
      choose<CellType>("cell", cell, {{"rnn", CellType::rnn}, {"lstm", CellType::lstm}, {"gru", CellType::gru}});
  options.activation = choose<Activation>("activation", activation,
                                          {{"tanh", Activation::tanh},
                                           {"relu", Activation::relu},
                                           {"sigmoid", Activation::sigmoid},
                                           {"identity", Activation::identity}});
  options.peephole_current = choose<bool>("peephole_output", peephole_output, {{"current", true}, {"previous", false}});
  options.coupled = coupled;
  options.reset =
      choose<Reset>("reset", reset, {{"after", Reset::after}, {"before", Reset::before}, {"output", Reset::output}});
  std::string owner = "w_ih";
  Dtype target;
  if (!x.is_none()) {
    const py::array array = float_array("x", x);
    target = float_dtype(array);
    owner = "x";
  }
  const py::array w = float_array("w_ih", w_ih);
  if (x.is_none()) target = float_dtype(w);
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
    return pack_as<std::remove_pointer_t<decltype(type)>>(options, pack_options, w, w_hh, b_ih, b_hh, w_peep, owner);
  });
}

template <class F>
auto visit(const PackedWeights& packed, F&& f) {
  return std::visit([&](const auto& pointer) { return f(*pointer); }, packed.weights);
}

py::dict options_dict(const PackedWeights& packed) {
  const CellOptions options = visit(packed, [](const auto& w) { return w.options(); });
  static const char* const activations[] = {"tanh", "relu", "sigmoid", "identity"};
  static const char* const resets[] = {"after", "before", "output"};
  static const char* const peepholes[] = {"none", "diagonal", "full"};
  py::dict result;
  switch (options.cell) {
    case CellType::rnn: result["activation"] = activations[int(options.activation)]; break;
    case CellType::gru: result["reset"] = resets[int(options.reset)]; break;
    case CellType::lstm:
      result["peephole"] = peepholes[int(options.peephole)];
      result["peephole_output"] = options.peephole_current ? "current" : "previous";
      result["coupled"] = options.coupled;
  }
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

Made by pack_rnn, pack_lstm and pack_gru. Immutable, and safe to share between threads.)doc")
      .def_property_readonly(
          "cell", [](const PackedWeights& p) { return visit(p, [](auto& w) { return cell_name(w.options().cell); }); })
      .def_property_readonly("input_size",
                             [](const PackedWeights& p) { return visit(p, [](auto& w) { return w.inputs(); }); })
      .def_property_readonly("hidden_size",
                             [](const PackedWeights& p) { return visit(p, [](auto& w) { return w.hidden(); }); })
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
  module.def("pack", &pack, "cell"_a, "w_ih"_a, "w_hh"_a, "b_ih"_a = py::none(), "b_hh"_a = py::none(), py::kw_only(),
             "w_peep"_a = py::none(), "activation"_a = "tanh", "peephole_output"_a = "current", "coupled"_a = false,
             "reset"_a = "after", "dtype"_a = py::none(), "fast_activations"_a = false, "x"_a = py::none());
}

}  // namespace fastrnn::python
