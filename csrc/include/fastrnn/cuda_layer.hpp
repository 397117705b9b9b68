// A layer on a GPU: from arrays in the host's memory to arrays there, or from arrays on the device to arrays there.
#pragma once

#include <memory>

#include "fastrnn/cuda.hpp"
#include "fastrnn/fastrnn.hpp"

namespace fastrnn {

struct CudaOptions {
  int ordinal = 0;
  std::string dtype = "float32";  // of the weights and of what they meet: or "bfloat16", "float16"
  std::string tier;               // of plan.hpp; empty for the fastest
  void* stream = nullptr;         // a cudaStream_t of that device; null: the legacy default stream
};

/// As forward(), in inference. Packed batches, weight dropout and the options of training are refused; the error says
/// which. Options that the kernels with resident weights do not know go to tier "graph". The kernels have run in
/// emulation only: results on a GPU are unproved.
FASTRNN_API void forward_cuda(const CellOptions& cell, const Parameters<float>& parameters,
                              const ForwardArguments<float>& arguments, const CudaOptions& options);

/// The same for arrays on the device, with no copy of any. `lengths`, `mask` and `reset_mask` alone
/// are the host's, and may change on return. All work is in the order of the stream, and the call does not wait for it:
/// arrays must stay until the stream has passed, and an error of a kernel shows where the stream is waited for. But
/// tier "grid" waits for the stream, for only then is it known that no block was lost, and so does tier "graph" from 16
/// steps on, until its graph has run.
FASTRNN_API void forward_cuda_device(const CellOptions& cell, const Parameters<float>& parameters,
                                     const ForwardArguments<float>& arguments, const CudaOptions& options);

/// A forward pass in training on a GPU. What its backward pass needs stays there: arrays of the host are not needed
/// again. One thread at a time may use it.
class FASTRNN_API CudaSaved {
 public:
  /// As forward_cuda(), in training. Projection, normalisation, masks and resets, zoneout, dropout, checkpoints and
  /// truncation are refused. `there`: all arrays are on the device, as for forward_cuda_device(), but x and y
  /// contiguous; parameters, x, y and the states given must stay, unchanged, for backward().
  CudaSaved(const CellOptions& cell, const Parameters<float>& parameters, const ForwardArguments<float>& arguments,
            const CudaOptions& options, bool there = false);
  ~CudaSaved();
  CudaSaved(const CudaSaved&) = delete;
  CudaSaved& operator=(const CudaSaved&) = delete;

  /// As backward(), into arrays of the host, or of the device where those of the forward pass were there, in the order
  /// of its stream; as often as wanted. Products have their factors rounded to the type of the weights, sums are
  /// float32.
  void backward(const BackwardArguments<float>& arguments) const;

 private:
  struct Data;
  std::unique_ptr<Data> data_;
};

}  // namespace fastrnn
