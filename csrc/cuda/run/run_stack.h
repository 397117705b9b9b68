// A stack on a GPU (one layer is a stack of one): copies the host's arrays to the device, runs the passes of the
// layers, and copies the results back. Arrays that are on the device already are used where they lie.
#pragma once

#include <memory>
#include <vector>

#include "core/backend/stack_shape.h"
#include "cuda/run/run_device.h"
#include "cuda/shared/rows.h"

namespace fastrnn::cuda {

/// Where the rows (t,b) of a call lie in its arrays: strided, or packed (steps with fewer and fewer rows).
class UserRows {
 public:
  UserRows(Runtime& runtime, const ForwardArguments<float>& arguments);

  /// The same call over padded rows (t,b), with lengths instead of batch_sizes.
  ForwardArguments<float> spread(const ForwardArguments<float>& arguments) const;
  bool packed() const { return grid_.sizes() != nullptr; }
  const Grid& grid() const { return grid_; }
  Index steps() const { return grid_.steps(); }
  Index batch() const { return batch_; }
  /// Copies between a packed array on the device and padded rows: to the rows with `spread`, else from them.
  void copy(bool spread, float* array, Index row, Index width, const Sequence<float>& rows) const;

 private:
  Runtime& runtime_;
  const Grid grid_;
  const Index batch_;
  std::vector<Index> lengths_;
  const Buffer before_;  // packed rows: how many all earlier steps have
};

/// Memory of the device, and what is put there. `on_device`: arrays are on the device, and are taken and written where
/// they lie.
class Upload {
 public:
  explicit Upload(Runtime& runtime, bool on_device = false) : runtime_(runtime), on_device_(on_device) {}

  bool empty() const { return buffers_.empty(); }
  float* room(Index count) {
    buffers_.push_back(std::make_unique<Buffer>(runtime_, std::size_t(count) * sizeof(float)));
    return buffers_.back()->as();
  }
  /// Copies an array to the device; null stays null.
  const float* send(const float* array, Index count);
  /// The same for rows, which then lie one behind the other; null data stays null.
  Sequence<const float> send(const Sequence<const float>& rows, const UserRows& user, Index width);
  /// Where on the device the contents of the caller's `array` are to be computed; null stays null.
  float* place(float* array, Index count) { return array == nullptr || on_device_ ? array : room(count); }
  /// The same for rows, which then lie one behind the other.
  Sequence<float> place(const Sequence<float>& rows, const UserRows& user, Index width);

 private:
  Runtime& runtime_;
  const bool on_device_;
  std::vector<std::unique_ptr<Buffer>> buffers_;
};

/// The weights of a layer in one direction, on the device.
class DeviceLayer {
 public:
  /// Copies the host's parameters; those that are `on_device` are on the device, and must stay.
  DeviceLayer(Runtime& runtime, const CellOptions& options, const Parameters<float>& parameters,
              bool on_device = false);

  const CellOptions& options() const { return options_; }
  const Parameters<float>& parameters() const { return parameters_; }
  Index inputs() const { return parameters_.inputs; }
  Index hidden() const { return parameters_.hidden; }
  bool owns() const { return !upload_.empty(); }
  Index outputs() const { return parameters_.w_hr != nullptr ? parameters_.projection : parameters_.hidden; }

 private:
  CellOptions options_;
  Upload upload_;
  Parameters<float> parameters_;
};

struct DeviceStack {
  std::vector<const DeviceLayer*> layers;  // [layer*D + direction]
  int directions = 1;
  Merge merge = Merge::concat;
  double dropout = 0;
  Type type = Type::float32;
  std::optional<Tier> tier;
};

/// One call: the constructor checks it and runs the forward pass. In training what the backward pass needs stays on the
/// device, and the host's arrays are not needed again; those that are `on_device`, and the layers, must stay.
class StackRun {
 public:
  StackRun(Runtime& runtime, const DeviceSpec& device, const DeviceStack& stack,
           const ForwardArguments<float>& arguments, bool training = false, bool on_device = false);

  /// In training alone; may be called more than once.
  void backward(const StackBackwardArguments<float>& gradients) const;

 private:
  void run_layer(int layer, const Sequence<const float>& x, const Sequence<float>& y);
  Sequence<const float> gradient_of(int layer, int direction, const Sequence<const float>& dy, Upload& upload) const;
  void run_back(int index, const Sequence<const float>& dy, const Sequence<float>& dx, bool add, BackwardJob& job,
                Upload& upload) const;
  void combine(CombineParams::How how, Index width, const Sequence<const float>& a, const Sequence<const float>& b,
               const Sequence<float>& to, RandomMask mask = {}, bool same_mask = false) const;
  RandomMask mask_between(int layer) const;
  RandomMask mask_of_inputs(int index) const;
  Sequence<float> rows(float* data, Index width) const { return {data, arguments_.batch * width, width}; }
  void receive(float* host, const float* device, Index count) const;
  void receive(const Sequence<float>& user, const Sequence<float>& device, Index width) const;

  Runtime& runtime_;
  const DeviceSpec device_;
  const DeviceStack stack_;
  const StackShape shape_;
  const bool training_, on_device_;
  const UserRows user_;
  const ForwardArguments<float> arguments_;  // of rows (t,b)
  const Index rows_, h_size_, c_size_;
  Upload upload_;
  std::vector<std::unique_ptr<RowSteps>> steps_;  // by direction
  const float *h0_, *c0_;
  float *h_n_, *c_n_;
  std::vector<ForwardJob> jobs_;      // [layer*D + direction]
  std::vector<Sequence<float>> own_;  // likewise: outputs before directions are merged
};

}  // namespace fastrnn::cuda
