// Which devices there are, or why there are none: every build can tell.
#include "fastrnn/cuda.hpp"

#if defined(FASTRNN_CUDA)
#include "cuda/plan/plan.h"
#include "cuda/runtime/check.h"
#include "cuda/shared/kernel_table.h"
#endif

namespace fastrnn {

namespace {

#if defined(FASTRNN_CUDA)

int attribute(cudaDeviceAttr which, int ordinal) {
  int value = 0;
  cuda::check(cudaDeviceGetAttribute(&value, which, ordinal), "cudaDeviceGetAttribute");
  return value;
}

CudaDevice describe(int ordinal) {
  cudaDeviceProp properties{};
  cuda::check(cudaGetDeviceProperties(&properties, ordinal), "cudaGetDeviceProperties");
  return {properties.name,
          attribute(cudaDevAttrComputeCapabilityMajor, ordinal),
          attribute(cudaDevAttrComputeCapabilityMinor, ordinal),
          attribute(cudaDevAttrMultiProcessorCount, ordinal),
          std::size_t(attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin, ordinal)),
          properties.totalGlobalMem};
}

std::string version_text(int version) {
  return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
}

#endif

}  // namespace

CudaStatus cuda_status() {
  CudaStatus status;
#if defined(FASTRNN_CUDA)
  status.built = true;
  status.version = CUDART_VERSION;
  int count = 0;
  const cudaError_t code = cudaGetDeviceCount(&count);
  if (code != cudaSuccess || count == 0) {
    const cudaError_t why = code != cudaSuccess ? code : cudaErrorNoDevice;
    cudaGetLastError();
    status.code = int(why);
    status.reason = "built with CUDA " + version_text(status.version) + "; no device: " + cuda::error_text(why);
    return status;
  }
  for (int i = 0; i < count; ++i) status.devices.push_back(describe(i));
#else
  status.reason = "not built in";
#endif
  return status;
}

std::vector<std::string> cuda_kernels() {
  std::vector<std::string> names;
#if defined(FASTRNN_CUDA)
  for (int i = 0; i < cuda::kKernelLists; ++i)
    for (const cuda::KernelEntry* e = cuda::kernel_lists()[i].begin; e != cuda::kernel_lists()[i].end; ++e)
      names.push_back(std::string(e->pass == cuda::Pass::backward ? "backward " : "forward ") +
                      cuda::kind_name(e->kind) + " " + cuda::type_name(e->type) + " " + cuda::tier_name(e->tier));
#endif
  return names;
}

}  // namespace fastrnn
