// The public functions over a Runtime; where the backend is not built in, the error that says so.
#include "fastrnn/cuda_layer.hpp"

#include <vector>

#include "cuda/run_device.h"
#include "cuda/run_host.h"

namespace fastrnn {

namespace {

using namespace cuda;

#if defined(FASTRNN_CUDA)
/// Asked once: what a device is does not change, and the runtime takes long to tell.
const DeviceSpec& spec_of(int ordinal) {
  static const std::vector<DeviceSpec> specs = [] {
    require_cuda_device();  // throws where there is none, and the next call asks again
    std::vector<DeviceSpec> found;
    for (const CudaDevice& device : cuda_status().devices) found.push_back(device_spec(device));
    return found;
  }();
  if (ordinal < 0 || ordinal >= int(specs.size())) require_cuda_device(ordinal);
  return specs[std::size_t(ordinal)];
}
#endif

/// Checks what can be checked without a device, and then calls `run` with what that takes.
template <class Run>
void on_device(const CudaOptions& options, [[maybe_unused]] Run&& run) {
  [[maybe_unused]] const Type type = find_type(options.dtype);
  [[maybe_unused]] const std::optional<Tier> tier = find_tier(options.tier);
#if defined(FASTRNN_CUDA)
  const DeviceSpec& spec = spec_of(options.ordinal);
  run(open_runtime(options.ordinal, options.stream), spec, type, tier);
#else
  require_cuda_device(options.ordinal);
#endif
}

}  // namespace

void forward_cuda(const CellOptions& cell, const Parameters<float>& parameters,
                  const ForwardArguments<float>& arguments, const CudaOptions& options) {
  on_device(options,
            [&](std::unique_ptr<Runtime> runtime, const DeviceSpec& spec, Type type, std::optional<Tier> tier) {
              forward_from_host(*runtime, spec, cell, parameters, arguments, type, tier);
            });
}

void forward_cuda_device(const CellOptions& cell, const Parameters<float>& parameters,
                         const ForwardArguments<float>& arguments, const CudaOptions& options) {
  on_device(options,
            [&](std::unique_ptr<Runtime> runtime, const DeviceSpec& spec, Type type, std::optional<Tier> tier) {
              forward_from_device(*runtime, spec, cell, parameters, arguments, type, tier);
            });
}

struct CudaSaved::Data {
  std::unique_ptr<Runtime> runtime;
  std::unique_ptr<HostLayer> layer;
};

CudaSaved::CudaSaved(const CellOptions& cell, const Parameters<float>& parameters,
                     const ForwardArguments<float>& arguments, const CudaOptions& options, [[maybe_unused]] bool there)
    : data_(std::make_unique<Data>()) {
  on_device(options,
            [&](std::unique_ptr<Runtime> runtime, const DeviceSpec& spec, Type type, std::optional<Tier> tier) {
              data_->runtime = std::move(runtime);
              data_->layer = std::make_unique<HostLayer>(*data_->runtime, spec, cell, parameters, arguments, type, tier,
                                                         /*training=*/true, there);
              data_->layer->forward();
            });
}

CudaSaved::~CudaSaved() = default;

void CudaSaved::backward([[maybe_unused]] const BackwardArguments<float>& arguments) const {
#if defined(FASTRNN_CUDA)
  data_->layer->backward(arguments);
#endif
}

}  // namespace fastrnn
