// Checks the options of a call of forward().
#include <string>

#include "core/backend/options.h"

namespace fastrnn {

namespace {

template <class T>
void check_batch_sizes(const ForwardArguments<T>& arguments) {
  Index before = arguments.batch;
  for (Index t = 0; t < arguments.steps; before = arguments.batch_sizes[t++]) {
    const Index size = arguments.batch_sizes[t];
    if (size < 1 || size > before || (t == 0 && size != before))
      throw Error("batch_sizes: expected values that do not increase, the last at least 1, got " +
                  std::to_string(size) + " at index " + std::to_string(t));
  }
}

}  // namespace

void check_batch(Index steps, Index batch, const Index* lengths) {
  if (steps < 0 || batch < 0)
    throw Error("x: expected 0 or more steps and rows, got " + std::to_string(steps) + " and " + std::to_string(batch));
  for (Index b = 0; lengths != nullptr && b < batch; ++b)
    if (lengths[b] < 0 || lengths[b] > steps)
      throw Error("lengths: expected values in 0.." + std::to_string(steps) + ", got " + std::to_string(lengths[b]) +
                  " at index " + std::to_string(b));
}

template <class T>
void check_run(CellType cell, const ForwardArguments<T>& arguments) {
  check_batch(arguments.steps, arguments.batch, arguments.lengths);
  if (arguments.batch_sizes != nullptr) check_batch_sizes(arguments);
  const auto refuse = [](bool is, const char* name, const char* other) {
    if (is) throw Error(std::string(name) + ": expected None beside " + other + ", got an array");
  };
  refuse(arguments.mask != nullptr && arguments.lengths != nullptr, "mask", "lengths");
  refuse(arguments.mask != nullptr && arguments.reset_mask != nullptr, "reset_mask", "mask");
  refuse(arguments.batch_sizes != nullptr && arguments.lengths != nullptr, "batch_sizes", "lengths");
  refuse(arguments.batch_sizes != nullptr && arguments.mask != nullptr, "batch_sizes", "mask");
  check_rate("dropout", arguments.dropout.inputs);
  check_rate("recurrent_dropout", arguments.dropout.recurrent);
  check_rate("candidate_dropout", arguments.dropout.candidate);
  if (arguments.checkpoint_every < 0) throw Error("checkpoint_every: expected a number of steps >= 1");
  if (arguments.truncate < 0) throw Error("truncate: expected a number of steps >= 1");
  if (arguments.dropout.candidate > 0 && !cells::describe(cell).has_candidate)
    throw Error("candidate_dropout: expected 0 for a cell without a candidate, got " +
                std::to_string(arguments.dropout.candidate));
}

template void check_run<float>(CellType, const ForwardArguments<float>&);
template void check_run<double>(CellType, const ForwardArguments<double>&);

}  // namespace fastrnn
