// What sessions and pools accept as weights.
#pragma once

#include "python/bindings.h"

namespace fastrnn::python {

/// `given`, or the Model of its to_native() where it is a Sequential.
inline py::object native_weights(py::object given) {
  if (py::isinstance<PackedWeights>(given) || py::isinstance<PyModel>(given) || PyType_Check(given.ptr())) return given;
  return py::hasattr(given, "to_native") ? given.attr("to_native")() : given;
}

}  // namespace fastrnn::python
