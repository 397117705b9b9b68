// run_forward() in the words of the public interface, for arrays on the device.
#pragma once

#include "cuda/run.h"
#include "fastrnn/fastrnn.hpp"

namespace fastrnn::cuda {

/// Throws Error, naming the argument, for what the kernels do not know.
void check_call(const CellOptions& cell, const Parameters<float>& parameters, const ForwardArguments<float>& arguments);

/// All but lengths, mask and reset_mask are on the device, x and y contiguous.
void forward_from_device(Runtime& runtime, const DeviceSpec& device, const CellOptions& cell,
                         const Parameters<float>& parameters, const ForwardArguments<float>& arguments, Type type,
                         std::optional<Tier> tier);

}  // namespace fastrnn::cuda
