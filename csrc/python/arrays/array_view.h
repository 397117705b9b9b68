// The one checker of NumPy arrays. Each function names the argument, what was expected and what came:
// TypeError for a type or dtype, ValueError for a shape or value.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <optional>
#include <string>
#include <vector>

#include "fastrnn/fastrnn.hpp"

namespace fastrnn::python {

namespace py = pybind11;

enum class Dtype { float32, float64 };

template <class T>
constexpr Dtype dtype_of() {
  return sizeof(T) == 4 ? Dtype::float32 : Dtype::float64;
}
const char* dtype_name(Dtype dtype);
/// NumPy's number of the type.
template <class T>
constexpr int kNumpyType = sizeof(T) == 4 ? py::detail::npy_api::NPY_FLOAT_ : py::detail::npy_api::NPY_DOUBLE_;

/// Calls f with a null pointer of the dtype's C++ type.
template <class F>
auto with_type(Dtype dtype, F&& f) {
  return dtype == Dtype::float32 ? f(static_cast<float*>(nullptr)) : f(static_cast<double*>(nullptr));
}

[[noreturn]] void wrong_type(const std::string& name, const std::string& expected, const std::string& actual);
[[noreturn]] void wrong_value(const std::string& name, const std::string& expected, const std::string& actual);

std::vector<Index> shape_of(const py::array& array);
/// "(2, 3)".
std::string shape_text(const std::vector<Index>& shape);
std::string shape_text(const py::array& array);

/// An array of float32 or float64 in native byte order, from anything that NumPy can view as an array or convert to
/// one. float32 and float64 are left as they are; other numbers (integers, float16, lists) are copied to `wanted`.
py::array float_array(const std::string& name, py::handle object, Dtype wanted);
Dtype float_dtype(const py::array& array);
/// The dtype of what float_array() would leave as it is; none for what it would convert. Copies nothing.
std::optional<Dtype> own_dtype(const std::string& name, py::handle object);

/// Throws unless the array is of this dtype; `owner` is the argument that set it.
void check_dtype(const std::string& name, const py::array& array, Dtype dtype, const std::string& owner);
void check_shape(const std::string& name, const py::array& array, const std::vector<Index>& shape);
void check_rank(const std::string& name, const py::array& array, const std::string& letters, int rank);

/// The same values as a C-contiguous, aligned array: itself where it is one, else a copy, for which there may be no
/// memory.
template <class T>
py::array_t<T> contiguous(const py::array& array) {
  constexpr int flags = py::array::c_style | py::array::forcecast | py::detail::npy_api::NPY_ARRAY_ALIGNED_;
  return py::array_t<T, flags>(array);
}

/// The array, if it is a numpy.ndarray of T itself, aligned, in native order and with these flags of NumPy's; else
/// null. For calls that have no time for more.
template <class T>
const py::detail::PyArray_Proxy* usual_array(PyObject* object, int flags) {
  using Numpy = py::detail::npy_api;
  if (Py_TYPE(object) != Numpy::get().PyArray_Type_) return nullptr;
  const auto* array = py::detail::array_proxy(object);
  const auto* dtype = py::detail::array_descriptor_proxy(array->descr);
  flags |= Numpy::NPY_ARRAY_ALIGNED_;
  const bool usual = dtype->type_num == kNumpyType<T> && dtype->byteorder == '=' && (array->flags & flags) == flags;
  return usual ? array : nullptr;
}

/// An optional argument of a known shape: None is an empty handle. Copied if not contiguous.
template <class T>
class Optional {
 public:
  Optional(const std::string& name, py::handle object, const std::vector<Index>& shape, const std::string& owner) {
    if (object.is_none()) return;
    const py::array array = float_array(name, object, dtype_of<T>());
    check_dtype(name, array, dtype_of<T>(), owner);
    check_shape(name, array, shape);
    array_ = contiguous<T>(array);
  }
  const T* data() const { return array_ ? array_.data() : nullptr; }
  bool given() const { return bool(array_); }
  const py::array_t<T>& array() const { return array_; }

 private:
  py::array_t<T> array_{py::reinterpret_steal<py::array_t<T>>(py::handle())};
};

/// A three-axis array as a Sequence. Any strides over time and batch are taken as they are; only an array whose last
/// axis is not contiguous is copied, once. `holder` keeps what the view points to.
template <class T>
Sequence<const T> sequence_view(const py::array& array, bool batch_first, py::array& holder) {
  const Index item = sizeof(T);
  bool direct = array.shape(2) <= 1 || array.strides(2) == item;
  for (int axis = 0; axis < 2; ++axis) direct = direct && array.strides(axis) % item == 0;
  direct = direct && reinterpret_cast<std::uintptr_t>(array.data()) % alignof(T) == 0;
  holder = direct ? array : py::array(contiguous<T>(array));
  const int time = batch_first ? 1 : 0;
  return {static_cast<const T*>(holder.data()), holder.strides(time) / item, holder.strides(1 - time) / item};
}

template <class T>
Sequence<T> new_sequence_view(py::array_t<T>& array, bool batch_first) {
  const Index item = sizeof(T);
  const int time = batch_first ? 1 : 0;
  return {array.mutable_data(), array.strides(time) / item, array.strides(1 - time) / item};
}

/// `out=` of a known shape, or a new array.
template <class T>
py::array_t<T> output_array(py::handle out, const std::vector<Index>& shape, const std::string& owner) {
  if (out.is_none()) return py::array_t<T>(shape);
  if (!py::isinstance<py::array>(out)) wrong_type("out", "a numpy.ndarray", Py_TYPE(out.ptr())->tp_name);
  const auto array = py::reinterpret_borrow<py::array>(out);
  if (!own_dtype("out", array)) wrong_type("out", "float32 or float64", std::string(py::str(array.dtype())));
  check_dtype("out", array, dtype_of<T>(), owner);
  check_shape("out", array, shape);
  if (!array.writeable()) throw Error("out: read-only array");
  if (!(array.flags() & py::array::c_style)) throw Error("out: expected a C-contiguous array, got a strided one");
  if (!(array.flags() & py::detail::npy_api::NPY_ARRAY_ALIGNED_))
    throw Error("out: expected an aligned array, got an unaligned one");
  return py::reinterpret_borrow<py::array_t<T>>(array);
}

/// Whether the address ranges of two arrays overlap.
bool overlap(const py::array& a, const py::array& b);

/// A Python int within bounds; TypeError for anything else, bool too.
Index integer(const std::string& name, py::handle object, Index least, Index most);

/// `threads`: 1 or more; None is 0, which stands for the number of set_num_threads.
int thread_count(py::handle threads);

/// An array of integers, or an empty list.
py::array_t<Index> integer_array(const std::string& name, py::handle object);

/// `lengths`: integers (B,) in 0..T.
std::vector<Index> length_list(py::handle object, Index batch, Index steps);

}  // namespace fastrnn::python
