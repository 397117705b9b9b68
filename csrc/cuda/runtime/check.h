// Every call of the CUDA runtime goes through check(): host code alone, included by no kernel.
#pragma once

#include <cuda_runtime_api.h>

#include <string>

#include "fastrnn/cuda.hpp"

namespace fastrnn::cuda {

/// "cudaErrorInsufficientDriver (35): CUDA driver version is insufficient for CUDA runtime version"
inline std::string error_text(cudaError_t code) {
  return std::string(cudaGetErrorName(code)) + " (" + std::to_string(int(code)) + "): " + cudaGetErrorString(code);
}

/// Throws where `code` is an error; `call` is what was called.
inline void check(cudaError_t code, const char* call) {
  if (code == cudaSuccess) return;
  cudaGetLastError();  // or the next call would report it again
  throw CudaError(int(code), std::string(call) + ": " + error_text(code));
}

}  // namespace fastrnn::cuda
