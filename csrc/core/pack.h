// Packing: from canonical parameters to panels (forward), and from panels to their transposes (backward).
#pragma once

#include "core/aligned.h"
#include "core/kernels.h"
#include "fastrnn/fastrnn.hpp"

namespace fastrnn {

template <class T>
struct PackedData {
  CellOptions options;
  cells::Kind kind;
  cells::Options cell_options;
  cells::Description cell;
  const Backend* backend;
  Index inputs, hidden, padded;
  Panels<T> panels[2];
  T* bias;
  T* recurrent_bias;
  T* params;
  AlignedBuffer memory;

  const KernelTable<T>& kernels() const { return backend->table<T>(); }
};

template <class T>
struct TransposedPanels {
  Panels<T> back[2];
  Panels<T> input;
  AlignedBuffer memory;
};

template <class T>
std::unique_ptr<PackedData<T>> pack(const CellOptions& options, const Parameters<T>& parameters);

/// Once per backward call: the weights may have changed since the last one, and O(weights) is little beside it.
template <class T>
TransposedPanels<T> transpose(const PackedData<T>& packed);

}  // namespace fastrnn
