// The public function over CUDA itself; where the backend is not built in, the error that says so.
#include "fastrnn/cuda_layer.hpp"

#include "cuda/run_host.h"
#if defined(FASTRNN_CUDA)
#include "cuda/runtime_cuda.h"
#endif

namespace fastrnn {

void forward_cuda(const CellOptions& cell, const Parameters<float>& parameters,
                  const ForwardArguments<float>& arguments, const CudaOptions& options) {
  const cuda::Type type = cuda::find_type(options.dtype);
  const std::optional<cuda::Tier> tier = cuda::find_tier(options.tier);
  require_cuda_device(options.ordinal);
#if defined(FASTRNN_CUDA)
  const cuda::DeviceSpec spec = cuda::device_spec(cuda_status().devices[std::size_t(options.ordinal)]);
  cuda::CudaRuntime runtime(options.ordinal);
  forward_from_host(runtime, spec, cell, parameters, arguments, type, tier);
#else
  static_cast<void>(cell), static_cast<void>(parameters), static_cast<void>(arguments), static_cast<void>(type);
  static_cast<void>(tier);
#endif
}

}  // namespace fastrnn
