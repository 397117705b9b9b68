// The table of function pointers through which core reaches a backend, and what is passed through it. Plain data only.
//
// Rows of a sequence are addressed by pointers, one list per operand and step: ragged batches, reversed directions,
// strided inputs and parts of a batch then all cost nothing in the kernels.
#pragma once

#include "cells/list.h"
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
};

/// A matrix of `gates` blocks of `units` columns and some rows, packed [panel][k][block][gate][lane][term]: a panel
/// holds `blocks` vectors of units with all their gates side by side, and a lane as many consecutive rows (terms) as
/// fit into sizeof(T) bytes: one of T, two of bfloat16, four of int8. Tails are zero.
template <class T>
struct Panels {
  const T* data = nullptr;
  const T* scales = nullptr;  // int8: [operand][panel][block][gate][lane]
  Index k = 0;                // rows / terms; every operand begins a new one
  Index units = 0;
  int gates = 1;
  int blocks = 4;
  Index count = 0;
};

/// Vectors in a panel: as many unit blocks as make three or four vectors.
constexpr int blocks_in_panel(int gates) { return gates == 1 ? 4 : gates == 2 ? 2 : 1; }

/// Packed rows that are summed before they join the accumulator (tile-inl.h says why).
constexpr Index kBlock = 128;

/// What forward and backward of one layer in one direction share.
template <class T>
struct Layer {
  cells::Kind kind;
  cells::Options options;
  cells::Description cell;
  Index steps, batch, inputs, hidden;
  Index padded;         // hidden, rounded up to whole vectors: the width of a column in the buffers below
  const T* params;      // (params, padded)
  Sequence<const T> x;  // (T,B,I)
  Sequence<T> y;        // (T,B,H): written by forward, read by backward
  const T* h0;          // (B, padded)
  const T* c0;          // (B, padded)
  const Index* length;  // (B) in 0..T
  const Index* order;   // (rows) of the batch, by decreasing length: those that this call computes
  Index rows;
  bool reverse;
  Index gates_width;   // columns * padded and a spacing, the distance of rows in `gates`
  Index dgates_width;  // likewise for dcolumns and `dgates`
  T* gates;            // (T*B) rows when training, else (chunk*rows)
  T* c;                // rows of padded: (T*B) when training, else 2*rows

  Index time(Index b, Index step) const { return reverse ? length[b] - 1 - step : step; }
  Index longest() const { return rows > 0 ? length[order[0]] : 0; }
};

/// Where rows are kept in the form that a precision multiplies.
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
  const Panels<T>* panels;  // per phase; rows: inputs, then hidden per source
  const T* bias;            // (gates, padded): what W x starts from
  const T* recurrent_bias;  // (padded): what gate start_from_b_hh starts from
  OperandSpace<T> operands;
  // Pointer lists: (chunk * rows) each, and (rows) each.
  const T** input_rows;
  T** output_rows;
  const T** h_prev;
  const T** c_prev;
  T** c;
  T** kept;
  T** gates;
  T** y;
};

/// What a thread writes on its way through the backward pass, for itself alone; `depth` is min(kOuterDepth, T * B).
template <class T>
struct BackwardScratch {
  T* packed_left;    // depth * kOuterRows
  T* packed_right;   // depth * widest
  const T** h_prev;  // B each
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
  const Panels<T>* panels;  // per backward phase; rows: hidden per source
  Panels<T> input_panels;   // W transposed: rows gates * hidden, units inputs
  Sequence<const T> dy;     // data may be null: zeros
  Sequence<T> dx;           // data may be null: not wanted
  T* dh0;                   // (B,H)
  T* dc0;
  T* dw_ih;    // (G*H,I)
  T* dw_hh;    // (G*H,H)
  T* db_ih;    // (G*H)
  T* db_hh;    // (G*H)
  T* dparams;  // (params,H), or (3,H,H) for full peepholes
  T* dgates;   // (T*B) rows, dgates_width apart
  T* carry_h;  // (B, padded): dh_n on entry
  T* carry_c;
  const T* zeros;  // dgates_width
  T* column_sums;  // dcolumns * padded
  T* param_sums;   // params * padded
};

/// Time-batch rows that are folded into the weight gradients at a time.
constexpr Index kOuterDepth = 512;
constexpr Index kOuterRows = 72;

/// What a step is computed for. Training keeps what the backward pass needs; fast uses approximate activations.
enum class Mode { inference, fast, training };
constexpr int kModes = 3;

/// What a cell does around the tiles of one phase, for rows first .. first+n of the lists and one panel: `init` fills
/// their accumulators, `finish` turns them into states. One copy serves every precision.
template <class T>
struct CellKernels {
  void (*init)(const ForwardCall<T>&, T* acc, Index first, Index n, Index panel);
  void (*finish)(const ForwardCall<T>&, const T* acc, Index first, Index n, Index panel);
};

/// What depends on the precision.
template <class T>
struct ForwardKernels {
  int terms;           // of a packed lane
  unsigned char flip;  // xored into packed int8 weights
  /// gates += W x of one phase for rows first .. first+n of input_rows and output_rows, for some of the panels.
  void (*project)(const ForwardCall<T>&, int phase, Index first, Index n, Range panels);
  /// One time step of one phase for the first n rows of the lists.
  void (*step)(const ForwardCall<T>&, int phase, const CellKernels<T>&, Index n, Range panels);
};

template <class T>
struct BackwardKernels {
  void (*steps)(const BackwardCall<T>&);                    // dgates, dh0, dc0 of the rows in layer.order
  void (*parameters)(const BackwardCall<T>&, Range units);  // dW, dR, db, peepholes of some units
  void (*inputs)(const BackwardCall<T>&, Range time_rows);  // dx of rows t * B + b
};

template <class T>
struct KernelTable {
  int lanes;
  CellKernels<T> cell[kModes][cells::kKinds][2];
  const ForwardKernels<T>* forward[kPrecisions];  // null where a precision does not exist for T
  BackwardKernels<T> backward;
  void (*activate)(cells::Activation, bool fast, const T* x, T* y, Index n);  // y = f(x)
  /// Rows to panels of one gate: [panel][row][4][lane].
  Panels<T> (*pack_rows)(const T* const* rows, Index k, Index n, T* out);
  /// out[i * out_stride + j] = in[j * in_stride + i] for i < rows, j < columns.
  void (*transpose)(const T* in, Index in_stride, T* out, Index out_stride, Index rows, Index columns);
  void (*multiply)(const T* const* a, Index rows, const Panels<T>& matrix, T* out);
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
