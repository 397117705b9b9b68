// A layer in one direction, with all arrays on the device.
#pragma once

#include "cuda/plan/plan.h"
#include "cuda/shared/params.h"
#include "cuda/shared/runtime.h"

namespace fastrnn::cuda {

/// All arrays are float32 on the device, contiguous but for rows (t,b) and in time order; fastrnn.hpp has the shapes.
/// Null: h0, c0, biases and peepholes are zero or absent, all rows have T steps, and nothing is kept for the backward
/// pass. Only Tier::graph supports what is in `extension`.
struct LayerJob : StepTimes<int> {
  Problem problem;  // but for its pass
  int inputs = 0;
  const float* x = nullptr;
  Index x_step = 0, x_row = 0;
  const float *w_ih = nullptr, *w_hh = nullptr, *w_peep = nullptr;
  const float *h0 = nullptr, *c0 = nullptr;
  const int* order = nullptr;  // (B) the rows by decreasing length
  Extension extension{};
};

/// A pass that saves gates needs x and y with all rows (t,b) one behind the other.
struct ForwardJob : LayerJob {
  Index y_step = 0, y_row = 0;
  const float *b_ih = nullptr, *b_hh = nullptr;
  float *y = nullptr, *h_n = nullptr, *c_n = nullptr;
  float *gates = nullptr, *c = nullptr;  // (T,B,saved_columns(),H), (T,B,c_states,H)
};

/// y, gates and c are what the forward pass of the same layer left; x, y, dy and dx have all rows one behind the other.
/// A null input gradient means zero, a null output is skipped; dh0 is required, and dc0 where the cell has a c.
struct BackwardJob : LayerJob {
  const float *y = nullptr, *gates = nullptr, *c = nullptr;
  const float *dy = nullptr, *dh_n = nullptr, *dc_n = nullptr;
  float *dx = nullptr, *dh0 = nullptr, *dc0 = nullptr;
  Index y_row = 0, dy_row = 0, dx_row = 0;
  bool add_dx = false;                  // dx += instead of dx =
  BackwardArguments<float> parameters;  // where their gradients go; its other fields are not used
};

/// Enqueues W x and the recurrence. Tier::grid also waits for them: only then is it known that no block was lost.
/// Throws CudaError.
void run_forward(Runtime& runtime, const DeviceSpec& device, const ForwardJob& job, std::optional<Tier> tier = {});

/// Enqueues the backward recurrence, waits as above, and enqueues the products and sums that follow it.
void run_backward(Runtime& runtime, const DeviceSpec& device, const BackwardJob& job, std::optional<Tier> tier = {});

}  // namespace fastrnn::cuda
