// A layer on a device for arrays in the host's memory: what goes there, and what comes back.
#pragma once

#include <memory>
#include <vector>

#include "cuda/run_device.h"

namespace fastrnn::cuda {

/// Buffers, and their contents.
class Upload {
 public:
  explicit Upload(Runtime& runtime) : runtime_(runtime) {}

  template <class T = float>
  T* room(Index count) {
    buffers_.push_back(std::make_unique<Buffer>(runtime_, std::size_t(count) * sizeof(T)));
    return buffers_.back()->as<T>();
  }
  /// Null stays null.
  template <class T>
  const T* send(const T* host, Index count) {
    if (host == nullptr || count == 0) return nullptr;
    T* device = room<T>(count);
    runtime_.copy_in(device, host, std::size_t(count) * sizeof(T));
    return device;
  }
  /// Rows (T,B,width), put together.
  const float* send(const Sequence<const float>& host, Index steps, Index batch, Index width);

 private:
  Runtime& runtime_;
  std::vector<std::unique_ptr<Buffer>> buffers_;
};

/// One call: the constructor checks it and sends its arrays, forward() writes those of `arguments`. In training what a
/// backward pass needs stays on the device, and the host's arrays are not needed again.
class HostLayer {
 public:
  HostLayer(Runtime& runtime, const DeviceSpec& device, const CellOptions& cell, const Parameters<float>& parameters,
            const ForwardArguments<float>& arguments, Type type, std::optional<Tier> tier, bool training = false);

  void forward();
  /// After forward(), in training; as often as wanted.
  void backward(const BackwardArguments<float>& gradients) const;

 private:
  void receive(float* host, const float* device, Index count) const;
  void receive(const Sequence<float>& host, const float* device, Index width) const;

  Runtime& runtime_;
  const DeviceSpec device_;
  const CellOptions cell_;
  const std::optional<Tier> tier_;
  ForwardArguments<float> arguments_;  // the host's
  Upload upload_;
  RowSteps steps_;
  ForwardJob job_;
  Index inputs_, hidden_, width_, gates_, c_states_;
};

inline void forward_from_host(Runtime& runtime, const DeviceSpec& device, const CellOptions& cell,
                              const Parameters<float>& parameters, const ForwardArguments<float>& arguments, Type type,
                              std::optional<Tier> tier) {
  HostLayer(runtime, device, cell, parameters, arguments, type, tier).forward();
}

}  // namespace fastrnn::cuda
