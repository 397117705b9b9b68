// What stacks on the CPU and on a GPU share.
#pragma once

#include "fastrnn/stack.hpp"
#include "python/weights/parameters.h"

namespace fastrnn::python {

/// [layer][direction] of weights, from nested lists. check(name, one, first) throws if one does not fit the first.
template <class W, class Check>
std::vector<std::vector<W>> layer_list(py::handle given, const Check& check) {
  std::vector<std::vector<W>> layers;
  std::size_t directions = 0;
  for (const py::handle item : py::reinterpret_borrow<py::iterable>(given)) {
    const std::string name = "layers[" + std::to_string(layers.size()) + "]";
    std::vector<W> row;
    for (const py::handle one : py::reinterpret_borrow<py::iterable>(item)) {
      if (!py::isinstance<W>(one))
        wrong_type(name, py::str(py::type::of<W>().attr("__name__")), Py_TYPE(one.ptr())->tp_name);
      row.push_back(one.cast<const W&>());
      check(name, row.back(), (layers.empty() ? row : layers[0])[0]);
    }
    if (layers.empty()) directions = row.size();
    if (row.empty() || row.size() > 2) wrong_value(name, "one or two directions", std::to_string(row.size()));
    if (row.size() != directions)
      wrong_value(name, std::to_string(directions) + (directions == 1 ? " direction" : " directions") + " as layers[0]",
                  std::to_string(row.size()));
    layers.push_back(std::move(row));
  }
  if (layers.empty()) wrong_value("layers", "one or more", "none");
  return layers;
}

inline Merge merge_of(const std::string& name) {
  static const std::pair<const char*, Merge> names[] = {
      {"concat", Merge::concat}, {"sum", Merge::sum}, {"mean", Merge::mean}, {"ave", Merge::mean}, {"mul", Merge::mul}};
  return names[find_choice("merge", name, names, [](const auto& one) { return one.first; })].second;
}

inline double rate_of(py::handle object) {
  if (!PyFloat_Check(object.ptr()) && (!PyLong_Check(object.ptr()) || PyBool_Check(object.ptr())))
    wrong_type("dropout", "a float", Py_TYPE(object.ptr())->tp_name);
  const double rate = PyFloat_AsDouble(object.ptr());
  if (PyErr_Occurred() != nullptr || !(rate >= 0 && rate < 1)) {
    PyErr_Clear();
    wrong_value("dropout", "a rate in [0, 1)", py::str(object));
  }
  return rate;
}

/// A dict of arrays for each layer and direction.
template <class T, class W>
py::list new_stack_gradients(const std::vector<std::vector<W>>& layers, StackBackwardArguments<T>& arguments) {
  py::list result;
  for (const auto& row : layers) {
    py::list directions;
    for (const W& one : row) directions.append(new_gradients(one.parameters, arguments.parameters.emplace_back()));
    result.append(directions);
  }
  return result;
}

}  // namespace fastrnn::python
