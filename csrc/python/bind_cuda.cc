// The CUDA backend: what there is of it, and fastrnn.CudaError.
#include <pybind11/stl.h>

#include <optional>

#include "bindings.h"
#include "fastrnn/cuda_layer.hpp"

namespace fastrnn::python {

namespace {

py::dict status_dict() {
  const CudaStatus status = cuda_status();
  py::list devices;
  for (const CudaDevice& device : status.devices) {
    py::dict entry;
    entry["name"] = device.name;
    entry["capability"] = py::make_tuple(device.major, device.minor);
    entry["processors"] = device.processors;
    entry["shared_memory"] = device.shared_memory;
    entry["memory"] = device.memory;
    devices.append(entry);
  }
  py::dict result;
  result["built"] = status.built;
  result["version"] = status.version;
  result["code"] = status.code;
  result["reason"] = status.reason;
  result["devices"] = devices;
  return result;
}

using Floats = py::array_t<float, py::array::c_style>;

const float* data(const std::optional<Floats>& array) { return array ? array->data() : nullptr; }

/// Shapes and types are checked by functional/_device.py.
py::tuple run_forward(const std::string& cell, const py::dict& given, int ordinal, const std::string& dtype,
                      const std::string& tier, const Floats& x, const Floats& w_ih, const Floats& w_hh,
                      const std::optional<Floats>& b_ih, const std::optional<Floats>& b_hh,
                      const std::optional<Floats>& w_peep, const std::optional<Floats>& h0,
                      const std::optional<Floats>& c0,
                      const std::optional<py::array_t<Index, py::array::c_style>>& lengths, bool reverse) {
  CellOptions options = parse_cell_options(cell, given);
  if (w_peep) options.peephole = Peephole::diagonal;
  Parameters<float> parameters;
  parameters.inputs = w_ih.shape(1);
  parameters.hidden = w_hh.shape(1);
  parameters.w_ih = w_ih.data();
  parameters.w_hh = w_hh.data();
  parameters.b_ih = data(b_ih);
  parameters.b_hh = data(b_hh);
  parameters.w_peep = data(w_peep);
  const Index steps = x.shape(0), batch = x.shape(1), hidden = parameters.hidden;
  const bool has_c = options.cell == CellType::lstm;
  Floats y({steps, batch, hidden}), h_n({batch, hidden}), c_n({has_c ? batch : 0, hidden});
  ForwardArguments<float> arguments;
  arguments.steps = steps;
  arguments.batch = batch;
  arguments.x = {x.data(), batch * parameters.inputs, parameters.inputs};
  arguments.h0 = data(h0);
  arguments.c0 = data(c0);
  arguments.lengths = lengths ? lengths->data() : nullptr;
  arguments.reverse = reverse;
  arguments.y = {y.mutable_data(), batch * hidden, hidden};
  arguments.h_n = h_n.mutable_data();
  arguments.c_n = has_c ? c_n.mutable_data() : nullptr;
  {
    const py::gil_scoped_release release;
    forward_cuda(options, parameters, arguments, {ordinal, dtype, tier});
  }
  return py::make_tuple(y, h_n, has_c ? py::object(c_n) : py::none());
}

}  // namespace

void bind_cuda(py::module_& module) {
  // Local: another module may have one of its own, as that of the tests.
  py::object error = py::register_local_exception<CudaError>(module, "CudaError", PyExc_RuntimeError);
  error.attr("__module__") = "fastrnn";
  module.def("cuda_status", &status_dict);
  module.def("cuda_kernels", &cuda_kernels);
  module.def("forward_cuda", &run_forward);
  module.def("parse_cuda_device", &parse_cuda_device, py::arg("name"));
  module.def("require_cuda_device", &require_cuda_device, py::arg("ordinal") = 0);
}

}  // namespace fastrnn::python
