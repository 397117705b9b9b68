// The table of function pointers through which core reaches a backend, and what is passed through it. Plain data only.
//
// Rows of a sequence are addressed by pointers, one list per operand and step: ragged batches, reversed directions,
// strided inputs and parts of a batch then all cost nothing in the kernels.
//
// How a layer is computed. A step of a cell needs W x + R h for every gate of every unit. W x does not depend on h: it
// is computed for many steps at once, ahead of the loop over time, where every weight that is loaded serves many rows
// (`project`, the hoisted product). R h is computed step by step: for each panel of R, `step` lets the cell fill a tile
// of accumulators with W x, adds R h to it, and lets the cell consume the sums and write the new states while all of
// this is in L1. Where a step stands alone, as in streaming, or has enough rows of its own, [W|R] times [x|h] is one
// product (`whole_step`). Every sum runs over k in one fixed order, whatever the tile, so that a row's result does not
// depend on the rows around it.
//
// A kernel whose `watch` says so returns early, with its results unfinished.
#pragma once

#include "cells/list.h"
#include "core/backend/step_times.h"
#include "core/base/interrupt.h"
#include "fastrnn/types.h"

namespace fastrnn {

/// The distance between rows of n elements that a tile reads side by side: powers of two would put the same element of
/// every row into the same set of L1, which has eight places for them and the weights.
template <class T>
constexpr Index spaced(Index n) {
  constexpr Index line = 64 / sizeof(T);
  return n % (4 * line) == 0 ? n + line : n;
}

struct Range {
  Index begin, end;
  bool descending = false;  // panels: from the last to the first

  FASTRNN_CELL Index size() const { return end - begin; }
};

/// A matrix of `gates` blocks of `units` columns and some rows, packed [panel][k][block][gate][lane][term] in the order
/// in which the innermost loop reads it: for each k it takes one element of h and multiplies it with the weights of all
/// gates of some units, which therefore lie side by side, and goes through memory from front to back. A panel holds
/// `blocks` vectors of units with all their gates, and a lane as many consecutive rows (terms) as fit into sizeof(T)
/// bytes: one of T, two of bfloat16, four of int8. Tails are zero.
template <class T>
struct Panels {
  const T* data = nullptr;
  const T* scales = nullptr;  // int8: [operand][panel][block][gate][lane]
  Index k = 0;                // packed rows: rows / terms, rounded up for each operand
  Index units = 0;
  int gates = 1;
  int blocks = 4;
  Index count = 0;
};

/// Vectors of units in a panel: with all their gates they make three or four vectors, the width of a tile.
constexpr int blocks_in_panel(int gates) { return gates == 1 ? 4 : gates == 2 ? 2 : 1; }

/// Packed rows that are summed before they join the accumulator (tile-inl.h says why).
constexpr Index kBlock = 128;

/// Gains and biases of layer normalisation, each (gates, padded) or, for c, (padded).
template <class T>
struct NormParams {
  const T *ih_gain = nullptr, *ih_bias = nullptr;
  const T *hh_gain = nullptr, *hh_bias = nullptr;
  const T *c_gain = nullptr, *c_bias = nullptr;
  T epsilon = 0;
};

/// Dropout masks with a value for each step, which are kept beside the gates.
enum Mask { kCandidateMask, kZoneoutH, kZoneoutC, kMasks };

/// Where a normalised step saves 1 / standard deviation, behind its columns: that of R h for each of two groups of
/// gates, that of W x likewise, and that of c.
enum Statistic { kRecurrentScale, kInputScale = 2, kCellScale = 4, kStatistics };

/// What forward and backward of one layer in one direction share. What is saved for the backward pass lies by steps,
/// `first` being the first that is kept. `length` is never null here.
template <class T>
struct Layer : StepTimes<Index> {
  cells::Kind kind;
  cells::Options options;
  cells::Description cell;
  bool general;  // needs the cells' general form
  Index inputs, hidden;
  Index state;         // elements of h and y
  Index padded;        // hidden, rounded up to whole vectors: the width of a column in the buffers below
  Index padded_state;  // likewise of state
  const T* params;     // (params, padded)
  NormParams<T> norm;
  Sequence<const T> x;  // (T,B,I)
  Sequence<T> y;        // (T,B,state): written by forward, read by backward
  const T* h0;          // (B, padded)
  const T* c0;          // (B, c_width): before step `first`
  const T* zeros;       // c_width
  const Index* order;   // (rows) of the batch, by decreasing length: those that this call computes
  Index rows;
  const T* h_mask;          // (B, padded) factors of h where it meets w_hh, or null
  T* h_operand;             // rows of padded: h times that mask
  int mask_column[kMasks];  // the masks' columns in `gates`; -1: there is none
  int norm_column;          // in `gates`: normalised R h, W x (gates each) and c; -1: not kept
  Index first;
  Index c_width;       // c_states * padded
  Index columns;       // in `gates`
  Index gates_width;   // distance of rows in `gates`: columns, statistics, a spacing
  Index dgates_width;  // distance of rows in `dgates`: dcolumns, a spacing
  T* gates;            // (T*B) rows when training, else (chunk*rows)
  T* c;                // rows of c_width: (T*B) when training, else 2*rows

  FASTRNN_CELL Index longest() const { return rows > 0 ? length[order[0]] : 0; }
  FASTRNN_CELL Index saved_row(Index b, Index step) const { return (step - first) * batch + b; }
  FASTRNN_CELL const T* h_before(Index b, Index step) const {
    if (begins(b, step)) return zeros;
    return step > 0 ? y.at(time(b, step - 1), b) : h0 + b * padded;
  }
  /// c before a step, where the c of every step is saved.
  FASTRNN_CELL const T* c_before(Index b, Index step) const {
    if (begins(b, step)) return zeros;
    return step > first ? c + saved_row(b, step - 1) * c_width : c0 + b * c_width;
  }
  /// Where row b of the j-th cell state begins in a caller's array, (c_states,B,H).
  FASTRNN_CELL Index in_cell_states(Index j, Index b) const { return (j * batch + b) * hidden; }
  FASTRNN_CELL T* saved_gates(Index b, Index step) const { return gates + saved_row(b, step) * gates_width; }
};

/// Room for rows of x and h once they are converted to what a precision multiplies (bfloat16, int8).
template <class T>
struct OperandSpace {
  char* memory;
  Index row_bytes;
  Index block;           // rows of x that are multiplied at a time
  const void** rows[2];  // max(rows, block) each
  T* scales[2];
};

template <class T>
struct ForwardCall {
  Layer<T> layer;
  const Panels<T>* panels;  // one per phase: the rows of W, then those of each source's matrix
  const T* bias;            // (gates, padded): what W x starts from
  const T* recurrent_bias;  // (padded): what gate start_from_b_hh starts from
  OperandSpace<T> operands;
  // Pointer lists: (chunk * rows) each, and (rows) each.
  const T** input_rows;
  T** output_rows;
  const T** h_prev;
  const T** h_operand;  // h_prev with its dropout: what w_hh multiplies
  const T** c_prev;
  T** c;
  T** kept;
  T** gates;
  T** y;
  T* raw;  // rows of gates * padded: products before their normalisation
  Watch* watch = nullptr;
  bool descending = false;  // whether this step passes its panels from the last to the first
};

/// The workspace of one thread in the backward pass. `depth` is min(kOuterDepth, T * B).
template <class T>
struct BackwardScratch {
  T* packed_left;    // depth * kOuterRows
  T* packed_right;   // depth rows of x and of all operands, as panels
  const T** h_prev;  // B each
  const T** h_operand;
  const T** c_prev;
  const T** c;
  const T** gates;
  const T** dy_rows;
  T** dgate_rows;
  T** carry_h_rows;
  T** carry_c_rows;
  const T** factor[4];  // max(B, depth) each
  const T** left;       // depth each
  const T** right;
  T** dx_rows;
};

template <class T>
struct BackwardCall : BackwardScratch<T> {
  Layer<T> layer;
  Index first, last;        // the steps whose gradients are computed in this call
  bool carries_on;          // later steps are done: dgates has step `last`, and gradients are added to theirs
  const Panels<T>* panels;  // one per backward phase: the transposes of its sources' matrices, one below the other
  Panels<T> input_panels;   // W transposed: rows gates * hidden, units inputs
  Sequence<const T> dy;     // data may be null: zeros
  Sequence<T> dx;           // data may be null: not wanted
  T* dh0;                   // (B,state)
  T* dc0;                   // (c_states,B,H)
  T* dw_ih;                 // (G*H,I)
  T* dw_hh;                 // (G*H,state)
  T* dw_hr;                 // (state,H)
  T* db_ih;                 // (G*H)
  T* db_hh;                 // (G*H)
  T* dparams;               // (params,H), or (3,H,H) for full peepholes
  T* dln_ih;                // (G*H); null: without normalisation
  T* dln_hh;                // (G*H)
  T* dln_c;                 // (2,H)
  T* dgates;                // rows of steps first .. last, and of step `last` if carries_on, dgates_width apart
  T* carry_h;               // (B, padded): dh_n on entry
  T* carry_c;               // (B, c_width)
  const T* zeros;           // dgates_width
  T* column_sums;           // dcolumns * padded
  T* param_sums;            // params * padded
  T* norm_sums;             // (2 * gates + 1) * padded: of the gains of R h, W x and c
  Watch* watch = nullptr;
};

/// Rows (t, b) that are added to the weight gradients at a time, and units whose gradients are computed at a time: the
/// part of the gate gradients that both choose stays in the cache.
constexpr Index kOuterDepth = 512;
constexpr Index kOuterRows = 72;

/// What a step is computed for. Training keeps what the backward pass needs; fast uses approximate activations; the
/// general forms know every option of a cell.
enum class Mode { inference, fast, training, general, general_training };
constexpr int kModes = 5;
constexpr int kPhases = 3;

/// What is done around the products of a sweep of tiles, for rows first .. first+n and one panel: `fill` fills their
/// accumulators, `consume` takes the sums. Functions, so that a format's sweep is compiled once and not again in each
/// of its callers. What a cell does in one phase is such a pair, whose caller is a ForwardCall.
template <class T>
struct TileHooks {
  void (*fill)(const void* caller, T* acc, Index first, Index n, Index panel);
  void (*consume)(const void* caller, const T* acc, Index first, Index n, Index panel);
};

/// One step of one phase of one row, the first of the lists: with `whole` W x included, else from `gates`. It writes
/// `stored` elements of y: those of the state, or whole vectors where there is room.
template <class T>
using RowKernel = void (*)(const ForwardCall<T>&, bool whole, Index stored);

/// The forward pass in one precision.
template <class T>
struct ForwardKernels {
  int terms;           // rows of the matrix that share a packed lane
  unsigned char flip;  // xored into packed int8 weights: 0x80 makes them unsigned, for instructions that want it
  /// gates += W x of one phase for rows first .. first+n of input_rows and output_rows, for some of the panels.
  void (*project)(const ForwardCall<T>&, int phase, Index first, Index n, Range panels);
  /// One time step of one phase for the first n rows of the lists.
  void (*step)(const ForwardCall<T>&, int phase, const TileHooks<T>&, Index n, Range panels);
  /// A whole step, W x included, for the first n rows of input_rows and the other lists: [W|R] times [x|h], with the
  /// bits of project and step. For cells that takes_whole_steps().
  void (*whole_step)(const ForwardCall<T>&, const TileHooks<T>&, Index n);
  /// The same bits for a single row, by the plain modes: inference, fast, training. Null where a cell has no such form.
  RowKernel<T> row[3][cells::kKinds];
};

/// Whether one sum over [x|h] gives all that the cell sees, so that a step is a single product.
inline bool takes_whole_steps(const cells::Description& cell) {
  return cell.phases == 1 && cell.phase[0].norm == cells::kNoNorm && cell.start_from_b_hh < 0;
}

template <class T>
struct BackwardKernels {
  void (*steps)(const BackwardCall<T>&);                     // dgates of the rows in layer.order
  void (*initial)(const BackwardCall<T>&);                   // dh0, dc0 of these rows
  void (*norm_inputs)(const BackwardCall<T>&, Range steps);  // back through the normalisation of W x
  void (*parameters)(const BackwardCall<T>&, Range units);   // dW, dR, db, peepholes, gains of some units
  void (*inputs)(const BackwardCall<T>&, Range rows);        // dx of rows step * B + b
};

template <class T>
struct KernelTable {
  int lanes;
  TileHooks<T> cell[kModes][cells::kKinds][kPhases];
  const ForwardKernels<T>* forward[kPrecisions];  // null where a precision does not exist for T
  BackwardKernels<T> backward;
  void (*activate)(const cells::ActivationSpec&, bool fast, const T* x, T* y, Index n);  // y = f(x)
  /// Rows to panels of one gate: [panel][row][4][lane].
  Panels<T> (*pack_rows)(const T* const* rows, Index k, Index n, T* out);
  /// out[i * out_stride + j] = in[j * in_stride + i] for i < rows, j < columns.
  void (*transpose)(const T* in, Index in_stride, T* out, Index out_stride, Index rows, Index columns);
  void (*multiply)(const T* const* a, Index rows, const Panels<T>& matrix, T* out, Watch* watch);
};

struct Backend {
  const char* name;
  KernelTable<float> f32;
  KernelTable<double> f64;
  template <class T>
  const KernelTable<T>& table() const;
};
template <>
inline const KernelTable<float>& Backend::table<float>() const {
  return f32;
}
template <>
inline const KernelTable<double>& Backend::table<double>() const {
  return f64;
}

}  // namespace fastrnn
