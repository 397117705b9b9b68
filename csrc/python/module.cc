// fastrnn._core: the native half of the package. One bind_*.cc per noun.
#include "python/bindings.h"
#include "python/interpreter/signals.h"

// The function that pybind11 writes gets another name: the one which Python calls is below.
#define PyInit__core initialise_in_main_interpreter
PYBIND11_MODULE(_core, module, pybind11::mod_gil_not_used()) {
#undef PyInit__core
  module.doc() = "Native kernels of fastrnn; the public names are in fastrnn itself.";
  fastrnn::python::find_main_thread();
  fastrnn::python::bind_info(module);
  fastrnn::python::bind_buffers(module);
  fastrnn::python::bind_cuda(module);
  fastrnn::python::bind_device_array(module);
  fastrnn::python::bind_math(module);
  fastrnn::python::bind_plan(module);
  fastrnn::python::bind_weights(module);
  fastrnn::python::bind_model(module);
  fastrnn::python::bind_sequence(module);
  fastrnn::python::bind_quick(module);
  fastrnn::python::bind_session(module);
  fastrnn::python::bind_pool(module);
  fastrnn::python::bind_stack(module);
  fastrnn::python::bind_tensors(module);
}

/// Refuses sub-interpreters before pybind11 is called, which would wait for ever for the main interpreter's GIL: this
/// thread holds it.
PyMODINIT_FUNC PyInit__core() {
  if (PyInterpreterState_Get() != PyInterpreterState_Main()) {
    PyErr_SetString(PyExc_ImportError, "fastrnn: expected the main interpreter, got a sub-interpreter");
    return nullptr;
  }
  return initialise_in_main_interpreter();
}
