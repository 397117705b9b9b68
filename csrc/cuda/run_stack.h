// A layer on a device for arrays in the host's memory: what goes there, and what comes back. Or for arrays that are
// there already, where nothing need go.
#pragma once

#include <memory>
#include <vector>

#include "cuda/run_device.h"

namespace fastrnn::cuda {

/// Buffers, and their contents. `there`: arrays are on the device, and are taken and written where they lie.
class Upload {
 public:
  explicit Upload(Runtime& runtime, bool there = false) : runtime_(runtime), there_(there) {}

  template <class T = float>
  T* room(Index count) {
    buffers_.push_back(std::make_unique<Buffer>(runtime_, std::size_t(count) * sizeof(T)));
    return buffers_.back()->as<T>();
  }
  /// Null stays null.
  template <class T>
  const T* send(const T* host, Index count) {
    if (there_) return host;
    if (host == nullptr || count == 0) return nullptr;
    T* device = room<T>(count);
    runtime_.copy_in(device, host, std::size_t(count) * sizeof(T));
    return device;
  }
  /// Rows (T,B,width), put together.
  const float* send(const Sequence<const float>& host, Index steps, Index batch, Index width);
  /// Where what is to be in `host` in the end is computed. Null stays null.
  float* place(float* host, Index count) { return host == nullptr || there_ ? host : room(count); }

 private:
  Runtime& runtime_;
  const bool there_;
  std::vector<std::unique_ptr<Buffer>> buffers_;
};

/// One call: the constructor checks it and sends its arrays, forward() writes those of `arguments`. In training what a
/// backward pass needs stays on the device, and the host's arrays are not needed again; those that are `there`, with x
/// and y contiguous, must stay.
class HostLayer {
 public:
  HostLayer(Runtime& runtime, const DeviceSpec& device, const CellOptions& cell, const Parameters<float>& parameters,
            const ForwardArguments<float>& arguments, Type type, std::optional<Tier> tier, bool training = false,
            bool there = false);

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
  const bool there_;
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
