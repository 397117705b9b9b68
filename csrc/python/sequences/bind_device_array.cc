// fastrnn.DeviceArray, and calls on a GPU from such arrays to such arrays.
#include <pybind11/stl.h>

#include <optional>

#include "fastrnn/cuda_memory.hpp"
#include "python/sequences/cuda_weights.h"
#include "python/sequences/sequences.h"

namespace fastrnn::python {

namespace {

std::string device_text(const DeviceArray& array) { return "cuda:" + std::to_string(array.ordinal); }

/// Orders `stream`, the argument of the array API's __dlpack__, behind the array's: what is enqueued there from now on
/// finds the array complete.
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

/// An array from the fields of __cuda_array_interface__; `strides` are in bytes.
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
  // The memory is freed in the order of the stream, which must still exist then.
  struct Owner {
    std::shared_ptr<void> stream, memory;  // destroyed in the opposite order: the memory first
  };
  DeviceArray array{nullptr, std::move(shape), ordinal, stream, nullptr};
  const std::size_t bytes = std::size_t(array.size()) * sizeof(float);
  const auto owner = std::make_shared<Owner>(Owner{stream_owner, allocate_cuda(bytes, ordinal, stream)});
  array.data = static_cast<float*>(owner->memory.get());
  array.owner = owner;
  return array;
}

const float* data(const DeviceArray* array) { return array != nullptr ? array->data : nullptr; }

void check_device_shape(const char* name, const DeviceArray* array, const std::vector<Index>& shape) {
  if (array != nullptr && array->shape != shape)
    wrong_value(name, "shape " + shape_text(shape), shape_text(array->shape));
}

/// A source of parameters for read_parameters(): arrays on the device, by name.
class DeviceParameters {
 public:
  DeviceParameters(const py::dict& given, std::vector<std::shared_ptr<void>>& owners)
      : given_(given), owners_(owners) {}

  bool has(const char* name) const { return given_.contains(name); }
  std::vector<Index> shape(const char* name) const { return array(name).shape; }
  const float* data(const char* name) {
    owners_.push_back(array(name).owner);
    return array(name).data;
  }

 private:
  const DeviceArray& array(const char* name) const {
    if (!has(name)) wrong_type(name, "an array", "NoneType");
    return given_[name].cast<const DeviceArray&>();
  }

  const py::dict& given_;
  std::vector<std::shared_ptr<void>>& owners_;
};

/// Weights that refer to the caller's arrays on the device; what is computed from them is in the order of `stream`.
PyCudaWeights refer_cuda(const std::string& cell, const py::dict& given, const py::dict& settings, int ordinal,
                         const std::string& dtype, std::uintptr_t stream, const py::object& stream_owner) {
  CellOptions options = parse_cell_options(cell, settings);
  PyCudaWeights result;
  result.owners.push_back(hold(stream_owner));
  DeviceParameters source(given, result.owners);
  const Parameters<float> parameters = read_parameters<float>(options, source, result.parameters);
  const GilRelease release;
  result.weights = std::make_shared<const CudaWeights>(
      options, parameters, CudaOptions{ordinal, dtype, stream_of(stream)}, /*on_device=*/true);
  return result;
}

/// Waits after an error, until the stream no longer uses the arguments.
void wait_quietly(int ordinal, void* stream) {
  try {
    wait_for_cuda_stream(ordinal, stream);
  } catch (const CudaError&) {  // the first error is the one to tell
  }
}

/// Calls `work`, which enqueues; with `wait`, returns or throws only when the stream is done.
template <class Work>
void run(int ordinal, void* stream, bool wait, const Work& work) {
  const GilRelease release;
  try {
    work();
  } catch (...) {
    if (wait) wait_quietly(ordinal, stream);
    throw;
  }
  if (wait) wait_for_cuda_stream(ordinal, stream);
}

/// The device and the stream of a call.
struct Place {
  int ordinal;
  void* stream;
  std::shared_ptr<void> stream_owner;

  DeviceArray room(std::vector<Index> shape) const {
    return new_array(std::move(shape), ordinal, stream, stream_owner);
  }
};

/// What a forward pass in training keeps on a GPU, and the arrays that it refers to.
struct DeviceCache {
  CudaLayers layers;
  CallSizes sizes;
  Place place;
  Index steps, batch, packed_rows;  // 0: rows are not packed
  bool batch_first;
  std::vector<std::shared_ptr<void>> arrays;
  std::unique_ptr<CudaSaved> saved;  // goes first

  std::vector<Index> shape(Index width) const {
    if (packed_rows > 0) return {packed_rows, width};
    return batch_first ? std::vector<Index>{batch, steps, width} : std::vector<Index>{steps, batch, width};
  }
  template <class T>
  Sequence<T> view(T* data, Index width) const {
    if (packed_rows > 0) return {data, 0, width};
    return {data, (batch_first ? 1 : batch) * width, (batch_first ? steps : 1) * width};
  }

  py::tuple backward(const DeviceArray* dy, const DeviceArray* dh_n, const DeviceArray* dc_n, bool need_dx,
                     bool wait) const {
    const std::vector<Index> h_shape = sizes.h_shape(batch), c_shape = sizes.c_shape(batch);
    check_device_shape("dy", dy, shape(sizes.merged));
    check_device_shape("dh_n", dh_n, h_shape);
    check_device_shape("dc_n", dc_n, c_shape);
    StackBackwardArguments<float> arguments;
    arguments.dy = view(data(dy), sizes.merged);
    arguments.dh_n = data(dh_n);
    arguments.dc_n = data(dc_n);
    py::object dx = py::none(), dc0 = py::none();
    if (need_dx) {
      DeviceArray array = place.room(shape(sizes.inputs));
      arguments.dx = view(array.data, sizes.inputs);
      dx = py::cast(std::move(array));
    }
    DeviceArray dh0 = place.room(h_shape);
    arguments.dh0 = dh0.data;
    if (sizes.states > 0) {
      DeviceArray array = place.room(c_shape);
      arguments.dc0 = array.data;
      dc0 = py::cast(std::move(array));
    }
    py::list parameters;
    for (const auto& row : layers) {
      py::list directions;
      for (const PyCudaWeights& one : row) {
        py::dict gradients;
        place_gradients(one.parameters, arguments.parameters.emplace_back(),
                        [&](const char* name, const std::vector<Index>& shape) {
                          DeviceArray array = place.room(shape);
                          float* const memory = array.data;
                          gradients[name] = std::move(array);
                          return memory;
                        });
        directions.append(gradients);
      }
      parameters.append(directions);
    }
    run(place.ordinal, place.stream, wait, [&] { saved->backward(arguments); });
    return py::make_tuple(dx, std::move(dh0), dc0, parameters);
  }
};

py::tuple forward(py::handle given, const DeviceArray& x, const DeviceArray* h0, const DeviceArray* c0,
                  py::handle lengths_given, bool reverse, bool batch_first, bool training, py::handle run_given,
                  const std::string& merge, py::handle dropout, const std::string& tier, std::uintptr_t stream,
                  const py::object& stream_owner, bool wait) {
  const CudaLayers layers = cuda_layers(given);
  const CudaStack stack = cuda_stack(layers, merge, dropout);
  const CallSizes sizes = CallSizes::of_stack(stack);
  const std::vector<Index> rows = parse_batch_sizes(run_given);  // of each step, where they are packed
  if (!rows.empty() && batch_first) throw Error("batch_first: expected False beside batch_sizes, got True");
  if (rows.empty() && x.shape.size() != 3)
    wrong_value("x", batch_first ? "shape (B, T, I)" : "shape (T, B, I)", shape_text(x.shape));
  const Place place{x.ordinal, stream_of(stream), hold(stream_owner)};
  std::unique_ptr<DeviceCache> cache(new DeviceCache{layers, sizes, place, 0, 0, 0, batch_first, {}, nullptr});
  cache->steps = rows.empty() ? x.shape[batch_first ? 1 : 0] : Index(rows.size());
  cache->batch = rows.empty() ? x.shape[batch_first ? 0 : 1] : rows[0];
  for (const Index size : rows) cache->packed_rows += size;
  const Index steps = cache->steps, batch = cache->batch;
  check_device_shape("x", &x, cache->shape(sizes.inputs));
  check_device_shape("h0", h0, sizes.h_shape(batch));
  check_device_shape("c0", c0, sizes.c_shape(batch));
  ForwardArguments<float> arguments;
  arguments.steps = steps;
  arguments.batch = batch;
  arguments.x = cache->view(static_cast<const float*>(x.data), sizes.inputs);
  arguments.h0 = data(h0);
  arguments.c0 = data(c0);
  std::vector<Index> lengths;
  if (!lengths_given.is_none()) {
    lengths = length_list(lengths_given, batch, steps);
    arguments.lengths = lengths.data();
  }
  arguments.reverse = reverse;
  if (!rows.empty()) arguments.batch_sizes = rows.data();
  const ParsedRun options = parse_run(run_given, {steps, batch, batch_first}, training);
  options.apply(arguments);
  DeviceArray y = place.room(cache->shape(sizes.merged)), h_n = place.room(sizes.h_shape(batch)),
              c_n = place.room(sizes.c_shape(batch));
  arguments.y = cache->view(y.data, sizes.merged);
  arguments.h_n = h_n.data;
  if (sizes.states > 0) arguments.c_n = c_n.data;
  const CudaRun where{tier, place.stream, /*on_device=*/true};
  run(place.ordinal, place.stream, wait, [&] {
    if (training)
      cache->saved = std::make_unique<CudaSaved>(stack, arguments, where);
    else
      forward_cuda(stack, arguments, where);
  });
  py::object kept = py::none();
  if (training) {
    for (const DeviceArray* array : {&x, h0, c0, const_cast<const DeviceArray*>(&y)})
      if (array != nullptr) cache->arrays.push_back(array->owner);
    kept = py::cast(std::move(cache));
  }
  return py::make_tuple(std::move(y), std::move(h_n), sizes.states > 0 ? py::cast(std::move(c_n)) : py::none(), kept);
}

/// The entries along the first axis, each with a first axis of 1; they share the memory.
std::vector<DeviceArray> parts_of(const DeviceArray& array) {
  std::vector<DeviceArray> parts;
  DeviceArray part = array;
  part.shape[0] = 1;
  for (Index i = 0; i < array.shape[0]; ++i, part.data += part.size()) parts.push_back(part);
  return parts;
}

}  // namespace

void bind_device_array(py::module_& module) {
  py::class_<DeviceArray> type = bind_class<DeviceArray>(module, "DeviceArray", py::module_local(),
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
  module.def("device_array_parts", &parts_of);
  module.def("refer_cuda", &refer_cuda);
  module.def("cuda_forward_device", &forward);
  bind_class<DeviceCache>(module, "DeviceCache", py::module_local())
      .def_property_readonly("cell", [](const DeviceCache& c) { return cell_of(c.layers); })
      .def_property_readonly("hidden_size", [](const DeviceCache& c) { return c.sizes.hidden; })
      .def_property_readonly("batch", [](const DeviceCache& c) { return c.batch; })
      .def("backward", &DeviceCache::backward);
}

}  // namespace fastrnn::python
