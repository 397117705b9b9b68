// What a call on a GPU is told of its arrays, and which gradients it has: for arrays of the host and of the device.
#pragma once

#include <string>
#include <vector>

#include "bindings.h"

namespace fastrnn::python {

/// Shapes are checked by functional/_device.py.
struct CudaShape {
  std::string cell;
  Index steps, batch, inputs, hidden, gates;
  bool b_ih, b_hh, has_c;
  Peephole peephole;

  CudaShape(const std::string& cell, const CellOptions& options, const Parameters<float>& parameters, Index steps,
            Index batch)
      : cell(cell),
        steps(steps),
        batch(batch),
        inputs(parameters.inputs),
        hidden(parameters.hidden),
        gates(gate_count(options.cell)),
        b_ih(parameters.b_ih != nullptr),
        b_hh(parameters.b_hh != nullptr),
        has_c(options.cell == CellType::lstm),
        peephole(options.peephole) {}

  /// All gradients that there are; room(name, shape) gives the memory of one.
  template <class Room>
  BackwardArguments<float> gradients(const float* dy, const float* dh_n, const float* dc_n, bool need_dx,
                                     const Room& room) const {
    using Shape = std::vector<Index>;
    const Index units = gates * hidden;
    BackwardArguments<float> result;
    result.dy = {dy, batch * hidden, hidden};
    result.dh_n = dh_n;
    result.dc_n = dc_n;
    result.dx = {need_dx ? room("x", Shape{steps, batch, inputs}) : nullptr, batch * inputs, inputs};
    result.dh0 = room("h0", Shape{1, batch, hidden});
    if (has_c) result.dc0 = room("c0", Shape{1, batch, hidden});
    result.dw_ih = room("w_ih", Shape{units, inputs});
    result.dw_hh = room("w_hh", Shape{units, hidden});
    if (b_ih) result.db_ih = room("b_ih", Shape{units});
    if (b_hh) result.db_hh = room("b_hh", Shape{units});
    if (peephole == Peephole::diagonal) result.dw_peep = room("w_peep", Shape{3, hidden});
    if (peephole == Peephole::full) result.dw_peep = room("w_peep", Shape{3, hidden, hidden});
    return result;
  }
};

}  // namespace fastrnn::python
