// What the forward and backward recurrence kernels share: which rows and units a block has, and its shared memory.
#pragma once

#include "cuda/kernels/resident/exchange.h"
#include "cuda/kernels/resident/slab.h"
#include "cuda/kernels/resident/units.h"

namespace fastrnn::cuda {

/// A pair of batch row and hidden unit that a thread computes.
struct Element {
  int index;   // its number among the block's elements
  int row, u;  // row of the tile, and unit of the block
  int b;       // row of the batch
  int unit;    // unit of the layer
  int length;
};

/// The most threads of a recurrence kernel: with so many, each may have 255 registers.
constexpr int kThreads = 256;

template <class Format, Tier tier>
struct Tile {
  using Operand = typename Format::Element;
  const LayerParams& params;
  const Layout& layout;
  char* shared;
  Exchange<Operand, tier> exchange;
  int first_row, rows, first_unit, units, longest = 0;

  FASTRNN_DEVICE Tile(const LayerParams& params)
      : params(params), layout(params.layout), shared(shared_memory()), exchange(params, shared) {
    const Geometry& g = params.geometry;
    first_row = exchange.group() * g.rows;
    rows = smaller(g.rows, params.batch - first_row);
    first_unit = exchange.member() * g.units;
    units = smaller(g.units, params.hidden - first_unit);  // none may be left for the last blocks
    for (int row = 0; row < rows; ++row) {
      const int length = params.length_of(batch_row(row));
      if (length > longest) longest = length;
    }
  }

  FASTRNN_DEVICE static int smaller(int a, int b) { return a < b ? a : b; }
  FASTRNN_DEVICE int batch_row(int row) const {
    return params.order != nullptr ? params.order[first_row + row] : first_row + row;
  }
  FASTRNN_DEVICE float* floats(int offset) const { return reinterpret_cast<float*>(shared + offset); }

  FASTRNN_DEVICE RowPlace* row_places() const { return reinterpret_cast<RowPlace*>(shared + layout.rows); }
  /// Before the first each_element(), and a barrier between.
  FASTRNN_DEVICE void load_rows() const {
    for (int row = thread_index(); row < rows; row += block_threads()) {
      const int b = batch_row(row);
      row_places()[row] = {b, params.length_of(b)};
    }
  }

  template <class Work>
  FASTRNN_DEVICE void each_element(const Work& work) const {
    FASTRNN_NO_UNROLL
    for (int i = thread_index(); i < layout.elements; i += block_threads()) {
      Element e;
      e.index = i;
      e.row = layout.units.divide(i);
      e.u = i - e.row * params.geometry.units;
      if (e.row >= rows || e.u >= units) continue;
      const RowPlace place = row_places()[e.row];
      e.b = place.b;
      e.unit = first_unit + e.u;
      e.length = place.length;
      work(e);
    }
  }

  /// The time of a step of an element's row; these kernels know no masks.
  FASTRNN_DEVICE int time(const Element& e, int step) const { return params.reverse ? e.length - 1 - step : step; }
  /// Offset in an array (T,B,columns,H).
  FASTRNN_DEVICE Index saved(const Element& e, int step, int columns) const {
    return (Index(time(e, step)) * params.batch + e.b) * columns * params.hidden + e.unit;
  }
  FASTRNN_DEVICE static float value_or_zero(const float* array, Index at) {
    return array != nullptr ? array[at] : 0.0f;
  }

  /// Source s of the operand, in the row and at the unit of an element.
  FASTRNN_DEVICE void publish(const Element& e, int source, float value) {
    exchange.publish(e.row * layout.operand_stride + source * layout.padded + e.unit, round_to<Operand>(value));
  }

  /// Clears the operand's slots, with the rows and columns beyond the problem that products read.
  FASTRNN_DEVICE void clear_operand() const {
    auto* words = reinterpret_cast<unsigned*>(shared + layout.operand);
    const int count = Exchange<Operand, tier>::kSlots * layout.operand_bytes / 4;
    for (int i = thread_index(); i < count; i += block_threads()) words[i] = 0;
  }

  FASTRNN_DEVICE Partial partial(const Element& e, int phase) const {
    return {floats(layout.partial) + e.row * layout.partial_stride + e.u, layout.cut[phase].chunks,
            layout.batch_rows * layout.partial_stride};
  }

  /// Starts the copy of a float that the next step needs, or stores zero.
  FASTRNN_DEVICE void fetch(const Element& e, int j, const float* from) const {
    float* to = floats(layout.staged) + j * layout.elements + e.index;
    if (from != nullptr)
      copy_async<4>(to, from);
    else
      *to = 0;
  }
};

}  // namespace fastrnn::cuda
