// A model's layers as sessions and pools run them.
#pragma once

#include "core/weights/pack.h"
#include "fastrnn/unpack.hpp"

namespace fastrnn {

/// One layer: recurrent, a matrix with its bias, or functions of what the layer before gave.
struct Stage {
  using Kind = UnpackedLayer::Kind;
  Kind kind;
  Index inputs, outputs;
  std::shared_ptr<const Weights<float>> weights;
  std::unique_ptr<const Matrix<float>> matrix;
  std::vector<float> bias;
  cells::ActivationSpec activation;
  const KernelTable<float>* kernels = nullptr;

  bool is_recurrent() const { return kind == Kind::recurrent; }

  /// What is not recurrent, for n rows that lie anywhere; y is contiguous, and for functions may be where x is. The
  /// watch may end it early.
  void apply(const float* const* x, Index n, float* y, bool fast, Watch* watch) const noexcept;
};

}  // namespace fastrnn
