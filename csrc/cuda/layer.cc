// The public functions over a Runtime; where the backend is not built in, the error that says so.
#include "fastrnn/cuda_layer.hpp"

#include "cuda/run_device.h"
#include "cuda/run_host.h"

namespace fastrnn {

namespace {

using namespace cuda;

/// Checks what can be checked without a device, and then calls `run` with what that takes.
template <class Run>
void on_device(const CudaOptions& options, [[maybe_unused]] Run&& run) {
  [[maybe_unused]] const Type type = find_type(options.dtype);
  [[maybe_unused]] const std::optional<Tier> tier = find_tier(options.tier);
  require_cuda_device(options.ordinal);
#if defined(FASTRNN_CUDA)
  const DeviceSpec spec = device_spec(cuda_status().devices[std::size_t(options.ordinal)]);
  run(*open_runtime(options.ordinal, options.stream), spec, type, tier);
#endif
}

}  // namespace

void forward_cuda(const CellOptions& cell, const Parameters<float>& parameters,
                  const ForwardArguments<float>& arguments, const CudaOptions& options) {
  on_device(options, [&](Runtime& runtime, const DeviceSpec& spec, Type type, std::optional<Tier> tier) {
    forward_from_host(runtime, spec, cell, parameters, arguments, type, tier);
  });
}

void forward_cuda_device(const CellOptions& cell, const Parameters<float>& parameters,
                         const ForwardArguments<float>& arguments, const CudaOptions& options) {
  on_device(options, [&](Runtime& runtime, const DeviceSpec& spec, Type type, std::optional<Tier> tier) {
    forward_from_device(runtime, spec, cell, parameters, arguments, type, tier);
  });
}

}  // namespace fastrnn
