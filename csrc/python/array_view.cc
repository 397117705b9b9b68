#include "array_view.h"

#include <algorithm>
#include <cstdint>

namespace fastrnn::python {

const char* dtype_name(Dtype dtype) { return dtype == Dtype::float32 ? "float32" : "float64"; }

void wrong_type(const std::string& name, const std::string& expected, const std::string& actual) {
  throw py::type_error(name + ": expected " + expected + ", got " + actual);
}

void wrong_value(const std::string& name, const std::string& expected, const std::string& actual) {
  throw Error(name + ": expected " + expected + ", got " + actual);
}

std::string shape_text(const std::vector<Index>& shape) {
  std::string text = "(";
  for (std::size_t i = 0; i < shape.size(); ++i) text += (i > 0 ? ", " : "") + std::to_string(shape[i]);
  return text + (shape.size() == 1 ? ",)" : ")");
}

std::string shape_text(const py::array& array) {
  return shape_text(std::vector<Index>(array.shape(), array.shape() + array.ndim()));
}

py::array float_array(const std::string& name, py::handle object) {
  if (!py::isinstance<py::array>(object)) wrong_type(name, "a numpy.ndarray", Py_TYPE(object.ptr())->tp_name);
  auto array = py::reinterpret_borrow<py::array>(object);
  const py::dtype dtype = array.dtype();
  const bool native = dtype.byteorder() == '=' || dtype.byteorder() == '|';
  if (dtype.kind() != 'f' || (dtype.itemsize() != 4 && dtype.itemsize() != 8) || !native)
    wrong_type(name, "float32 or float64", std::string(py::str(dtype)));
  return array;
}

Dtype float_dtype(const py::array& array) { return array.itemsize() == 4 ? Dtype::float32 : Dtype::float64; }

void check_dtype(const std::string& name, const py::array& array, Dtype dtype, const std::string& owner) {
  if (float_dtype(array) != dtype)
    wrong_type(name, std::string(dtype_name(dtype)) + " (the dtype of " + owner + ")", dtype_name(float_dtype(array)));
}

void check_shape(const std::string& name, const py::array& array, const std::vector<Index>& shape) {
  const bool same = array.ndim() == Index(shape.size()) && std::equal(shape.begin(), shape.end(), array.shape());
  if (!same) wrong_value(name, "shape " + shape_text(shape), shape_text(array));
}

void check_rank(const std::string& name, const py::array& array, const std::string& letters, int rank) {
  if (array.ndim() != rank) wrong_value(name, "shape " + letters, shape_text(array));
}

bool overlap(const py::array& a, const py::array& b) {
  const auto bounds = [](const py::array& array) {
    auto low = reinterpret_cast<std::uintptr_t>(array.data()), high = low + std::uintptr_t(array.itemsize());
    for (Index axis = 0; axis < array.ndim(); ++axis) {
      const Index span = (array.shape(axis) - 1) * array.strides(axis);
      (span < 0 ? low : high) += std::uintptr_t(span);
    }
    return std::pair(low, high);
  };
  if (a.size() == 0 || b.size() == 0) return false;
  const auto [a_low, a_high] = bounds(a);
  const auto [b_low, b_high] = bounds(b);
  return a_low < b_high && b_low < a_high;
}

std::vector<Index> length_list(py::handle object, Index batch, Index steps) {
  const auto array = py::array::ensure(object);
  if (!array) {
    PyErr_Clear();
    wrong_type("lengths", "an integer array", Py_TYPE(object.ptr())->tp_name);
  }
  // An empty list becomes float64: with nothing in it, its dtype says nothing.
  if (array.dtype().kind() != 'i' && array.dtype().kind() != 'u' && array.size() > 0)
    wrong_type("lengths", "an integer array", std::string(py::str(array.dtype())));
  check_shape("lengths", array, {batch});
  const auto values = py::array_t < Index, py::array::c_style | py::array::forcecast > ::ensure(array);
  std::vector<Index> lengths(values.data(), values.data() + batch);
  for (Index b = 0; b < batch; ++b)
    if (lengths[b] < 0 || lengths[b] > steps)
      wrong_value("lengths", "values in 0.." + std::to_string(steps),
                  std::to_string(lengths[b]) + " at index " + std::to_string(b));
  return lengths;
}

Index integer(const std::string& name, py::handle object, Index least, Index most) {
  if (!PyLong_Check(object.ptr()) || PyBool_Check(object.ptr()))
    wrong_type(name, "an int", Py_TYPE(object.ptr())->tp_name);
  int overflow = 0;
  const long long value = PyLong_AsLongLongAndOverflow(object.ptr(), &overflow);
  if (overflow != 0 || value < least || value > most)
    wrong_value(
        name,
        most == PTRDIFF_MAX ? std::to_string(least) + " or more" : std::to_string(least) + ".." + std::to_string(most),
        std::string(py::str(object)));
  return Index(value);
}

}  // namespace fastrnn::python
