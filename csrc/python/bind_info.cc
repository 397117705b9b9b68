// Instruction sets and build facts.
#include <pybind11/stl.h>

#include "python/bindings.h"

namespace fastrnn::python {

namespace {

/// The tables of csrc/cells for Python: {cell: {"gates": "ifgo", "states": "c", "options": [...], "parameters":
/// [...]}}.
py::dict cell_table() {
  py::dict table;
  for (std::size_t i = 0; i < std::size(kCellNames); ++i) {
    const CellType type = CellType(i);
    py::list options, parameters;
    for (const cells::OptionRow& row : cells::kOptionTable)
      if ((row.cells & cells::only(type)) != 0) options.append(std::string(row.name));
    if (cells::describe(type).has_candidate) options.append("candidate_dropout");
    for (const auto& row : cells::kParameterTable<float>)
      if ((row.cells & cells::only(type)) != 0 && row.cells != cells::kAllCells)
        parameters.append(std::string(row.name));
    py::dict cell;
    cell["gates"] = std::string(cells::names(type).gates);
    cell["states"] = std::string(cells::names(type).states);
    cell["options"] = options;
    cell["parameters"] = parameters;
    table[py::str(std::string(kCellNames[i]))] = cell;
  }
  return table;
}

}  // namespace

void bind_info(py::module_& module) {
  current_isa();  // reads FASTRNN_ISA: a wrong name must fail the import, not the first call
  module.attr("version") = version();
  module.attr("compiler") = compiler();
  module.attr("flags") = compiler_flags();
  module.def("cell_table", &cell_table);
  module.attr("activations") = std::vector<std::string>(std::begin(kActivationNames), std::end(kActivationNames));
  module.def("available_isas", &available_isas);
  module.def("current_isa", &current_isa);
  module.def("num_threads", &num_threads);
  module.def(
      "set_num_threads", [](py::handle n) { set_num_threads(int(integer("n", n, 1, kMostThreads))); }, py::arg("n"));
  module.def("set_isa", &set_isa, py::arg("name"));
}

}  // namespace fastrnn::python
