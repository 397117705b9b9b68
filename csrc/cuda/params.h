// What a recurrence kernel is given. Plain data, all pointers into device memory; passed by value.
//
// Shapes: T time steps, B batch, H hidden, G gates. All arrays are float32 and contiguous but for y, dy. What is kept
// for the backward pass lies by time, as x and y do, so that the products after the loop meet rows in one order.
#pragma once

#include <cstddef>

#include "cuda/layout.h"

namespace fastrnn::cuda {

using Index = std::ptrdiff_t;

/// Rows (t,b) of H elements, `step` and `row` elements apart.
template <class T>
struct Rows {
  T* data;
  Index step, row;
  FASTRNN_CELL T* at(int t, int b) const { return data + t * step + b * row; }
};

struct LayerParams {
  Geometry geometry;
  Layout layout;  // layout_of(); here it is read from constant memory: as a local it took the registers of 7 kernels
  cells::Options options;
  int steps, batch, hidden;
  bool reverse;         // row b runs through times length[b]-1 .. 0
  const int* length;    // (B) in 0..T; null: T
  const int* order;     // (B) the rows by decreasing length, so that a group's rows end together; null: as they are
  const float* w_hh;    // (G*H,H)
  const float* b_ih;    // (G*H), or null: zeros
  const float* b_hh;    // (G*H), or null: zeros
  const float* w_peep;  // (3,H): diagonal peepholes, or null
  const float* h0;      // (B,H), or null: zeros
  const float* c0;      // (B,H), or null: zeros
  Rows<float> y;        // (T,B,H): written by forward, zeros where a row has ended; read by backward
  float* gates;         // (T,B,columns,H): written by forward unless null, read by backward
  float* c;             // (T,B,H), likewise
  // Tier::grid alone: zeroed before every launch.
  void* exchange;    // what blocks publish; exchange_bytes
  unsigned* flags;   // a word per block
  unsigned* status;  // zero; becomes kGaveUp if a block has waited for more than `spin_budget` looks at a flag
  unsigned spin_budget;

  FASTRNN_CELL int length_of(int b) const { return length != nullptr ? length[b] : steps; }
  FASTRNN_CELL int time(int b, int step) const { return reverse ? length_of(b) - 1 - step : step; }
};

constexpr unsigned kGaveUp = 1;

struct ForwardParams : LayerParams {
  const float* input;  // (T,B,G*H): W x, without bias
  float* h_n;          // (B,H)
  float* c_n;          // (B,H)
};

struct BackwardParams : LayerParams {
  Rows<const float> dy;  // (T,B,H); data null: zeros
  const float* dh_n;     // (B,H), or null: zeros
  const float* dc_n;     // (B,H), or null: zeros
  float* dgates;         // (T,B,dcolumns,H), zeros where a row has ended
  float* dh0;            // (B,H)
  float* dc0;            // (B,H)
};

}  // namespace fastrnn::cuda
