// Packed weights: panels for the forward pass, and their transposes for the backward pass.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>

#include "core/backend/kernels.h"
#include "core/base/aligned.h"
#include "fastrnn/fastrnn.hpp"

namespace fastrnn {

/// The recurrent matrices of each backward phase, and W, as the backward pass multiplies them.
template <class T>
struct TransposedPanels {
  Panels<T> back[kPhases];
  Panels<T> input;
  AlignedBuffer memory;
};

template <class T>
struct PackedData {
  CellOptions options;
  PackOptions pack_options;
  cells::Kind kind;
  cells::Options cell_options;
  cells::Description cell;
  bool general;  // needs the cells' general form
  const Backend* backend;
  Index inputs, hidden, padded;
  Index state, padded_state;  // of h and y
  Panels<T> panels[kPhases];
  NormParams<T> norm;
  T* bias;
  T* recurrent_bias;
  T* params;
  AlignedBuffer memory;

  Index width_of(cells::Operand operand) const { return operand == cells::Operand::h_prev ? state : hidden; }
  const KernelTable<T>& kernels() const { return backend->table<T>(); }
  const ForwardKernels<T>& forward_kernels() const { return *kernels().forward[int(pack_options.precision)]; }
  /// The transposes: made by the first backward pass that is not interrupted, and kept.
  const TransposedPanels<T>& transposed() const;

 private:
  TransposedPanels<T> transpose() const;

  mutable std::atomic<bool> is_transposed_{false};
  mutable std::mutex mutex_;
  mutable TransposedPanels<T> transposed_;
};

template <class T>
std::unique_ptr<PackedData<T>> pack(const CellOptions& options, const Parameters<T>& parameters,
                                    const PackOptions& pack_options);

}  // namespace fastrnn
