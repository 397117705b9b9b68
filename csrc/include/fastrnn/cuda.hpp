// The CUDA backend from outside: its devices, or the reason why there are none. No CUDA header is needed, and a build
// without the backend has the same functions.
#pragma once

#include <stdexcept>
#include <string>
#include <vector>

#include "fastrnn/export.h"

namespace fastrnn {

/// There is no device to run on, or a call of the CUDA runtime failed.
class FASTRNN_API CudaError : public std::runtime_error {
 public:
  /// `code`: a cudaError_t, 0 where the backend is not built in.
  CudaError(int code, const std::string& message) : std::runtime_error(message), code_(code) {}
  int code() const noexcept { return code_; }

 private:
  int code_;
};

struct CudaDevice {
  std::string name;
  int major, minor;           // compute capability
  int processors;             // streaming multiprocessors
  std::size_t shared_memory;  // bytes that a block may have
  std::size_t memory;         // bytes
};

struct CudaStatus {
  bool built = false;               // the backend is part of this build
  int version = 0;                  // the CUDA runtime of this build: 13000 is 13.0
  int code = 0;                     // the cudaError_t that explains why there is no device
  std::string reason;               // the same in words; empty where there are devices
  std::vector<CudaDevice> devices;  // in the order of CUDA
};

/// Asks the driver anew each time; a machine without one is a normal answer.
FASTRNN_API CudaStatus cuda_status();

/// The recurrence kernels in this build, e.g. "forward lstm bfloat16 cluster"; none without the backend.
FASTRNN_API std::vector<std::string> cuda_kernels();

/// N of "cuda:N", 0 of "cuda". Throws std::invalid_argument for anything else.
FASTRNN_API int parse_cuda_device(const std::string& name);

/// Throws CudaError, with the reason, unless device number `ordinal` exists.
FASTRNN_API void require_cuda_device(int ordinal = 0);

}  // namespace fastrnn
