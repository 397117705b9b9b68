// run_forward() for arrays in the host's memory: what goes to the device, and what comes back.
#pragma once

#include "cuda/run.h"
#include "fastrnn/fastrnn.hpp"

namespace fastrnn::cuda {

void forward_from_host(Runtime& runtime, const DeviceSpec& device, const CellOptions& cell,
                       const Parameters<float>& parameters, const ForwardArguments<float>& arguments, Type type,
                       std::optional<Tier> tier);

}  // namespace fastrnn::cuda
