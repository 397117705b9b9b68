// The CUDA backend: what there is of it, and fastrnn.CudaError.
#include <pybind11/stl.h>

#include <optional>

#include "cuda_call.h"
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

using Lengths = std::optional<py::array_t<Index, py::array::c_style>>;

/// Shapes and types are checked by functional/_device.py.
struct Call {
  CellOptions options;
  Parameters<float> parameters;
  ForwardArguments<float> arguments;
  Floats y, h_n, c_n;

  Call(const std::string& cell, const py::dict& given, const Floats& x, const Floats& w_ih, const Floats& w_hh,
       const std::optional<Floats>& b_ih, const std::optional<Floats>& b_hh, const std::optional<Floats>& w_peep,
       const std::optional<Floats>& h0, const std::optional<Floats>& c0, const Lengths& lengths, bool reverse)
      : options(parse_cell_options(cell, given)) {
    if (w_peep) options.peephole = w_peep->ndim() == 3 ? Peephole::full : Peephole::diagonal;
    parameters.inputs = w_ih.shape(1);
    parameters.hidden = w_hh.shape(1);
    parameters.w_ih = w_ih.data();
    parameters.w_hh = w_hh.data();
    parameters.b_ih = data(b_ih);
    parameters.b_hh = data(b_hh);
    parameters.w_peep = data(w_peep);
    const Index steps = x.shape(0), batch = x.shape(1), hidden = parameters.hidden;
    y = Floats({steps, batch, hidden});
    h_n = Floats({batch, hidden});
    c_n = Floats({has_c() ? batch : 0, hidden});
    arguments.steps = steps;
    arguments.batch = batch;
    arguments.x = {x.data(), batch * parameters.inputs, parameters.inputs};
    arguments.h0 = data(h0);
    arguments.c0 = data(c0);
    arguments.lengths = lengths ? lengths->data() : nullptr;
    arguments.reverse = reverse;
    arguments.y = {y.mutable_data(), batch * hidden, hidden};
    arguments.h_n = h_n.mutable_data();
    arguments.c_n = has_c() ? c_n.mutable_data() : nullptr;
  }
  bool has_c() const { return options.cell == CellType::lstm; }
  py::object final_c() const { return has_c() ? py::object(c_n) : py::none(); }
};

template <class... Arrays>
py::tuple run_forward(const std::string& cell, const py::dict& given, int ordinal, const std::string& dtype,
                      const std::string& tier, const Arrays&... arrays) {
  Call call(cell, given, arrays...);
  {
    const py::gil_scoped_release release;
    forward_cuda(call.options, call.parameters, call.arguments, {ordinal, dtype, tier});
  }
  return py::make_tuple(call.y, call.h_n, call.final_c());
}

/// What a forward pass in training left on a GPU, and which gradients it has.
struct CudaCache {
  CudaShape shape;
  std::unique_ptr<CudaSaved> saved;
};

template <class... Arrays>
py::tuple run_training(const std::string& cell, const py::dict& given, int ordinal, const std::string& dtype,
                       const std::string& tier, const Arrays&... arrays) {
  Call call(cell, given, arrays...);
  const CudaShape shape(cell, call.options, call.parameters, call.arguments.steps, call.arguments.batch);
  std::unique_ptr<CudaCache> cache;
  {
    const py::gil_scoped_release release;
    const CudaOptions options{ordinal, dtype, tier};
    auto saved = std::make_unique<CudaSaved>(call.options, call.parameters, call.arguments, options);
    cache.reset(new CudaCache{shape, std::move(saved)});
  }
  return py::make_tuple(call.y, call.h_n, call.final_c(), std::move(cache));
}

/// The gradients by name; None for those of what was not given.
py::dict run_backward(const CudaCache& cache, const std::optional<Floats>& dy, const std::optional<Floats>& dh_n,
                      const std::optional<Floats>& dc_n, bool need_dx) {
  py::dict result;
  const auto room = [&](const char* name, const std::vector<Index>& shape) {
    Floats array(shape);
    result[name] = array;
    return array.mutable_data();
  };
  const BackwardArguments<float> gradients = cache.shape.gradients(data(dy), data(dh_n), data(dc_n), need_dx, room);
  {
    const py::gil_scoped_release release;
    cache.saved->backward(gradients);
  }
  return result;
}

using Array = std::optional<Floats>;
constexpr auto kForward = &run_forward<Floats, Floats, Floats, Array, Array, Array, Array, Array, Lengths, bool>;
constexpr auto kTraining = &run_training<Floats, Floats, Floats, Array, Array, Array, Array, Array, Lengths, bool>;

}  // namespace

void bind_cuda(py::module_& module) {
  // Local: another module may have one of its own, as that of the tests.
  py::object error = py::register_local_exception<CudaError>(module, "CudaError", PyExc_RuntimeError);
  error.attr("__module__") = "fastrnn";
  module.def("cuda_status", &status_dict);
  module.def("cuda_kernels", &cuda_kernels);
  module.def("forward_cuda", kForward);
  py::class_<CudaCache>(module, "CudaCache", py::module_local())
      .def_property_readonly("cell", [](const CudaCache& c) { return c.shape.cell; })
      .def_property_readonly("steps", [](const CudaCache& c) { return c.shape.steps; })
      .def_property_readonly("batch", [](const CudaCache& c) { return c.shape.batch; })
      .def_property_readonly("hidden_size", [](const CudaCache& c) { return c.shape.hidden; })
      .def("backward", &run_backward);
  module.def("forward_cuda_training", kTraining);
  module.def("parse_cuda_device", &parse_cuda_device, py::arg("name"));
  module.def("require_cuda_device", &require_cuda_device, py::arg("ordinal") = 0);
}

}  // namespace fastrnn::python
