// fastrnn._core: the native half of the package. One bind_*.cc per noun.
#include "bindings.h"

PYBIND11_MODULE(_core, module, pybind11::mod_gil_not_used()) {
  module.doc() = "Native kernels of fastrnn; the public names are in fastrnn itself.";
  fastrnn::python::bind_info(module);
  fastrnn::python::bind_cuda(module);
  fastrnn::python::bind_device_array(module);
  fastrnn::python::bind_math(module);
  fastrnn::python::bind_plan(module);
  fastrnn::python::bind_weights(module);
  fastrnn::python::bind_model(module);
  fastrnn::python::bind_sequence(module);
  fastrnn::python::bind_session(module);
  fastrnn::python::bind_pool(module);
  fastrnn::python::bind_stack(module);
}
