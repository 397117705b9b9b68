// One layer on an emulated device in the words of the public interface, from arrays of the host or of the device.
#pragma once

#include "cuda/run/run_stack.h"

namespace fastrnn::cuda {

class HostLayer {
 public:
  HostLayer(Runtime& runtime, const DeviceSpec& device, const CellOptions& options, const Parameters<float>& parameters,
            const ForwardArguments<float>& arguments, Type type, std::optional<Tier> tier, bool training = false,
            bool on_device = false)
      : layer_(runtime, options, parameters, on_device),
        run_(runtime, device, {{&layer_}, 1, Merge::concat, 0, type, tier}, arguments, training, on_device) {}

  void backward(const BackwardArguments<float>& g) const {
    run_.backward({g.dy, g.dh_n, g.dc_n, g.dx, g.dh0, g.dc0, {g}, 0});
  }

 private:
  DeviceLayer layer_;
  StackRun run_;
};

}  // namespace fastrnn::cuda
