// Streams of a pool as arguments.
#pragma once

#include "bindings.h"
#include "fastrnn/pool.hpp"

namespace fastrnn::python {

using Stream = StreamPool::Stream;

/// One stream as an int, or several as a one-axis array or list of ints, each of them once.
struct Streams {
  bool single;
  py::array_t<Stream> array;
  Stream one = 0;

  explicit Streams(py::handle given) : single(PyLong_Check(given.ptr()) && !PyBool_Check(given.ptr())) {
    if (single) {
      one = PyLong_AsLongLong(given.ptr());
      if (PyErr_Occurred() != nullptr) {
        PyErr_Clear();
        one = StreamPool::kNone;
      }
      return;
    }
    const auto any = py::array::ensure(given);
    if (!any || ((any.dtype().kind() != 'i' && any.dtype().kind() != 'u') && any.size() > 0)) {
      PyErr_Clear();
      wrong_type("streams", "an int or an integer array", Py_TYPE(given.ptr())->tp_name);
    }
    check_rank("streams", any, "(N,)", 1);
    array = py::array_t < Stream, py::array::c_style | py::array::forcecast > ::ensure(any);
  }
  Index count() const { return single ? 1 : array.shape(0); }
  const Stream* data() const { return single ? &one : array.data(); }
};

}  // namespace fastrnn::python
