// A layer in one direction on a device, from arrays there to arrays there.
#pragma once

#include "cuda/params.h"
#include "cuda/plan.h"
#include "cuda/runtime.h"

namespace fastrnn::cuda {

/// All arrays are float32 on the device, contiguous and in time order; fastrnn.hpp has the shapes. Null: h0, c0, biases
/// and peepholes are zero or absent, all rows have T steps, and nothing is kept for the backward pass. What `extension`
/// has only Tier::graph takes.
struct ForwardJob {
  Problem problem;
  int inputs = 0;
  bool reverse = false;
  const float *x = nullptr, *w_ih = nullptr, *w_hh = nullptr, *b_ih = nullptr, *b_hh = nullptr, *w_peep = nullptr;
  const float *h0 = nullptr, *c0 = nullptr;
  const int *length = nullptr, *order = nullptr;  // (B) each; order: by decreasing length
  float *y = nullptr, *h_n = nullptr, *c_n = nullptr;
  float *gates = nullptr, *c = nullptr;  // (T,B,columns,H), (T,B,H)
  Extension extension{};
};

/// Enqueues W x and the recurrence; Tier::grid waits for them, too: only then is it known that no block was lost.
/// Throws CudaError.
void run_forward(Runtime& runtime, const DeviceSpec& device, const ForwardJob& job, std::optional<Tier> tier = {});

}  // namespace fastrnn::cuda
