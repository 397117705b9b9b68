// Where things lie in Panels.
#pragma once

#include <algorithm>

#include "core/backend/kernels.h"

namespace fastrnn {

/// `k` rows, `terms` of which share a lane, for each operand apart.
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

/// From a row of a panel to the next, in elements of T.
template <class T>
Index row_stride(const Panels<T>& panels, int lanes) {
  return Index(panels.blocks) * panels.gates * lanes;
}

template <class T>
Index panels_size(const Panels<T>& panels, int lanes) {
  return panels.count * panels.k * row_stride(panels, lanes);
}

/// Where units unit .. unit+lanes of row k, gate g lie (unit a multiple of lanes).
template <class T>
Index offset(const Panels<T>& panels, int lanes, Index k, int g, Index unit) {
  const Index block = unit / lanes;
  const Index panel = block / panels.blocks, in_panel = block % panels.blocks;
  return (panel * panels.k + k) * row_stride(panels, lanes) + (in_panel * panels.gates + g) * lanes;
}

/// Only the last panel can have units that no matrix fills.
template <class T>
void clear_last_panel(const Panels<T>& panels, T* memory, int lanes) {
  if (panels.count == 0) return;
  const Index size = panels.k * row_stride(panels, lanes);
  std::fill_n(memory + (panels.count - 1) * size, size, T(0));
}

}  // namespace fastrnn
