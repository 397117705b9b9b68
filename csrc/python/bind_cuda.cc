// The CUDA backend: what there is of it, and fastrnn.CudaError.
#include "bindings.h"
#include "fastrnn/cuda.hpp"

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

}  // namespace

void bind_cuda(py::module_& module) {
  py::object error = py::register_exception<CudaError>(module, "CudaError", PyExc_RuntimeError);
  error.attr("__module__") = "fastrnn";
  module.def("cuda_status", &status_dict);
  module.def("parse_cuda_device", &parse_cuda_device, py::arg("name"));
  module.def("require_cuda_device", &require_cuda_device, py::arg("ordinal") = 0);
}

}  // namespace fastrnn::python
