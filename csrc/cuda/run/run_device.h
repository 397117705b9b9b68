// run_forward() in the words of the public interface, for arrays on the device.
#pragma once

#include "cuda/run/run.h"
#include "fastrnn/fastrnn.hpp"

namespace fastrnn::cuda {

/// Which steps the rows have, on the device, from what the host's `lengths`, `mask` and `reset_mask` say.
class RowSteps {
 public:
  RowSteps(Runtime& runtime, const ForwardArguments<float>& arguments);
  const int* length() const { return length_.as<int>(); }
  const int* order() const { return order_.as<int>(); }
  const int* times() const { return times_.as<int>(); }
  const unsigned char* reset() const { return reset_.as<unsigned char>(); }

 private:
  const bool ragged_;
  const Buffer length_, order_, times_, reset_;
};

/// All arrays are those of the arguments, except lengths, order, times and resets, which are those of `steps`.
ForwardJob make_job(const CellOptions& cell, const Parameters<float>& parameters,
                    const ForwardArguments<float>& arguments, Type type, const RowSteps& steps, bool training);

}  // namespace fastrnn::cuda
