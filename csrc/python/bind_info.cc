// Instruction sets and build facts.
#include <pybind11/stl.h>

#include "bindings.h"

namespace fastrnn::python {

void bind_info(py::module_& module) {
  current_isa();  // reads FASTRNN_ISA: a wrong name must fail the import, not the first call
  module.attr("version") = version();
  module.attr("compiler") = compiler();
  module.attr("flags") = compiler_flags();
  module.def("available_isas", &available_isas);
  module.def("current_isa", &current_isa);
  module.def("num_threads", &num_threads);
  module.def(
      "set_num_threads", [](py::handle n) { set_num_threads(int(integer("n", n, 1, kMostThreads))); }, py::arg("n"));
  module.def("set_isa", &set_isa, py::arg("name"));
}

}  // namespace fastrnn::python
