#include "python/arrays/device_array.h"

#include <memory>

#include "python/arrays/dlpack.h"
#include "python/interpreter/gil.h"

namespace fastrnn::python {

namespace {

std::string type_text(const dlpack::DataType& type) {
  std::string bits = std::to_string(type.bits) + (type.lanes == 1 ? "" : " x " + std::to_string(type.lanes));
  switch (type.code) {
    case dlpack::kInt: return "int" + bits;
    case dlpack::kUnsigned: return "uint" + bits;
    case dlpack::kFloat: return "float" + bits;
    case dlpack::kBfloat: return "bfloat" + bits;
    case dlpack::kComplex: return "complex" + bits;
    case dlpack::kBool: return "bool";
    default: return "DLPack's type " + std::to_string(type.code);
  }
}

DeviceArray read_tensor(const std::string& name, const dlpack::Tensor& tensor, void* stream) {
  if (tensor.device.type != dlpack::kCuda && tensor.device.type != dlpack::kCudaManaged)
    wrong_type(name, "an array on a CUDA device",
               "one on a device of DLPack's type " + std::to_string(tensor.device.type));
  if (tensor.type.code != dlpack::kFloat || tensor.type.bits != 32 || tensor.type.lanes != 1)
    wrong_type(name, "float32 on a GPU", type_text(tensor.type));
  DeviceArray array;
  array.shape.assign(tensor.shape, tensor.shape + tensor.rank);
  std::vector<Index> strides;
  if (tensor.strides != nullptr) strides.assign(tensor.strides, tensor.strides + tensor.rank);
  if (!is_contiguous(array.shape, strides))
    wrong_value(name, "a contiguous array on a GPU",
                "strides " + shape_text(strides) + " for shape " + shape_text(array.shape));
  array.data = reinterpret_cast<float*>(static_cast<char*>(tensor.data) + tensor.byte_offset);
  if (reinterpret_cast<std::uintptr_t>(array.data) % alignof(float) != 0)
    wrong_value(name, "an aligned array", "an unaligned one");
  array.ordinal = tensor.device.ordinal;
  array.stream = stream;
  return array;
}

template <class Managed>
DeviceArray take(const std::string& name, const py::object& capsule, void* stream) {
  auto* managed = static_cast<Managed*>(PyCapsule_GetPointer(capsule.ptr(), Managed::kName));
  if constexpr (std::is_same_v<Managed, dlpack::ManagedVersioned>)
    if (managed->version.major != dlpack::kVersion.major)
      wrong_type(name, "an array of DLPack 1.x",
                 "one of " + std::to_string(managed->version.major) + "." + std::to_string(managed->version.minor));
  DeviceArray array = read_tensor(name, managed->tensor, stream);
  if (PyCapsule_SetName(capsule.ptr(), Managed::kUsed) != 0) throw py::error_already_set();
  array.owner = {managed, [](Managed* used) {
                   if (used->deleter != nullptr) used->deleter(used);
                 }};
  return array;
}

/// What a capsule that we made refers to.
template <class Managed>
struct Given {
  Managed managed{};
  DeviceArray array;
  std::vector<std::int64_t> shape, strides;
};

template <class Managed>
py::object give(const DeviceArray& array) {
  auto given = std::make_unique<Given<Managed>>();
  given->array = array;
  given->shape.assign(array.shape.begin(), array.shape.end());
  given->strides.resize(given->shape.size());
  std::int64_t stride = 1;
  for (std::size_t i = given->shape.size(); i-- > 0; stride *= given->shape[i]) given->strides[i] = stride;
  Managed& managed = given->managed;
  managed.tensor = {array.data,
                    {dlpack::kCuda, array.ordinal},
                    std::int32_t(array.shape.size()),
                    {dlpack::kFloat, 32, 1},
                    given->shape.data(),
                    given->strides.data(),
                    0};
  managed.owner = given.get();
  managed.deleter = [](Managed* used) { delete static_cast<Given<Managed>*>(used->owner); };
  if constexpr (std::is_same_v<Managed, dlpack::ManagedVersioned>) managed.version = dlpack::kVersion;
  PyObject* capsule = PyCapsule_New(&managed, Managed::kName, [](PyObject* ended) {
    if (!PyCapsule_IsValid(ended, Managed::kName)) return;  // it was taken: whoever took the array deletes it
    auto* unused = static_cast<Managed*>(PyCapsule_GetPointer(ended, Managed::kName));
    unused->deleter(unused);
  });
  if (capsule == nullptr) throw py::error_already_set();
  given.release();
  return py::reinterpret_steal<py::object>(capsule);
}

}  // namespace

Index DeviceArray::size() const {
  Index count = 1;
  for (const Index extent : shape) count *= extent;
  return count;
}

void* stream_of(std::uintptr_t handle) { return reinterpret_cast<void*>(handle); }
std::uintptr_t handle_of(void* stream) { return reinterpret_cast<std::uintptr_t>(stream); }

bool is_contiguous(const std::vector<Index>& shape, const std::vector<Index>& strides) {
  Index stride = 1;
  bool same = true;
  for (std::size_t i = strides.size(); i-- > 0; stride *= shape[i])
    same = same && (shape[i] <= 1 || strides[i] == stride);
  return same || stride == 0;
}

DeviceArray take_dlpack(const std::string& name, const py::object& capsule, void* stream) {
  if (PyCapsule_IsValid(capsule.ptr(), dlpack::ManagedVersioned::kName))
    return take<dlpack::ManagedVersioned>(name, capsule, stream);
  if (PyCapsule_IsValid(capsule.ptr(), dlpack::Managed::kName)) return take<dlpack::Managed>(name, capsule, stream);
  wrong_type(name, "a capsule of DLPack that was not used before", py::str(py::repr(capsule)));
}

py::object give_dlpack(const DeviceArray& array, std::uint32_t major) {
  return major >= dlpack::kVersion.major ? give<dlpack::ManagedVersioned>(array) : give<dlpack::Managed>(array);
}

std::shared_ptr<void> hold(const py::object& object) {
  return {object.inc_ref().ptr(), [](PyObject* held) {
            if (Py_IsInitialized() == 0) return;
            const GilAcquire gil;
            Py_DECREF(held);
          }};
}

}  // namespace fastrnn::python
