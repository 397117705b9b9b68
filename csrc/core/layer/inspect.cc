#include "fastrnn/inspect.hpp"

#include <algorithm>
#include <limits>

#include "cells/kept.h"
#include "core/backend/options.h"
#include "core/layer/layer.h"

namespace fastrnn {

std::string kept_names(CellType cell) {
  const cells::Names names = cells::names(cell);
  return std::string(names.gates) + std::string(names.states);
}

template <class T>
void copy_kept(const Saved<T>& saved, int which, T* out) {
  const SavedData<T>& data = saved.data();
  const Layer<T>& layer = data.layer;
  if (data.checkpoint_every > 0)
    throw Error("cache: expected one without checkpoint_every, which keeps no gates; got checkpoints");
  const bool is_gate = which < layer.cell.gates;
  if (which < 0 || which >= layer.cell.gates + layer.cell.c_states) throw Error("which: no such gate or state");
  const Index column = (is_gate ? cells::gate_column(layer.kind, which) : which - layer.cell.gates) * layer.padded;
  std::fill_n(out, layer.steps * layer.batch * layer.hidden, std::numeric_limits<T>::quiet_NaN());
  for (Index b = 0; b < layer.batch; ++b)
    for (Index step = 0; step < layer.length[b]; ++step) {
      const T* row = is_gate ? layer.saved_gates(b, step) : layer.c + layer.saved_row(b, step) * layer.c_width;
      std::copy_n(row + column, layer.hidden, out + (layer.time(b, step) * layer.batch + b) * layer.hidden);
    }
}

template void copy_kept<float>(const Saved<float>&, int, float*);
template void copy_kept<double>(const Saved<double>&, int, double*);

}  // namespace fastrnn
