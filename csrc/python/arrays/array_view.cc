#include "python/arrays/array_view.h"

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

std::vector<Index> shape_of(const py::array& array) {
  return std::vector<Index>(array.shape(), array.shape() + array.ndim());
}

std::string shape_text(const py::array& array) { return shape_text(shape_of(array)); }

namespace {

/// The usual argument: a numpy.ndarray of float32 or float64 in native byte order.
bool is_float_array(py::handle object) {
  if (!py::isinstance<py::array>(object)) return false;
  const auto* dtype = py::detail::array_descriptor_proxy(py::detail::array_proxy(object.ptr())->descr);
  return dtype->kind == 'f' && dtype->byteorder == '=' &&
         (dtype->type_num == py::detail::npy_api::NPY_FLOAT_ || dtype->type_num == py::detail::npy_api::NPY_DOUBLE_);
}

/// Python's own numbers, and lists of them: nobody has chosen their precision.
bool is_untyped(py::handle object) {
  PyObject* const o = object.ptr();
  return PyList_Check(o) || PyTuple_Check(o) || PyFloat_Check(o) || PyLong_Check(o);
}

constexpr int kDlpackCpu = 1;  // kDLCPU of DLPack

/// The object as an array, by NumPy; what NumPy raises is told with the name of the argument.
py::array viewed(const std::string& name, py::handle object) {
  if (py::isinstance<py::array>(object)) return py::reinterpret_borrow<py::array>(object);
  const std::string type = Py_TYPE(object.ptr())->tp_name;
  if (py::getattr(object, "requires_grad", py::none()).is(py::bool_(true)))
    wrong_type(name, "an array that needs no gradient, as detach() gives", type + " with requires_grad=True");
  try {
    const py::module_ numpy = py::module_::import("numpy");
    const bool dlpack = !py::hasattr(object, "__array__") && py::hasattr(object, "__dlpack__");
    // Asked before the export: the producer of a capsule that NumPy refuses would have to free it amid an exception.
    if (dlpack && !py::object(object.attr("__dlpack_device__")()[py::int_(0)]).equal(py::int_(kDlpackCpu)))
      wrong_type(name, "an array of numbers", type + " on another device than the CPU");
    return numpy.attr(dlpack ? "from_dlpack" : "asarray")(object);
  } catch (py::error_already_set& error) {
    if (!error.matches(PyExc_Exception) || error.matches(PyExc_MemoryError)) throw;
    const std::string reason = type + " (" + std::string(py::str(error.value())) + ")";
    if (error.matches(PyExc_ValueError)) wrong_value(name, "an array of numbers", reason);
    wrong_type(name, "an array of numbers", reason);
  }
}

std::optional<Dtype> own_dtype_of(const std::string& name, py::handle object, const py::array& array) {
  if (is_float_array(array)) return is_untyped(object) ? std::nullopt : std::optional(float_dtype(array));
  const py::dtype dtype = array.dtype();
  const char kind = dtype.kind();
  if (kind == 'i' || kind == 'u' || kind == 'b' || (kind == 'f' && dtype.itemsize() == 2)) return std::nullopt;
  if (kind != 'f' && kind != 'c' && !py::isinstance<py::array>(object))
    wrong_type(name, "an array of numbers", Py_TYPE(object.ptr())->tp_name);
  wrong_type(name, "float32 or float64", std::string(py::str(dtype)));
}

}  // namespace

py::array float_array(const std::string& name, py::handle object, Dtype wanted) {
  if (is_float_array(object)) return py::reinterpret_borrow<py::array>(object);
  py::array array = viewed(name, object);
  if (own_dtype_of(name, object, array)) return array;
  return array.attr("astype")(dtype_name(wanted));
}

std::optional<Dtype> own_dtype(const std::string& name, py::handle object) {
  if (is_untyped(object)) return std::nullopt;
  return own_dtype_of(name, object, viewed(name, object));
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

py::array_t<Index> integer_array(const std::string& name, py::handle object) {
  const auto array = py::array::ensure(object);
  const char kind = array ? array.dtype().kind() : 'O';
  // An empty list becomes float64: with nothing in it, its dtype says nothing.
  if (!array || (kind != 'i' && kind != 'u' && array.size() > 0)) {
    PyErr_Clear();
    wrong_type(name, "an integer array", array ? std::string(py::str(array.dtype())) : Py_TYPE(object.ptr())->tp_name);
  }
  return contiguous<Index>(array);
}

std::vector<Index> length_list(py::handle object, Index batch, Index steps) {
  const py::array_t<Index> values = integer_array("lengths", object);
  check_shape("lengths", values, {batch});
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

int thread_count(py::handle threads) {
  return threads.is_none() ? 0 : int(integer("threads", threads, 1, kMostThreads));
}

}  // namespace fastrnn::python
