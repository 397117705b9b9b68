// Where each gate's block of a canonical matrix lies in the panels, for packing and for unpacking.
#pragma once

#include "core/weights/pack.h"
#include "core/weights/panels.h"

namespace fastrnn {

/// The rows of one gate in w_ih or a recurrent matrix, as one gate of a phase's panels.
struct MatrixBlock {
  int phase, gate;
  const cells::Source* source;  // null: a block of w_ih
  Index first_row, columns;     // its place in the canonical matrix
  Index first_k, first_scale;   // its place in the panels and among their scales

  template <class T>
  const T* in(const Parameters<T>& parameters) const {
    if (source == nullptr) return parameters.w_ih;
    return source->matrix == cells::Matrix::w_hh   ? parameters.w_hh
           : source->matrix == cells::Matrix::w_hr ? parameters.w_hr
                                                   : parameters.w_peep;
  }
};

/// Calls each(block, unit) for the units unit .. unit+lanes of every block. Unit by unit, so that a panel is written
/// while it is in the cache.
template <class T, class Each>
void for_each_block(const PackedData<T>& packed, const Each& each) {
  const int lanes = packed.kernels().lanes, terms = packed.forward_kernels().terms;
  const auto rows = [&](Index n) { return (n + terms - 1) / terms; };
  for (int i = 0; i < packed.cell.phases; ++i) {
    const cells::Phase& phase = packed.cell.phase[i];
    const Panels<T>& panels = packed.panels[i];
    const Index scales = panels.scales != nullptr ? panels.count * row_stride(panels, lanes) : 0;
    for (Index unit = 0; unit < panels.units; unit += lanes)
      for (int g = 0; g < phase.gates; ++g) {
        Index first_k = 0;
        if (phase.input) {
          each(MatrixBlock{i, g, nullptr, (phase.first_gate + g) * packed.hidden, packed.inputs, 0, 0}, unit);
          first_k = rows(packed.inputs);
        }
        for (int s = 0; s < phase.sources; ++s) {
          const cells::Source& source = phase.source[s];
          const Index columns = packed.width_of(source.operand);
          if (source.block[g] >= 0)
            each(MatrixBlock{i, g, &source, source.block[g] * packed.hidden, columns, first_k, (1 + s) * scales}, unit);
          first_k += rows(columns);
        }
      }
  }
}

}  // namespace fastrnn
