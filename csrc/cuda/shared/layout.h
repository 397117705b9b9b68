// How a recurrence kernel divides its work and its shared memory: the same arithmetic for the kernel, the planner and
// the tests.
//
// A block multiplies its slab of the recurrent matrix, `gates * units` rows (forward) or `units` rows of the transposed
// matrix (backward), by the operand that its group shares: a row of `depth` elements for each row of the batch. The
// slab is cut into tasks: some rows of it by some slices, each `depth` elements along the operand. A warp takes several
// tasks that follow each other. The first slices of a warp's tasks stay in registers, the others in shared memory, for
// the whole sequence. Each task leaves partial sums, which the threads that compute the cell add up in a fixed order.
#pragma once

#include <cstddef>

#include "cells/list.h"
#include "cuda/shared/types.h"

namespace fastrnn::cuda {

FASTRNN_CELL constexpr int divide_up(int a, int b) { return (a + b - 1) / b; }
FASTRNN_CELL constexpr int round_up(int a, int b) { return divide_up(a, b) * b; }

/// Bytes that blocks of a cluster send each other at a time: each has as many units as fill whole pieces.
constexpr int kPieceBytes = 16;

/// Who computes what. A group of `members` blocks computes `rows` rows of the batch, each block `units` hidden units.
/// blocks = members * ceil(B / rows); members * units >= H.
struct Geometry {
  int threads;  // a multiple of 32
  int members;  // 1 for Tier::block, the cluster's size for Tier::cluster
  int units;
  int rows;
  FASTRNN_CELL int blocks(int batch) const { return members * divide_up(batch, rows); }
};

constexpr int kMostPhases = 2;  // phases of a cell whose weights are resident
constexpr int kAllPhases = 3;   // phases of any cell: cells::Description

/// What a pass of a cell multiplies, by phase.
struct Products {
  int phases;
  int slab_rows[kAllPhases];  // rows of the slab for each unit
  int sources[kAllPhases];    // parts of H elements of the operand
};

constexpr Products forward_products(const cells::Description& cell) {
  Products p{cell.phases, {}, {}};
  for (int i = 0; i < p.phases; ++i) {
    p.slab_rows[i] = cell.phase[i].gates;
    p.sources[i] = 1;
  }
  return p;
}
constexpr Products backward_products(const cells::Description& cell) {
  Products p{cell.back_phases, {}, {}};
  for (int i = 0; i < p.phases; ++i) {
    p.slab_rows[i] = 1;
    p.sources[i] = cell.back[i].sources;
  }
  return p;
}

/// The shape of a format's tasks (formats.h has what they do).
struct TaskShape {
  int slab_rows;        // rows of the slab in a task
  int batch_rows;       // batch rows that are multiplied at a time
  int depth;            // elements of the operand in a slice
  int words;            // 32-bit words that a slice's weights take in each lane
  int element;          // bytes of an element of the operand
  int register_slices;  // slices in registers, of all phases together
  int spacing;          // elements between the operand's rows, so that the lanes of a tile meet different banks
};
FASTRNN_CELL constexpr TaskShape task_shape(Type type) {
  // A warp reads one row of float32 at a time, all banks. Of the others eight lanes read two rows together, 64 bytes of
  // each, which half of the banks have: rows are that much off.
  switch (type) {
    case Type::float32: return {8, 4, 128, 32, 4, 4, 0};
    case Type::tf32: return {16, 8, 32, 16, 4, 11, 16};
    default: return {16, 8, 64, 16, 2, 11, 32};
  }
}

/// How a phase's product is cut.
struct Cut {
  int tiles;       // tiles of rows in the slab
  int all_slices;  // slices along the whole operand
  int slices;      // slices in a chunk, the part of them that a task has
  int chunks;
  int tasks;            // tasks of a warp
  int register_slices;  // slices of a warp that stay in registers
  int shared_slices;    // slices of a warp that stay in shared memory

  static Cut make(const TaskShape& shape, int rows, int depth, int warps, int register_slices) {
    Cut cut{};
    cut.tiles = divide_up(rows, shape.slab_rows);
    cut.all_slices = divide_up(depth, shape.depth);
    int mine = 0;  // slices of a warp: as few as possible, then as few chunks
    for (int chunks = 1; chunks <= warps && chunks <= cut.all_slices; ++chunks) {
      const int slices = divide_up(cut.all_slices, chunks), used = divide_up(cut.all_slices, slices);
      const int tasks = divide_up(cut.tiles * used, warps);
      if (mine != 0 && tasks * slices >= mine) continue;
      mine = tasks * slices;
      cut.slices = slices;
      cut.chunks = used;
      cut.tasks = tasks;
    }
    cut.register_slices = mine < register_slices ? mine : register_slices;
    cut.shared_slices = mine - cut.register_slices;
    return cut;
  }
};

/// What a block knows of one of its rows, in shared memory.
struct RowPlace {
  int b, length;  // its number in the batch, and its steps
};

/// Divides numbers from 0 on by one that is known before; n times the divisor has to be below 2^32. A division takes
/// thirty instructions on a GPU.
struct Divisor {
  unsigned reciprocal;  // 2^32 / divisor, rounded up; 0: the divisor is 1
  static Divisor of(int divisor) { return {divisor > 1 ? 0xffffffffu / unsigned(divisor) + 1 : 0}; }
  FASTRNN_CELL int divide(int n) const {
    return reciprocal == 0 ? n : int(static_cast<unsigned long long>(unsigned(n)) * reciprocal >> 32);
  }
};

/// Offsets into shared memory, in bytes.
struct Layout {
  int padded;          // H, up to whole 16-byte copies: the width of a source in the operand
  int gathered;        // elements of an operand's row that blocks publish
  int width;           // elements of an operand's row that are multiplied: whole chunks, with zeros behind the operand
  int operand_stride;  // elements between the operand's rows, so that a tile's rows lie in different banks
  int batch_rows;      // rows of the batch, up to whole tiles
  int partial_stride;  // elements between batch rows of partial sums, likewise in different banks
  int elements;        // units * rows: pairs that this block computes the cell for
  int row_pieces;      // 16-byte pieces that a block of a cluster has at most in a row of a source
  int all_pieces;      // and those of all rows, for each block that has units
  Divisor units;       // divides an element's index by the block's units: its row
  Divisor rows_of;     // divides by the rows of a group
  Divisor pieces;      // divides by row_pieces
  int operand_bytes;   // bytes of one slot
  int record;          // floats of an element: fetched ones, states, what a step computes and keeps until it is over
  int parameters;      // floats of a unit: biases and peepholes; odd, as `record`, so that lanes meet different banks
  Cut cut[kMostPhases];
  int operand, weights[kMostPhases], partial, records, units_parameters, rows, arrivals, total;
};

/// For each element, `staged` floats are fetched at every step, `states` are kept from step to step and `kept` until
/// the step is over. Shared memory has room for `slots` operands.
inline Layout make_layout(const Products& products, const TaskShape& shape, const Geometry& geometry, int hidden,
                          int slots, int staged, int states, int kept, int biases) {
  Layout layout{};
  const int warps = geometry.threads / 32;
  layout.padded = round_up(hidden, 16 / shape.element);
  layout.batch_rows = round_up(geometry.rows, shape.batch_rows);
  layout.elements = geometry.units * geometry.rows;
  layout.units = Divisor::of(geometry.units);
  int most_rows = 0, most_chunks = 0, partial = 0, at = 0;
  for (int p = 0; p < products.phases; ++p) {
    const int gathered = products.sources[p] * layout.padded;
    if (gathered > layout.gathered) layout.gathered = gathered;
  }
  layout.rows_of = Divisor::of(geometry.rows);
  layout.row_pieces = divide_up(geometry.units * shape.element, kPieceBytes);
  layout.all_pieces = divide_up(hidden, geometry.units) * geometry.rows * layout.row_pieces;
  layout.pieces = Divisor::of(layout.row_pieces);
  layout.record = (staged + states + kept) | 1;
  layout.parameters = (biases + 3) | 1;
  for (int p = 0; p < products.phases; ++p) {
    const int rows = products.slab_rows[p] * geometry.units, depth = products.sources[p] * layout.padded;
    layout.cut[p] = Cut::make(shape, rows, depth, warps, shape.register_slices / products.phases);
    const int width = layout.cut[p].chunks * layout.cut[p].slices * shape.depth;
    if (width > layout.width) layout.width = width;
  }
  layout.operand_stride = layout.width + shape.spacing;
  layout.operand_bytes = layout.batch_rows * layout.operand_stride * shape.element;
  layout.operand = at;
  at += slots * layout.operand_bytes;
  for (int p = 0; p < products.phases; ++p) {
    layout.weights[p] = at;
    at += warps * layout.cut[p].shared_slices * 32 * shape.words * 4;
    const int slab = layout.cut[p].tiles * shape.slab_rows;
    if (slab > most_rows) most_rows = slab;
    if (layout.cut[p].chunks > most_chunks) most_chunks = layout.cut[p].chunks;
  }
  layout.partial_stride = round_up(most_rows, 16) + 4;
  partial = most_chunks * layout.batch_rows * layout.partial_stride * 4;
  layout.partial = at;
  at += partial;
  layout.records = at;
  at += layout.record * layout.elements * 4;
  layout.units_parameters = at;
  at += layout.parameters * geometry.units * 4;
  layout.rows = at = round_up(at, 8);
  at += geometry.rows * int(sizeof(RowPlace));
  layout.arrivals = at;
  at += 2 * 8;
  layout.total = at;
  return layout;
}

/// Floats of each element that a pass computes before others are told of h, and stores afterwards (units.h).
constexpr int kept_columns(const cells::Description& cell, Pass pass) {
  if (pass == Pass::backward) return cell.dcolumns;
  return pass == Pass::training || cell.phases > 1 ? cell.columns : 0;
}

/// Floats that each pass fetches for each element and step (units.h).
constexpr int forward_staged(const cells::Description& cell) { return cell.gates; }
constexpr int backward_staged(const cells::Description& cell) {
  return cell.columns + 2 * cell.c_states + 2;  // columns, c, c before, h before, dy
}

/// The layout of a recurrence kernel; its `total` is the dynamic shared memory to launch it with.
inline Layout layout_of(const cells::Description& cell, Pass pass, Type type, Tier tier, const Geometry& geometry,
                        int hidden) {
  const bool backward = pass == Pass::backward;
  return make_layout(backward ? backward_products(cell) : forward_products(cell), task_shape(type), geometry, hidden,
                     tier == Tier::grid ? 1 : 2, backward ? backward_staged(cell) : forward_staged(cell),
                     1 + cell.c_states, kept_columns(cell, pass), backward ? 0 : cell.gates + 1);
}

/// Bytes of LayerParams::exchange: two slots for each group.
inline std::size_t exchange_bytes(const Layout& layout, const Geometry& geometry, int batch) {
  return 2 * std::size_t(layout.operand_bytes) * (geometry.blocks(batch) / geometry.members);
}

}  // namespace fastrnn::cuda
