// The parameters of a layer out of a dict, checked against the shapes that w_ih and each other give them.
#pragma once

#include <algorithm>
#include <optional>

#include "python/bindings.h"

namespace fastrnn::python {

/// The names and shapes of the parameters that were given.
using ParameterShapes = std::vector<std::pair<std::string, std::vector<Index>>>;

/// A source of parameters for read_parameters(): arrays on the host, kept for the life of this object.
template <class T>
class HostParameters {
 public:
  /// `owner` names the argument whose dtype they must have; empty: arrays of any dtype are cast to T.
  HostParameters(const py::dict& given, const std::string& owner) : owner_(owner) {
    for (const auto& [name, value] : given) {
      Py_ssize_t length = 0;
      const char* const text = PyUnicode_AsUTF8AndSize(name.ptr(), &length);
      if (text == nullptr) PyErr_Clear();  // a key of a dict that somebody made: the name of no parameter
      if (text == nullptr || value.is_none()) continue;
      for (const auto& row : cells::kParameterTable<T>)
        if (row.name == std::string_view(text, std::size_t(length)))
          given_.push_back({row.name, py::reinterpret_borrow<py::object>(value), {}});
    }
  }

  bool has(const char* name) const {
    return std::any_of(given_.begin(), given_.end(), [&](const Given& one) { return one.name == name; });
  }
  std::vector<Index> shape(const char* name) { return shape_of(array(name)); }
  const T* data(const char* name) { return array(name).data(); }

 private:
  struct Given {
    std::string_view name;
    py::object value;
    std::optional<py::array_t<T>> array;  // once it has been asked for
  };
  /// Converted once: an argument that is no NumPy array may become a new one each time.
  const py::array_t<T>& array(const char* name) {
    auto one = std::find_if(given_.begin(), given_.end(), [&](const Given& other) { return other.name == name; });
    if (one == given_.end()) one = given_.insert(one, {name, py::none(), {}});  // whose error names it
    if (!one->array) {
      const py::array array = float_array(name, one->value, dtype_of<T>());
      if (!owner_.empty()) check_dtype(name, array, dtype_of<T>(), owner_);
      one->array = contiguous<T>(array);
    }
    return *one->array;
  }

  const std::string& owner_;
  std::vector<Given> given_;
};

/// Reads and checks the parameters of `source`, which keeps their memory. The form of w_peep is stored in `options`.
template <class T, class Source>
Parameters<T> read_parameters(CellOptions& options, Source& source, ParameterShapes& shapes) {
  const auto wrong_shape = [](const char* name, const std::string& expected, const std::vector<Index>& shape) {
    wrong_value(name, "shape " + expected, shape_text(shape));
  };
  const Index gates = gate_count(options.cell);
  const std::vector<Index> w_ih = source.shape("w_ih");
  const std::string letters = gates > 1 ? "(" + std::to_string(gates) + "*H, I)" : "(H, I)";
  if (w_ih.size() != 2) wrong_shape("w_ih", letters, w_ih);
  const Index rows = w_ih[0];
  if (rows % gates != 0 || rows == 0) wrong_shape("w_ih", letters + " with H >= 1", w_ih);
  Parameters<T> p;
  const Index hidden = p.hidden = rows / gates;
  p.inputs = w_ih[1];
  cells::ParameterSizes sizes = {p.inputs, hidden, hidden, Peephole::none};
  if (source.has("w_hr")) {
    const std::vector<Index> w_hr = source.shape("w_hr");
    if (w_hr.size() != 2) wrong_shape("w_hr", "(P, H)", w_hr);
    sizes.outputs = p.projection = w_hr[0];
    if (p.projection < 1 || p.projection > hidden)
      wrong_shape("w_hr", "(P, H) with 1 <= P <= H = " + std::to_string(hidden), w_hr);
  }
  if (source.has("w_peep")) {
    const std::vector<Index> shape = source.shape("w_peep"), diagonal = {3, hidden}, full = {3, hidden, hidden};
    if (shape != diagonal && shape != full)
      wrong_shape("w_peep", shape_text(diagonal) + " or " + shape_text(full), shape);
    options.peephole = sizes.peephole = shape == full ? Peephole::full : Peephole::diagonal;
  }
  for (const auto& row : cells::kParameterTable<T>) {
    const char* name = row.name.data();
    const bool required = row.name == "w_ih" || row.name == "w_hh";
    if (!required && !source.has(name)) continue;
    const std::vector<Index> shape = source.shape(name), expected = cells::parameter_shape(options.cell, name, sizes);
    if (shape != expected) wrong_shape(name, shape_text(expected), shape);
    shapes.emplace_back(name, shape);
    p.*row.value = source.data(name);
  }
  return p;
}

/// Sets the pointers for the gradients of the parameters that were given; room(name, shape) returns memory for one.
template <class T, class Room>
void place_gradients(const ParameterShapes& shapes, BackwardArguments<T>& arguments, const Room& room) {
  for (const auto& [name, shape] : shapes)
    for (const auto& row : cells::kParameterTable<T>)
      if (name == row.name) arguments.*row.gradient = room(row.name.data(), shape);
}

/// Those gradients as arrays of NumPy, by name.
template <class T>
py::dict new_gradients(const ParameterShapes& shapes, BackwardArguments<T>& arguments) {
  py::dict arrays;
  place_gradients(shapes, arguments, [&](const char* name, const std::vector<Index>& shape) {
    py::array_t<T> array(shape);
    arrays[name] = array;
    return array.mutable_data();
  });
  return arrays;
}

}  // namespace fastrnn::python
