// The CUDA backend: its status, fastrnn.CudaError, weights on a GPU, and calls with NumPy arrays.
#include <pybind11/stl.h>

#include "python/sequences/cuda_weights.h"
#include "python/sequences/sequences.h"

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

PyCudaWeights pack_cuda(const std::string& cell, const py::dict& given, const py::dict& settings, int ordinal,
                        const std::string& dtype) {
  CellOptions options = parse_cell_options(cell, settings);
  const std::string owner = "x, which on a GPU is float32";
  HostParameters<float> source(given, owner);
  PyCudaWeights packed;
  const Parameters<float> parameters = read_parameters<float>(options, source, packed.parameters);
  const GilRelease release;
  packed.weights = std::make_shared<const CudaWeights>(options, parameters, CudaOptions{ordinal, dtype});
  return packed;
}

/// What a forward pass in training keeps on a GPU. The host's arrays are not needed again.
struct CudaCache {
  CudaLayers layers;
  CallSizes sizes;
  py::array y_like;  // of the shape of y, without its memory
  Index batch;
  bool batch_first;
  std::unique_ptr<CudaSaved> saved;
};

py::tuple forward(py::handle given, const py::array& x, py::handle h0, py::handle c0, py::handle lengths, bool reverse,
                  bool batch_first, bool training, py::handle out, py::handle run, const std::string& merge,
                  py::handle dropout, const std::string& tier) {
  const CudaLayers layers = cuda_layers(given);
  const CudaStack stack = cuda_stack(layers, merge, dropout);
  const CallSizes sizes = CallSizes::of_stack(stack);
  ForwardArrays<float> call(sizes, x, h0, c0, lengths, batch_first, training, out, py::none(), run);
  call.arguments.reverse = reverse;
  std::unique_ptr<CudaSaved> saved;
  {
    const GilRelease release;
    if (training)
      saved = std::make_unique<CudaSaved>(stack, call.arguments, CudaRun{tier});
    else
      forward_cuda(stack, call.arguments, CudaRun{tier});
  }
  if (!training) return call.results(py::none());
  const std::vector<Index> none(std::size_t(call.y.ndim()), 0);
  static const float nothing = 0;
  const py::array like(py::dtype::of<float>(), shape_of(call.y), none, &nothing, py::none());
  return call.results(py::cast(std::make_unique<CudaCache>(
      CudaCache{layers, sizes, like, call.arguments.batch, batch_first, std::move(saved)})));
}

py::tuple backward(const CudaCache& cache, py::handle dy, py::handle dh_n, py::handle dc_n, bool need_dx) {
  BackwardArrays<float, StackBackwardArguments<float>> call(cache.sizes, cache.y_like, cache.batch, cache.batch_first,
                                                            dy, dh_n, dc_n, need_dx, py::none());
  const py::list layers = new_stack_gradients(cache.layers, call.arguments);
  {
    const GilRelease release;
    cache.saved->backward(call.arguments);
  }
  return call.results(layers);
}

}  // namespace

CudaLayers cuda_layers(py::handle given) {
  return layer_list<PyCudaWeights>(given, [](const std::string&, const PyCudaWeights&, const PyCudaWeights&) {});
}

CudaStack cuda_stack(const CudaLayers& layers, const std::string& merge, py::handle dropout) {
  CudaStack stack;
  stack.directions = int(layers[0].size());
  stack.merge = merge_of(merge);
  stack.dropout = rate_of(dropout);
  for (const auto& row : layers)
    for (const PyCudaWeights& one : row) stack.weights.push_back(one.weights);
  return stack;
}

void bind_cuda(py::module_& module) {
  // Local: another module may have types of its own, as that of the tests.
  py::object error = py::register_local_exception<CudaError>(module, "CudaError", PyExc_RuntimeError);
  error.attr("__module__") = "fastrnn";
  module.def("cuda_status", &status_dict);
  module.def("cuda_kernels", &cuda_kernels);
  module.def("parse_cuda_device", &parse_cuda_device, py::arg("name"));
  module.def("require_cuda_device", &require_cuda_device, py::arg("ordinal") = 0);

  py::class_<PyCudaWeights> weights =
      bind_class<PyCudaWeights>(module, "CudaWeights", py::module_local(), R"doc(Parameters in the memory of a GPU.

Made by pack_cuda. Immutable, and safe to share between threads.)doc");
  weights.attr("__module__") = "fastrnn";
  weights.def_property_readonly("cell", [](const PyCudaWeights& w) { return cell_name(w.weights->options().cell); })
      .def_property_readonly("input_size", [](const PyCudaWeights& w) { return w.weights->inputs(); })
      .def_property_readonly("hidden_size", [](const PyCudaWeights& w) { return w.weights->hidden(); })
      .def_property_readonly("output_size", [](const PyCudaWeights& w) { return w.weights->outputs(); })
      .def_property_readonly("dtype", [](const PyCudaWeights& w) { return w.weights->where().dtype; })
      .def_property_readonly(
          "device", [](const PyCudaWeights& w) { return "cuda:" + std::to_string(w.weights->where().ordinal); })
      .def_property_readonly("ordinal", [](const PyCudaWeights& w) { return w.weights->where().ordinal; })
      .def("__repr__", [](const PyCudaWeights& w) {
        return "fastrnn.CudaWeights(" + std::string(cell_name(w.weights->options().cell)) + ", " +
               std::to_string(w.weights->inputs()) + " -> " + std::to_string(w.weights->hidden()) + ", " +
               w.weights->where().dtype + ", cuda:" + std::to_string(w.weights->where().ordinal) + ")";
      });
  module.def("pack_cuda", &pack_cuda);

  bind_class<CudaCache>(module, "CudaCache", py::module_local())
      .def_property_readonly("cell", [](const CudaCache& c) { return cell_of(c.layers); })
      .def_property_readonly("hidden_size", [](const CudaCache& c) { return c.sizes.hidden; })
      .def_property_readonly("batch", [](const CudaCache& c) { return c.batch; })
      .def("backward", &backward);
  module.def("cuda_forward", &forward);
}

}  // namespace fastrnn::python
