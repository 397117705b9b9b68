// Weights on a GPU, for calls with NumPy arrays and for calls with arrays on the device.
#pragma once

#include "fastrnn/cuda_layer.hpp"
#include "python/arrays/device_array.h"
#include "python/sequences/stacks.h"

namespace fastrnn::python {

/// Weights on a GPU, and which parameters were given, with their shapes.
struct PyCudaWeights {
  std::vector<std::shared_ptr<void>> owners;   // keep the caller's arrays and stream alive where they are not copied
  std::shared_ptr<const CudaWeights> weights;  // go before their owners
  ParameterShapes parameters;
};

using CudaLayers = std::vector<std::vector<PyCudaWeights>>;  // [layer][direction]

CudaLayers cuda_layers(py::handle given);
CudaStack cuda_stack(const CudaLayers& layers, const std::string& merge, py::handle dropout);

/// The cell that a cache is of, for an error.
inline const char* cell_of(const CudaLayers& layers) { return cell_name(layers[0][0].weights->options().cell); }

}  // namespace fastrnn::python
