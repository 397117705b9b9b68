// Instruction sets and build facts.
#include <pybind11/stl.h>

#include "bindings.h"

namespace fastrnn::python {

namespace {

py::array activate_array(const std::string& name, py::handle object) {
  const py::array x = float_array("x", object);
  Activation activation;
  if (name == "tanh")
    activation = Activation::tanh;
  else if (name == "sigmoid")
    activation = Activation::sigmoid;
  else if (name == "relu")
    activation = Activation::relu;
  else
    wrong_value("activation", "one of 'tanh', 'sigmoid', 'relu'", "'" + name + "'");
  return with_type(float_dtype(x), [&](auto* type) -> py::array {
    using T = std::remove_pointer_t<decltype(type)>;
    const py::array_t<T> in = contiguous<T>(x);
    py::array_t<T> out(std::vector<py::ssize_t>(x.shape(), x.shape() + x.ndim()));
    {
      const py::gil_scoped_release release;
      activate(activation, in.data(), out.mutable_data(), in.size());
    }
    return out;
  });
}

}  // namespace

void bind_info(py::module_& module) {
  current_isa();  // reads FASTRNN_ISA: a wrong name must fail the import, not the first call
  module.attr("version") = FASTRNN_VERSION;
  module.attr("compiler") = FASTRNN_COMPILER;
  module.attr("flags") = FASTRNN_FLAGS;
  module.def("available_isas", &available_isas);
  module.def("current_isa", &current_isa);
  module.def("set_isa", &set_isa, py::arg("name"));
  module.def("activate", &activate_array, py::arg("activation"), py::arg("x"));
}

}  // namespace fastrnn::python
