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
  int length;  // steps of the row; below zero: there is no such element
};

/// The most threads of a recurrence kernel: with so many, each may have 255 registers.
constexpr int kThreads = 256;

template <class Format, Tier tier>
struct Tile {
  using Operand = typename Format::Element;
  /// Whether a thread keeps the place of its first element: products in float32 leave no registers for that.
  static constexpr bool kKeeps = Format::kType != Type::float32;
  const LayerParams& params;
  const Layout& layout;
  char* shared;
  Exchange<Operand, tier> exchange;
  int first_row, rows, first_unit, units, longest = 0;
  Element first;  // the first element of this thread: most have no other, and at every step it would be worked out
                  // several times

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
  /// Before find_elements(), and a barrier between.
  FASTRNN_DEVICE void load_rows() const {
    for (int row = thread_index(); row < rows; row += block_threads()) {
      const int b = batch_row(row);
      row_places()[row] = {b, params.length_of(b)};
    }
  }

  /// Before the first each_element().
  FASTRNN_DEVICE void find_elements() {
    if constexpr (kKeeps) first = element(thread_index());
  }
  FASTRNN_DEVICE Element element(int index) const {
    Element e;
    e.index = index;
    e.row = layout.units.divide(index);
    e.u = index - e.row * params.geometry.units;
    e.unit = first_unit + e.u;
    e.b = 0;
    e.length = -1;
    if (e.row >= rows || e.u >= units) return e;
    const RowPlace place = row_places()[e.row];
    e.b = place.b;
    e.length = place.length;
    return e;
  }
  /// Also for an element that is not there, whose length is below that of any row with a step.
  template <class Work>
  FASTRNN_DEVICE void each_element(const Work& work) const {
    Element e = kKeeps ? first : element(thread_index());
    FASTRNN_NO_UNROLL
    for (;;) {
      work(e);
      if (layout.elements <= block_threads()) break;  // the usual case, by constants alone
      const int next = e.index + block_threads();
      if (next >= layout.elements) break;
      e = element(next);
    }
  }

  /// The time of a step of an element's row; these kernels know no masks.
  FASTRNN_DEVICE int time(const Element& e, int step) const { return params.reverse ? e.length - 1 - step : step; }
  /// Offset in an array (T,B,columns,H).
  FASTRNN_DEVICE Index saved(const Element& e, int step, int columns) const {
    return (Index(time(e, step)) * params.batch + e.b) * (columns * params.hidden) + e.unit;
  }
  FASTRNN_DEVICE float* record(const Element& e) const { return floats(layout.records) + e.index * layout.record; }
  FASTRNN_DEVICE const float* parameters(const Element& e) const { return parameters(e.u); }
  FASTRNN_DEVICE float* parameters(int u) const { return floats(layout.units_parameters) + u * layout.parameters; }
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

  /// The sums of a product at an element: of `Count` rows of the slab for each unit.
  template <int Count>
  FASTRNN_DEVICE void sums(const Element& e, int phase, float (&found)[Count]) const {
    add_chunks(floats(layout.partial) + e.row * layout.partial_stride + e.u * Count, layout.cut[phase].chunks,
               layout.batch_rows * layout.partial_stride, found);
  }

  /// Starts the copy of a float that the next step needs, or stores zero.
  FASTRNN_DEVICE void fetch(const Element& e, int j, const float* from) const {
    float* to = record(e) + j;
    if (from != nullptr)
      copy_async<4>(to, from);
    else
      *to = 0;
  }
};

}  // namespace fastrnn::cuda
