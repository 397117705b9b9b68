// Streams of a pool as arguments.
#pragma once

#include "fastrnn/pool.hpp"
#include "python/bindings.h"

namespace fastrnn::python {

using Stream = StreamPool::Stream;

/// One stream as an int of any kind, or several as a one-axis array or list of ints, each of them once. The numbers are
/// copied: another thread may rewrite what the caller gave while the GIL is let go.
class Streams {
 public:
  explicit Streams(py::handle given) {
    if (PyLong_Check(given.ptr()) && !PyBool_Check(given.ptr()))
      read_one(given);
    else
      read_array(given);
  }

  bool single() const { return single_; }
  Index count() const { return Index(streams_.size()); }
  const Stream* data() const { return streams_.data(); }
  Stream one() const { return streams_[0]; }
  /// The number as the caller gave it, even one that no stream can have.
  std::string text(Index i) const {
    if (single_) return text_;
    return unsigned_ ? std::to_string(std::uint64_t(streams_[i])) : std::to_string(streams_[i]);
  }

 private:
  void read_one(py::handle given) {
    single_ = true;
    int overflow = 0;
    const Stream stream = PyLong_AsLongLongAndOverflow(given.ptr(), &overflow);
    text_ = overflow == 0 ? std::to_string(stream) : std::string(py::str(given));
    streams_.push_back(overflow == 0 ? stream : StreamPool::kNone);
  }
  void read_array(py::handle given) {
    const auto any = py::array::ensure(given);
    PyErr_Clear();
    const char kind = any ? any.dtype().kind() : 'O';
    const bool whole = kind == 'i' || kind == 'u';
    if (any && any.ndim() == 0 && (whole || kind == 'O')) {  // a NumPy int, or an object with __index__
      if (const auto index = py::reinterpret_steal<py::object>(PyNumber_Index(given.ptr()))) return read_one(index);
      PyErr_Clear();
    } else if (any && (whole || any.size() == 0)) {  // an empty list becomes float64
      check_rank("streams", any, "(N,)", 1);
      const py::array_t<Stream> values = contiguous<Stream>(any);
      streams_.assign(values.data(), values.data() + values.size());
      unsigned_ = kind == 'u';
      return;
    }
    wrong_type(
        "streams", "an int or an integer array",
        any && py::isinstance<py::array>(given) ? std::string(py::str(any.dtype())) : Py_TYPE(given.ptr())->tp_name);
  }

  std::vector<Stream> streams_;
  std::string text_;
  bool single_ = false, unsigned_ = false;
};

}  // namespace fastrnn::python
