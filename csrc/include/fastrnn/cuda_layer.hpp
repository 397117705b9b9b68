// A layer on a GPU, from arrays in the host's memory to arrays there.
#pragma once

#include "fastrnn/cuda.hpp"
#include "fastrnn/fastrnn.hpp"

namespace fastrnn {

struct CudaOptions {
  int ordinal = 0;
  std::string dtype = "float32";  // of the weights and of what they meet: or "bfloat16", "float16"
  std::string tier;               // of plan.hpp; empty for the fastest
};

/// As forward(), in inference. Masks, resets, packed batches and the options of training are refused, and so is a cell
/// without a kernel; the error says which. The kernels have run in emulation only: results on a GPU are unproved.
FASTRNN_API void forward_cuda(const CellOptions& cell, const Parameters<float>& parameters,
                              const ForwardArguments<float>& arguments, const CudaOptions& options);

}  // namespace fastrnn
