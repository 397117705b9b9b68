// Arrays on a GPU: taken from other libraries without a copy, and given to them.
#pragma once

#include "python/arrays/array_view.h"

namespace fastrnn::python {

/// Float32, contiguous, in memory of a CUDA device.
struct DeviceArray {
  float* data = nullptr;
  std::vector<Index> shape;
  int ordinal = 0;
  void* stream = nullptr;  // what it holds is there once this has come so far
  std::shared_ptr<void> owner;

  Index size() const;
};

/// A stream as protocols write it: 1 and 2 are the default ones, others addresses.
void* stream_of(std::uintptr_t handle);
std::uintptr_t handle_of(void* stream);

/// Whether the elements lie one after the other; strides in elements, empty: they do.
bool is_contiguous(const std::vector<Index>& shape, const std::vector<Index>& strides);

/// What a capsule of DLPack has, old or versioned; it is marked as used. On an error it is not, and so frees what it
/// has itself.
DeviceArray take_dlpack(const std::string& name, const py::object& capsule, void* stream);

/// A capsule for `major` of DLPack: 0 is the form without a version.
py::object give_dlpack(const DeviceArray& array, std::uint32_t major);

/// Holds a Python object until the last owner is gone, on whichever thread that is.
std::shared_ptr<void> hold(const py::object& object);

}  // namespace fastrnn::python
