// Dictionaries of options, of a cell and of a run, as the C++ structures. Keys are those of fastrnn's keywords.
#include <unistd.h>

#include <cmath>

#include "python/bindings.h"

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

/// A bound > 0. The core writes no bound as 0, Python as None or infinity.
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

/// Every call in training draws one: std::random_device takes ten times as long.
std::uint64_t fresh_seed() {
  std::uint64_t seed = 0;
  if (getentropy(&seed, sizeof seed) != 0) throw Error("seed: the system has no random numbers; give one");
  return seed;
}

void read_option(const cells::OptionRow& row, const std::string& name, py::handle value, CellOptions& options) {
  switch (row.kind) {
    case cells::OptionKind::activation: options.*row.activation = activation_option(name, value); break;
    case cells::OptionKind::flag: options.*row.flag = boolean(name, value); break;
    case cells::OptionKind::bound: options.*row.number = bound(name, value); break;
    case cells::OptionKind::choice: {
      const std::vector<std::string_view> names(row.choices, row.choices + (row.choices[2].empty() ? 2 : 3));
      cells::choose(row, options, int(find_choice(name, std::string(py::str(value)), names)));
      break;
    }
    default: options.*row.number = number(name, value);
  }
}

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
  const std::string known = name == "linear" ? "identity" : name;  // Keras' name
  ActivationOption option(Activation(find_choice(argument, known, kActivationNames)));
  if (given.size() > 1) option.alpha = number(argument, given[1]);
  if (given.size() > 2) option.beta = number(argument, given[2]);
  return option;
}

const char* activation_name(Activation activation) { return kActivationNames[int(activation)].data(); }

CellOptions parse_cell_options(const std::string& cell, const py::dict& given) {
  CellOptions options;
  options.cell = CellType(find_choice("cell", cell, kCellNames));
  bool has_output = false, has_seed = false;
  for (const auto& [key, value] : given) {
    const std::string name = py::str(key);
    if (name == "seed") {
      options.seed = seed_of(value);
      has_seed = true;
    } else if (name == "stream") {
      options.stream = std::uint32_t(integer(name, value, 0, 1 << 24));
    } else {
      const auto row = std::find_if(std::begin(cells::kOptionTable), std::end(cells::kOptionTable),
                                    [&](const cells::OptionRow& one) { return one.name == name; });
      if (row == std::end(cells::kOptionTable)) throw py::type_error(name + ": not an option of a cell");
      read_option(*row, name, value, options);
      has_output = has_output || row->activation == &CellOptions::output_activation;
    }
  }
  if (!has_output) options.output_activation = options.activation;
  if (options.weight_dropout > 0 && !has_seed) options.seed = fresh_seed();
  return options;
}

py::object option_value(const cells::OptionRow& row, const CellOptions& options) {
  switch (row.kind) {
    case cells::OptionKind::activation: {
      const ActivationOption& option = options.*row.activation;
      return py::make_tuple(activation_name(option.kind), option.alpha, option.beta);
    }
    case cells::OptionKind::flag: return py::bool_(options.*row.flag);
    case cells::OptionKind::choice: return py::str(std::string(row.choices[cells::chosen(row, options)]));
    default: return py::float_(options.*row.number);
  }
}

py::dict cell_options_dict(const CellOptions& options) {
  py::dict result;
  for (const cells::OptionRow& row : cells::kOptionTable)
    if (row.kind != cells::OptionKind::bound || options.*row.number > 0)
      result[py::str(std::string(row.name))] = option_value(row, options);
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
  const py::array_t<Index> values = integer_array("batch_sizes", given["batch_sizes"]);
  if (values.ndim() != 1 || values.size() == 0)
    wrong_value("batch_sizes", "shape (T,) with T >= 1", shape_text(values));
  return std::vector<Index>(values.data(), values.data() + values.size());
}

}  // namespace fastrnn::python
