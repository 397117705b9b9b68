// Layers and stacks of them on a GPU, from arrays in the host's memory to arrays there, or from arrays on the device to
// arrays there. The kernels have run in emulation only: results on a GPU are unproved.
#pragma once

#include <memory>

#include "fastrnn/cuda.hpp"
#include "fastrnn/stack.hpp"

namespace fastrnn {

struct CudaOptions {
  int ordinal = 0;
  std::string dtype = "float32";  // of the weights and of what they meet: or "tf32", "bfloat16", "float16"
};

/// Parameters on a GPU, for any number of calls. Immutable, and may be shared between threads.
class FASTRNN_API CudaWeights {
 public:
  /// Copies the host's `parameters`. `there`: they are on the device, and must stay there, unchanged.
  CudaWeights(const CellOptions& options, const Parameters<float>& parameters, const CudaOptions& where = {},
              bool there = false);
  /// Waits until the device has done what it was given: it may still be reading them.
  ~CudaWeights();
  CudaWeights(const CudaWeights&) = delete;
  CudaWeights& operator=(const CudaWeights&) = delete;

  const CellOptions& options() const noexcept;
  const CudaOptions& where() const noexcept;
  Index inputs() const noexcept;
  Index hidden() const noexcept;
  /// Of h and y: hidden, or the projection's.
  Index outputs() const noexcept;

  struct Data;
  const Data& data() const noexcept { return *data_; }

 private:
  std::unique_ptr<Data> data_;
};

/// As Stack; one layer in one direction is a stack, too. All weights are on one device and of one dtype.
struct FASTRNN_API CudaStack {
  std::vector<std::shared_ptr<const CudaWeights>> weights;  // [layer*D + direction]
  int directions = 1;
  Merge merge = Merge::concat;
  double dropout = 0;

  CudaStack() = default;
  CudaStack(std::shared_ptr<const CudaWeights> one) { weights.push_back(std::move(one)); }
};

/// The shape of what goes in and comes out. Throws Error, naming the layer, where the stack is not as it must be.
FASTRNN_API Index output_width(const CudaStack& stack);

struct CudaRun {
  std::string tier;        // of plan.hpp; empty: the fastest
  void* stream = nullptr;  // a cudaStream_t of the device; null: the legacy default stream
  /// Arrays are on the device, and none is copied; `lengths`, `mask` and `reset_mask` alone are the host's, and may
  /// change on return. All work is in the order of the stream, and the call does not wait for it: arrays must stay
  /// until the stream has passed, and an error of a kernel shows where the stream is waited for. But tier "grid" waits
  /// for the stream, for only then is it known that no block was lost, and so does tier "graph" from 16 steps on, until
  /// its graph has run.
  bool there = false;
};

/// As forward() of a layer or a stack, in inference; `reverse` is for one layer. Options that the kernels with resident
/// weights do not know go to tier "graph".
FASTRNN_API void forward_cuda(const CudaStack& stack, const ForwardArguments<float>& arguments,
                              const CudaRun& run = {});

/// A forward pass in training on a GPU. What its backward pass needs stays there: arrays of the host are not needed
/// again; those that are `there`, x, y and the states given, must stay, unchanged. Threads may share it, and take
/// turns.
class FASTRNN_API CudaSaved {
 public:
  /// As forward_cuda(), in training. Checkpoints are refused.
  CudaSaved(const CudaStack& stack, const ForwardArguments<float>& arguments, const CudaRun& run = {});
  ~CudaSaved();
  CudaSaved(const CudaSaved&) = delete;
  CudaSaved& operator=(const CudaSaved&) = delete;

  /// As backward() of a stack, into arrays of the host, or of the device where those of the forward pass were there, in
  /// the order of its stream; as often as wanted. Products have their factors rounded to the type of the weights, sums
  /// are float32.
  void backward(const StackBackwardArguments<float>& arguments) const;
  /// Of one layer.
  void backward(const BackwardArguments<float>& arguments) const;

 private:
  struct Data;
  std::unique_ptr<Data> data_;
};

}  // namespace fastrnn
