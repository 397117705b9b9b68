// Layers and stacks of layers on a GPU. All arrays of a call are in the host's memory, or all are on the device. The
// kernels have run in emulation only: results on a GPU are unproved.
#pragma once

#include <memory>

#include "fastrnn/cuda.hpp"
#include "fastrnn/stack.hpp"

namespace fastrnn {

struct CudaOptions {
  int ordinal = 0;
  std::string dtype = "float32";  // what weights and their operands are rounded to: or "tf32", "bfloat16", "float16"
  void* stream = nullptr;         // a cudaStream_t: of what has to be computed from parameters that are on the device
};

/// Parameters on a GPU, for any number of calls. Immutable, and may be shared between threads.
class FASTRNN_API CudaWeights {
 public:
  /// Copies `parameters` from the host. With `on_device` they are pointers to the device's memory, which must stay
  /// valid and unchanged; dropped weights are then made in the order of `where.stream`, and calls on other streams do
  /// not wait for that.
  CudaWeights(const CellOptions& options, const Parameters<float>& parameters, const CudaOptions& where = {},
              bool on_device = false);
  /// Waits for nothing: their memory is free when the streams of the calls that read them are done with these.
  ~CudaWeights();
  CudaWeights(const CudaWeights&) = delete;
  CudaWeights& operator=(const CudaWeights&) = delete;

  const CellOptions& options() const noexcept;
  const CudaOptions& where() const noexcept;
  Index inputs() const noexcept;
  Index hidden() const noexcept;
  /// The width of h and y: hidden(), or that of the projection.
  Index outputs() const noexcept;

  struct Data;
  const Data& data() const noexcept { return *data_; }

 private:
  std::unique_ptr<Data> data_;
};

/// Like Stack, for a GPU; a single layer is a stack, too. All weights are on one device and of one dtype.
struct FASTRNN_API CudaStack {
  std::vector<std::shared_ptr<const CudaWeights>> weights;  // [layer*D + direction]
  int directions = 1;
  Merge merge = Merge::concat;
  double dropout = 0;

  CudaStack() = default;
  CudaStack(std::shared_ptr<const CudaWeights> one) { weights.push_back(std::move(one)); }
};

/// The width of y. Throws Error, naming the layer, if the layers do not fit each other.
FASTRNN_API Index output_width(const CudaStack& stack);

struct CudaRun {
  std::string tier;        // of plan.hpp; empty: the fastest
  void* stream = nullptr;  // a cudaStream_t of the device; null: the legacy default stream
  /// Arrays are on the device, and none is copied, except `lengths`, `mask` and `reset_mask`, which are the host's and
  /// may change when the call returns. All work is enqueued on the stream, and the call does not wait for it: arrays
  /// must stay until the stream has passed, and an error of a kernel is reported by whoever waits for the stream. One
  /// tier does wait: "grid", which can only then tell that no block was lost.
  bool on_device = false;
};

/// As forward() of a layer or a stack, in inference; `reverse` is for one layer. What the kernels with resident weights
/// do not support is computed by tier "graph".
FASTRNN_API void forward_cuda(const CudaStack& stack, const ForwardArguments<float>& arguments,
                              const CudaRun& run = {});

/// A forward pass in training on a GPU. It keeps on the device what the backward pass needs, so the host's arrays may
/// go when the constructor returns. With on_device, x, y and the states given must stay valid and unchanged. Threads
/// may share it; their calls run one after the other.
class FASTRNN_API CudaSaved {
 public:
  /// As forward_cuda(), in training. Checkpoints are refused.
  CudaSaved(const CudaStack& stack, const ForwardArguments<float>& arguments, const CudaRun& run = {});
  ~CudaSaved();
  CudaSaved(const CudaSaved&) = delete;
  CudaSaved& operator=(const CudaSaved&) = delete;

  /// As backward() of a stack; as often as wanted. Writes to the host, or, where the forward pass had on_device, to the
  /// device in the order of its stream. The factors of products are rounded to the dtype of the weights; sums are
  /// float32.
  void backward(const StackBackwardArguments<float>& arguments) const;
  /// Of one layer.
  void backward(const BackwardArguments<float>& arguments) const;

 private:
  struct Data;
  std::unique_ptr<Data> data_;
};

}  // namespace fastrnn
