// Dictionaries of options, of a cell and of a run, as the C++ structures. Keys are those of fastrnn's keywords.
#include <cmath>
#include <initializer_list>
#include <random>

#include "bindings.h"

namespace fastrnn::python {

namespace {

double number(const std::string& name, py::handle object) {
  if (PyBool_Check(object.ptr()) || !(PyFloat_Check(object.ptr()) || PyIndex_Check(object.ptr())))
    wrong_type(name, "a number", Py_TYPE(object.ptr())->tp_name);
  const double value = PyFloat_AsDouble(object.ptr());
  if (PyErr_Occurred() != nullptr) {
    if (PyErr_ExceptionMatches(PyExc_OverflowError) == 0) throw py::error_already_set();
    PyErr_Clear();
    wrong_value(name, "a number within the range of float64", "a larger one");
  }
  return value;
}

/// A bound: the core takes 0 for none, which None is here.
double bound(const std::string& name, py::handle object) {
  const double value = number(name, object);
  if (!(value > 0)) wrong_value(name, "a number > 0", py::str(object));
  return std::isinf(value) ? 0 : value;
}

bool boolean(const std::string& name, py::handle object) {
  const std::string_view type = Py_TYPE(object.ptr())->tp_name;
  if (!PyBool_Check(object.ptr()) && type != "numpy.bool" && type != "numpy.bool_")  // NumPy 2 and 1
    wrong_type(name, "a bool", std::string(type));
  return PyObject_IsTrue(object.ptr()) == 1;
}

std::uint64_t seed_of(py::handle object) {
  if (!PyLong_Check(object.ptr()) || PyBool_Check(object.ptr()))
    wrong_type("seed", "an int", Py_TYPE(object.ptr())->tp_name);
  const std::uint64_t value = PyLong_AsUnsignedLongLong(object.ptr());
  if (PyErr_Occurred() != nullptr) {
    PyErr_Clear();
    wrong_value("seed", "0 or more and below 2**64", py::str(object));
  }
  return value;
}

std::uint64_t fresh_seed() {
  std::random_device device;
  return std::uint64_t(device()) << 32 | device();
}

constexpr std::pair<const char*, Activation> kActivations[] = {{"tanh", Activation::tanh},
                                                               {"sigmoid", Activation::sigmoid},
                                                               {"relu", Activation::relu},
                                                               {"identity", Activation::identity},
                                                               {"linear", Activation::identity},
                                                               {"leaky_relu", Activation::leaky_relu},
                                                               {"elu", Activation::elu},
                                                               {"selu", Activation::selu},
                                                               {"softsign", Activation::softsign},
                                                               {"softplus", Activation::softplus},
                                                               {"hard_sigmoid", Activation::hard_sigmoid},
                                                               {"scaled_tanh", Activation::scaled_tanh},
                                                               {"thresholded_relu", Activation::thresholded_relu},
                                                               {"affine", Activation::affine},
                                                               {"exponential", Activation::exponential}};

/// (T,B) of bool, as bytes in the order of time.
std::vector<unsigned char> mask_of(const std::string& name, py::handle object, const Extent& extent) {
  const auto array = py::array::ensure(object);
  if (!array || array.dtype().kind() != 'b') {
    PyErr_Clear();
    wrong_type(name, "an array of bool", array ? std::string(py::str(array.dtype())) : Py_TYPE(object.ptr())->tp_name);
  }
  if (extent.batch_first)
    check_shape(name, array, {extent.batch, extent.steps});
  else
    check_shape(name, array, {extent.steps, extent.batch});
  const py::array_t<bool> values = contiguous<bool>(array);
  std::vector<unsigned char> bytes(extent.steps * extent.batch);
  for (Index t = 0; t < extent.steps; ++t)
    for (Index b = 0; b < extent.batch; ++b)
      bytes[t * extent.batch + b] =
          values.data()[extent.batch_first ? b * extent.steps + t : t * extent.batch + b] ? 1 : 0;
  return bytes;
}

/// Returns whether there was a seed.
bool read_run(const py::dict& given, const Extent& extent, ParsedRun& run) {
  bool has_seed = false;
  for (const auto& [key, value] : given) {
    const std::string name = py::str(key);
    if (value.is_none()) continue;
    if (name == "mask") {
      run.mask = mask_of(name, value, extent);
      run.has_mask = true;
    } else if (name == "zero_output_for_mask") {
      run.zero_output_for_mask = boolean(name, value);
    } else if (name == "reset_mask") {
      run.reset_mask = mask_of(name, value, extent);
      run.has_reset = true;
    } else if (name == "dropout") {
      run.dropout.inputs = number(name, value);
    } else if (name == "recurrent_dropout") {
      run.dropout.recurrent = number(name, value);
    } else if (name == "candidate_dropout") {
      run.dropout.candidate = number(name, value);
    } else if (name == "seed") {
      run.dropout.seed = seed_of(value);
      has_seed = true;
    } else if (name == "stream") {
      run.dropout.stream = std::uint32_t(integer(name, value, 0, 1 << 24));
    } else if (name == "checkpoint_every") {
      run.checkpoint_every = integer(name, value, 1, PTRDIFF_MAX);
    } else if (name == "truncate") {
      run.truncate = integer(name, value, 1, PTRDIFF_MAX);
    } else if (name != "batch_sizes") {
      throw py::type_error(name + ": not an option of a run");
    }
  }
  return has_seed;
}

}  // namespace

ActivationOption activation_option(const std::string& argument, py::handle object) {
  py::tuple given;
  if (py::isinstance<py::str>(object))
    given = py::make_tuple(object);
  else if (py::isinstance<py::tuple>(object) || py::isinstance<py::list>(object))
    given = py::tuple(py::reinterpret_borrow<py::object>(object));
  if (given.empty() || given.size() > 3 || !py::isinstance<py::str>(given[0]))
    wrong_type(argument, "a name, (name, alpha) or (name, alpha, beta)", py::str(py::repr(object)));
  const std::string name = py::str(given[0]);
  std::string names;
  for (const auto& [known, kind] : kActivations) {
    if (name == known) {
      ActivationOption option(kind);
      if (given.size() > 1) option.alpha = number(argument, given[1]);
      if (given.size() > 2) option.beta = number(argument, given[2]);
      return option;
    }
    names += (names.empty() ? "'" : ", '") + std::string(known) + "'";
  }
  wrong_value(argument, "one of " + names, "'" + name + "'");
}

const char* reset_name(Reset reset) {
  static const char* const names[] = {"after", "before", "output"};
  return names[int(reset)];
}

const char* activation_name(Activation activation) {
  for (const auto& [name, kind] : kActivations)
    if (kind == activation) return name;
  return "";
}

CellOptions parse_cell_options(const std::string& cell, const py::dict& given) {
  CellOptions options;
  options.cell = choose<CellType>("cell", cell,
                                  {{"rnn", CellType::rnn},
                                   {"lstm", CellType::lstm},
                                   {"gru", CellType::gru},
                                   {"indrnn", CellType::indrnn},
                                   {"mgu", CellType::mgu},
                                   {"slstm", CellType::slstm}});
  bool has_output = false, has_seed = false;
  for (const auto& [key, value] : given) {
    const std::string name = py::str(key);
    if (name == "activation") {
      options.activation = activation_option(name, value);
      if (!has_output) options.output_activation = options.activation;
    } else if (name == "recurrent_activation") {
      options.recurrent_activation = activation_option(name, value);
    } else if (name == "output_activation") {
      options.output_activation = activation_option(name, value);
      has_output = true;
    } else if (name == "peephole_output") {
      options.peephole_current = choose<bool>(name, py::str(value), {{"current", true}, {"previous", false}});
    } else if (name == "coupled") {
      options.coupled = boolean(name, value);
    } else if (name == "reset") {
      options.reset = choose<Reset>(name, py::str(value),
                                    {{"after", Reset::after}, {"before", Reset::before}, {"output", Reset::output}});
    } else if (name == "forget_gate") {
      options.exponential_forget = choose<bool>(name, py::str(value), {{"sigmoid", false}, {"exp", true}});
    } else if (name == "clip") {
      options.clip = bound(name, value);
    } else if (name == "cell_clip") {
      options.cell_clip = bound(name, value);
    } else if (name == "proj_clip") {
      options.projection_clip = bound(name, value);
    } else if (name == "forget_bias") {
      options.forget_bias = number(name, value);
    } else if (name == "norm_eps") {
      options.norm_epsilon = number(name, value);
    } else if (name == "zoneout_h") {
      options.zoneout_h = number(name, value);
    } else if (name == "zoneout_c") {
      options.zoneout_c = number(name, value);
    } else if (name == "weight_dropout") {
      options.weight_dropout = number(name, value);
    } else if (name == "seed") {
      options.seed = seed_of(value);
      has_seed = true;
    } else if (name == "stream") {
      options.stream = std::uint32_t(integer(name, value, 0, 1 << 24));
    } else {
      throw py::type_error(name + ": not an option of a cell");
    }
  }
  if (options.weight_dropout > 0 && !has_seed) options.seed = fresh_seed();
  return options;
}

py::dict cell_options_dict(const CellOptions& options) {
  py::dict result;
  const auto add_activation = [&](const char* name, const ActivationOption& option) {
    result[name] = py::make_tuple(activation_name(option.kind), option.alpha, option.beta);
  };
  add_activation("activation", options.activation);
  add_activation("recurrent_activation", options.recurrent_activation);
  add_activation("output_activation", options.output_activation);
  result["peephole_output"] = options.peephole_current ? "current" : "previous";
  result["coupled"] = options.coupled;
  result["reset"] = reset_name(options.reset);
  result["forget_gate"] = options.exponential_forget ? "exp" : "sigmoid";
  const auto add_bound = [&](const char* name, double value) {
    if (value > 0) result[name] = value;
  };
  add_bound("clip", options.clip);
  add_bound("cell_clip", options.cell_clip);
  add_bound("proj_clip", options.projection_clip);
  result["forget_bias"] = options.forget_bias;
  result["norm_eps"] = options.norm_epsilon;
  result["zoneout_h"] = options.zoneout_h;
  result["zoneout_c"] = options.zoneout_c;
  result["weight_dropout"] = options.weight_dropout;
  result["seed"] = options.seed;
  result["stream"] = options.stream;
  return result;
}

ParsedRun parse_run(py::handle given, const Extent& extent, bool training) {
  ParsedRun run;
  bool has_seed = !training;
  if (!given.is_none()) has_seed = read_run(py::cast<py::dict>(given), extent, run) || has_seed;
  if (!has_seed) run.dropout.seed = fresh_seed();
  return run;
}

std::vector<Index> parse_batch_sizes(py::handle run) {
  if (run.is_none()) return {};
  const py::dict given = py::cast<py::dict>(run);
  if (!given.contains("batch_sizes") || py::handle(given["batch_sizes"]).is_none()) return {};
  const auto array = py::array::ensure(given["batch_sizes"]);
  if (!array || (array.dtype().kind() != 'i' && array.dtype().kind() != 'u' && array.size() > 0)) {
    PyErr_Clear();
    wrong_type("batch_sizes", "an integer array",
               array ? std::string(py::str(array.dtype())) : Py_TYPE(py::object(given["batch_sizes"]).ptr())->tp_name);
  }
  if (array.ndim() != 1 || array.size() == 0) wrong_value("batch_sizes", "shape (T,) with T >= 1", shape_text(array));
  const py::array_t<Index> values = contiguous<Index>(array);
  return std::vector<Index>(values.data(), values.data() + values.size());
}

}  // namespace fastrnn::python
