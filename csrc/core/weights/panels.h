// Sizes of Panels and offsets into them.
#pragma once

#include <algorithm>

#include "core/backend/kernels.h"

namespace fastrnn {

/// A matrix of `k` packed rows. (`terms` consecutive weights share a lane; each operand starts a new packed row.)
template <class T>
Panels<T> shape_panels(Index k, Index units, int gates, int lanes) {
  Panels<T> panels;
  panels.k = k;
  panels.units = units;
  panels.gates = gates;
  panels.blocks = blocks_in_panel(gates);
  const Index width = Index(panels.blocks) * lanes;
  panels.count = (units + width - 1) / width;
  return panels;
}

/// Elements of T from a packed row of a panel to the next.
template <class T>
Index row_stride(const Panels<T>& panels, int lanes) {
  return Index(panels.blocks) * panels.gates * lanes;
}

template <class T>
Index panels_size(const Panels<T>& panels, int lanes) {
  return panels.count * panels.k * row_stride(panels, lanes);
}

/// The offset of units unit .. unit+lanes in packed row k of gate g; `unit` is a multiple of lanes.
template <class T>
Index offset(const Panels<T>& panels, int lanes, Index k, int g, Index unit) {
  const Index block = unit / lanes;
  const Index panel = block / panels.blocks, in_panel = block % panels.blocks;
  return (panel * panels.k + k) * row_stride(panels, lanes) + (in_panel * panels.gates + g) * lanes;
}

/// Zeros in the last panel, the only one that can have units which no matrix fills; if it has.
template <class T>
void clear_last_panel(const Panels<T>& panels, T* memory, int lanes) {
  if (panels.units == panels.count * panels.blocks * lanes) return;
  const Index size = panels.k * row_stride(panels, lanes);
  std::fill_n(memory + (panels.count - 1) * size, size, T(0));
}

}  // namespace fastrnn
