// fastrnn.DeviceArray, and the forward pass from such arrays to such arrays.
#include <pybind11/stl.h>

#include <optional>

#include "cuda_call.h"
#include "device_array.h"
#include "fastrnn/cuda_layer.hpp"
#include "fastrnn/cuda_memory.hpp"

namespace fastrnn::python {

namespace {

std::string device_text(const DeviceArray& array) { return "cuda:" + std::to_string(array.ordinal); }

/// `stream` of the array API's __dlpack__: whoever reads in that stream's order finds the array complete.
void make_ready(const DeviceArray& array, py::handle stream) {
  Index handle = 1;  // None: the legacy default stream
  if (!stream.is_none()) handle = integer("stream", stream, -1, PTRDIFF_MAX);
  if (handle == -1) return;
  if (handle == 0) wrong_value("stream", "a stream, 1, 2 or -1", "0, which is ambiguous");
  order_cuda_streams(array.ordinal, array.stream, stream_of(std::uintptr_t(handle)));
}

py::object dlpack(const DeviceArray& array, py::handle stream, py::handle max_version, py::handle device,
                  py::handle copy) {
  if (!copy.is_none() && py::cast<bool>(copy)) throw py::buffer_error("copy: expected None or False, got True");
  if (!device.is_none() && py::cast<std::pair<int, int>>(device) != std::pair(2, array.ordinal))
    throw py::buffer_error("dl_device: expected (2, " + std::to_string(array.ordinal) + "), got " +
                           std::string(py::str(device)));
  make_ready(array, stream);
  return give_dlpack(array, max_version.is_none() ? 0 : py::cast<std::pair<std::uint32_t, int>>(max_version).first);
}

py::dict interface(const DeviceArray& array) {
  py::dict result;
  result["shape"] = py::tuple(py::cast(array.shape));
  result["typestr"] = "<f4";
  result["data"] = py::make_tuple(reinterpret_cast<std::uintptr_t>(array.data), false);
  result["strides"] = py::none();
  result["version"] = 3;
  result["stream"] = handle_of(array.stream);
  return result;
}

/// Memory that __cuda_array_interface__ describes; `strides` in bytes.
DeviceArray from_interface(const std::string& name, std::uintptr_t pointer, const std::vector<Index>& shape,
                           const std::optional<std::vector<Index>>& strides, int ordinal, std::uintptr_t stream,
                           const py::object& owner) {
  std::vector<Index> elements;
  if (strides)
    for (const Index bytes : *strides) elements.push_back(bytes % 4 == 0 ? bytes / 4 : -1);
  if (strides && (strides->size() != shape.size() || !is_contiguous(shape, elements)))
    wrong_value(name, "a contiguous array on a GPU",
                "strides " + shape_text(*strides) + " in bytes for shape " + shape_text(shape));
  if (pointer % alignof(float) != 0) wrong_value(name, "an aligned array", "an unaligned one");
  return {reinterpret_cast<float*>(pointer), shape, ordinal, stream_of(stream), hold(owner)};
}

DeviceArray new_array(std::vector<Index> shape, int ordinal, void* stream, const std::shared_ptr<void>& stream_owner) {
  // The memory is given back to the stream, which must still be there then.
  struct Owner {
    std::shared_ptr<void> stream, memory;  // the last goes first
  };
  DeviceArray array{nullptr, std::move(shape), ordinal, stream, nullptr};
  const std::size_t bytes = std::size_t(array.size()) * sizeof(float);
  const auto owner = std::make_shared<Owner>(Owner{stream_owner, allocate_cuda(bytes, ordinal, stream)});
  array.data = static_cast<float*>(owner->memory.get());
  array.owner = owner;
  return array;
}

const float* data(const DeviceArray* array) { return array != nullptr ? array->data : nullptr; }

/// For what was given to the stream before a call failed.
void wait_quietly(int ordinal, void* stream) {
  try {
    wait_for_cuda_stream(ordinal, stream);
  } catch (const CudaError&) {  // the first error is the one to tell
  }
}

/// Calls `work`; with `wait` returns only when the stream has done it, on an error, too.
template <class Work>
void run(int ordinal, void* stream, bool wait, const Work& work) {
  const py::gil_scoped_release release;
  try {
    work();
  } catch (...) {
    if (wait) wait_quietly(ordinal, stream);
    throw;
  }
  if (wait) wait_for_cuda_stream(ordinal, stream);
}

/// What a forward pass in training left on a GPU, what it refers to, and which gradients it has.
struct DeviceCache {
  CudaShape shape;
  int ordinal;
  void* stream;
  std::shared_ptr<void> stream_owner;
  std::vector<std::shared_ptr<void>> arrays;
  std::unique_ptr<CudaSaved> saved;  // goes first

  py::dict backward(const DeviceArray* dy, const DeviceArray* dh_n, const DeviceArray* dc_n, bool need_dx,
                    bool wait) const {
    py::dict result;
    const auto room = [&](const char* name, std::vector<Index> shape) {
      DeviceArray array = new_array(std::move(shape), ordinal, stream, stream_owner);
      float* data = array.data;
      result[name] = std::move(array);
      return data;
    };
    const BackwardArguments<float> gradients = shape.gradients(data(dy), data(dh_n), data(dc_n), need_dx, room);
    run(ordinal, stream, wait, [&] { saved->backward(gradients); });
    return result;
  }
};

/// Shapes are checked by functional/_device.py. `wait`: arguments may go as soon as this returns, whatever the stream.
py::tuple forward(const std::string& cell, const py::dict& given, const std::string& dtype, const std::string& tier,
                  std::uintptr_t stream, const py::object& stream_owner, bool wait, const DeviceArray& x,
                  const DeviceArray& w_ih, const DeviceArray& w_hh, const DeviceArray* b_ih, const DeviceArray* b_hh,
                  const DeviceArray* w_peep, const DeviceArray* h0, const DeviceArray* c0,
                  const std::optional<py::array_t<Index, py::array::c_style>>& lengths, bool reverse, bool batch_first,
                  bool training) {
  CellOptions options = parse_cell_options(cell, given);
  if (w_peep != nullptr) options.peephole = w_peep->shape.size() == 3 ? Peephole::full : Peephole::diagonal;
  Parameters<float> parameters;
  parameters.inputs = w_ih.shape[1];
  parameters.hidden = w_hh.shape[1];
  parameters.w_ih = w_ih.data;
  parameters.w_hh = w_hh.data;
  parameters.b_ih = data(b_ih);
  parameters.b_hh = data(b_hh);
  parameters.w_peep = data(w_peep);
  const int time = batch_first ? 1 : 0;
  const Index steps = x.shape[time], batch = x.shape[1 - time], hidden = parameters.hidden;
  const bool has_c = options.cell == CellType::lstm;
  void* const on = stream_of(stream);
  const std::shared_ptr<void> held = hold(stream_owner);
  DeviceArray y = new_array({x.shape[0], x.shape[1], hidden}, x.ordinal, on, held);
  DeviceArray h_n = new_array({1, batch, hidden}, x.ordinal, on, held);
  DeviceArray c_n = new_array({1, has_c ? batch : 0, hidden}, x.ordinal, on, held);
  ForwardArguments<float> arguments;
  arguments.steps = steps;
  arguments.batch = batch;
  const auto sequence = [&](auto* data, Index width) {
    return Sequence<std::remove_pointer_t<decltype(data)>>{data, (batch_first ? 1 : batch) * width,
                                                           (batch_first ? steps : 1) * width};
  };
  arguments.x = sequence(static_cast<const float*>(x.data), parameters.inputs);
  arguments.h0 = data(h0);
  arguments.c0 = data(c0);
  arguments.lengths = lengths ? lengths->data() : nullptr;
  arguments.reverse = reverse;
  arguments.y = sequence(y.data, hidden);
  arguments.h_n = h_n.data;
  arguments.c_n = has_c ? c_n.data : nullptr;
  const CudaOptions where{x.ordinal, dtype, tier, on};
  std::unique_ptr<CudaSaved> saved;
  run(x.ordinal, on, wait, [&] {
    if (training)
      saved = std::make_unique<CudaSaved>(options, parameters, arguments, where, /*there=*/true);
    else
      forward_cuda_device(options, parameters, arguments, where);
  });
  py::object cache = py::none();
  if (training) {
    const CudaShape shape(cell, options, parameters, steps, batch);
    std::unique_ptr<DeviceCache> kept(new DeviceCache{shape, x.ordinal, on, held, {}, std::move(saved)});
    for (const DeviceArray* array : {&x, &w_ih, &w_hh, b_ih, b_hh, w_peep, h0, c0, const_cast<const DeviceArray*>(&y)})
      if (array != nullptr) kept->arrays.push_back(array->owner);
    cache = py::cast(std::move(kept));
  }
  return py::make_tuple(std::move(y), std::move(h_n), has_c ? py::cast(std::move(c_n)) : py::none(), cache);
}

}  // namespace

void bind_device_array(py::module_& module) {
  py::class_<DeviceArray> type(module, "DeviceArray", py::module_local(),
                               R"(A float32 array in the memory of a GPU, what
a function returns where the library of its arguments is not known: for any library that reads DLPack or
__cuda_array_interface__. Its memory is given back when the last user of it is gone.)");
  type.attr("__module__") = "fastrnn";
  type.def_property_readonly("shape", [](const DeviceArray& a) { return py::tuple(py::cast(a.shape)); })
      .def_property_readonly("ndim", [](const DeviceArray& a) { return a.shape.size(); })
      .def_property_readonly("dtype", [](const DeviceArray&) { return py::dtype::of<float>(); })
      .def_property_readonly("nbytes", [](const DeviceArray& a) { return a.size() * Index(sizeof(float)); })
      .def_property_readonly("device", &device_text, "'cuda:N'")
      .def_property_readonly(
          "stream", [](const DeviceArray& a) { return handle_of(a.stream); }, "That in whose order it is filled.")
      .def_property_readonly("__cuda_array_interface__", &interface)
      .def("__dlpack_device__", [](const DeviceArray& a) { return py::make_tuple(2, a.ordinal); })
      .def("__dlpack__", &dlpack, py::kw_only(), py::arg("stream") = py::none(), py::arg("max_version") = py::none(),
           py::arg("dl_device") = py::none(), py::arg("copy") = py::none())
      .def("__repr__", [](const DeviceArray& a) {
        return "fastrnn.DeviceArray(shape=" + shape_text(a.shape) + ", float32, " + device_text(a) + ")";
      });
  module.def("device_array_from_dlpack", [](const std::string& name, const py::object& capsule, std::uintptr_t stream) {
    return take_dlpack(name, capsule, stream_of(stream));
  });
  module.def("device_array_from_interface", &from_interface);
  module.def("cuda_ordinal_of",
             [](std::uintptr_t pointer) { return cuda_ordinal_of(reinterpret_cast<const void*>(pointer)); });
  module.def("order_cuda_streams", [](int ordinal, std::uintptr_t before, std::uintptr_t after) {
    order_cuda_streams(ordinal, stream_of(before), stream_of(after));
  });
  module.def("forward_cuda_device", &forward);
  py::class_<DeviceCache>(module, "DeviceCache", py::module_local())
      .def_property_readonly("cell", [](const DeviceCache& c) { return c.shape.cell; })
      .def_property_readonly("steps", [](const DeviceCache& c) { return c.shape.steps; })
      .def_property_readonly("batch", [](const DeviceCache& c) { return c.shape.batch; })
      .def_property_readonly("hidden_size", [](const DeviceCache& c) { return c.shape.hidden; })
      .def("backward", &DeviceCache::backward);
}

}  // namespace fastrnn::python
