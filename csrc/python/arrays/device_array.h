// Arrays on a GPU: taken from other libraries without a copy, and given to them.
#pragma once

#include "python/arrays/array_view.h"

namespace fastrnn::python {

/// A contiguous float32 array in the memory of a CUDA device.
struct DeviceArray {
  float* data = nullptr;
  std::vector<Index> shape;
  int ordinal = 0;
  void* stream = nullptr;  // the contents are complete once the work enqueued here so far is done
  std::shared_ptr<void> owner;

  Index size() const;
};

/// A stream from the integer that the protocols use: 1 and 2 are the default streams, others are addresses.
void* stream_of(std::uintptr_t handle);
std::uintptr_t handle_of(void* stream);

/// Whether the array is contiguous; strides are in elements, none means that it is.
bool is_contiguous(const std::vector<Index>& shape, const std::vector<Index>& strides);

/// Takes the array out of a DLPack capsule, versioned or not, and marks the capsule as used. After an error it is not
/// marked, and frees the array itself.
DeviceArray take_dlpack(const std::string& name, const py::object& capsule, void* stream);

/// A DLPack capsule of major version `major`; 0 is the form without a version.
py::object give_dlpack(const DeviceArray& array, std::uint32_t major);

/// Holds a Python object until the last owner is gone, on whichever thread that is.
std::shared_ptr<void> hold(const py::object& object);

}  // namespace fastrnn::python
