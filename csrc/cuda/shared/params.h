// What a recurrence kernel is given. Plain data, all pointers into device memory; passed by value.
//
// Shapes: T time steps, B batch, H hidden, G gates. All arrays are float32 and contiguous but for y, dy. What is kept
// for the backward pass lies by time, as x and y do, so that the products after the loop meet rows in one order.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/backend/step_times.h"
#include "cuda/shared/layout.h"
#include "cuda/shared/random_mask.h"

namespace fastrnn::cuda {

/// Rows (t,b) of H elements, `step` and `row` elements apart.
template <class T>
struct Rows {
  T* data;
  Index step, row;
  FASTRNN_CELL T* at(int t, int b) const { return data + t * step + b * row; }
};

/// What only Tier::graph supports. Null or zero: absent.
struct Extension {
  int projection;              // P: the width of h, h0, y and their gradients, and of the rows of w_hh
  const float* w_hr;           // (P,H)
  const float *ln_ih, *ln_hh;  // (G*H)
  const float* ln_c;           // (2,H)
  float norm_epsilon;
  float gate_bias[4];  // a constant that each unit's bias has beside b_ih and b_hh, by gate
  // Training alone.
  RandomMask candidate, zoneout_h, zoneout_c;
  RandomMask recurrent;  // of h where it meets w_hh: that of time 0 at all steps
  float* statistics;  // (T,B,kStatistics) with layer normalisation: 1 / standard deviation, as core/backend/kernels.h
                      // has them
};

struct LayerParams : StepTimes<int> {
  Geometry geometry;
  Layout layout;  // layout_of(); here it is read from constant memory: as a local it took the registers of 7 kernels
  cells::Options options;
  int hidden;
  const int* order;     // (B) the rows by decreasing length, so that a group's rows end together; null: as they are
  const float* w_hh;    // (G*H,H)
  const float* b_ih;    // (G*H), or null: zeros
  const float* b_hh;    // (G*H), or null: zeros
  const float* w_peep;  // (3,H): diagonal peepholes, or null; Tier::graph: (3,H,H) if full, u of an IndRNN
  const float* h0;      // (B,H), or null: zeros
  const float* c0;      // (B,H), or null: zeros; with several cell states (c_states,B,H)
  Rows<float> y;        // (T,B,H): written by forward, zeros where a row has ended; read by backward
  float* gates;         // (T,B,columns,H): written by forward unless null, read by backward
  float* c;             // (T,B,H), likewise; with several cell states (T,B,c_states,H)
  Extension extension;
  // Tier::grid alone: zeroed before every launch.
  void* exchange;                 // what blocks publish; exchange_bytes
  unsigned* flags;                // a word per block
  unsigned* status;               // zero; becomes kGaveUp if a block has waited for another longer than `wait_limit`
  unsigned long long wait_limit;  // nanoseconds

  /// Of h and y: P.
  FASTRNN_CELL int width() const { return extension.projection > 0 ? extension.projection : hidden; }
};

constexpr unsigned kGaveUp = 1;

struct ForwardParams : LayerParams {
  const float* input;  // (T,B,G*H): W x, without bias
  float* h_n;          // (B,H)
  float* c_n;          // (B,H), as c0
};

struct BackwardParams : LayerParams {
  Rows<const float> dy;  // (T,B,H); data null: zeros
  const float* dh_n;     // (B,H), or null: zeros
  const float* dc_n;     // (B,H), or null: zeros; as c0
  float* dgates;         // (T,B,dcolumns,H), zeros where a row has ended
  float* dh0;            // (B,H)
  float* dc0;            // (B,H), as c0
};

}  // namespace fastrnn::cuda
