// What inference and training of a stack share on the CPU: checks, arrays over all rows of a call, merging, and who
// works on what.
#pragma once

#include <algorithm>
#include <cstdint>
#include <exception>
#include <utility>
#include <vector>

#include "core/backend/stack_shape.h"
#include "core/base/aligned.h"
#include "core/base/interrupt.h"
#include "core/base/threads.h"

namespace fastrnn {

/// Throws Error, naming the layer, if the layers do not fit each other.
template <class T>
StackShape check_stack(const Stack<T>& stack);
/// Throws Error where forward() of a layer would, before anything is run.
template <class T>
void check_call(const Stack<T>& stack, const ForwardArguments<T>& arguments);

/// The same sequence, from step t on.
template <class T>
Sequence<T> from_step(Sequence<T> s, Index t) {
  s.data += t * s.step;  // packed sequences are not cut
  return s;
}

/// Whether a sequence may be run in pieces: lengths may be cut, the other options of a run concern the whole.
template <class T>
bool may_be_cut(const ForwardArguments<T>& arguments) {
  return arguments.mask == nullptr && arguments.reset_mask == nullptr && arguments.batch_sizes == nullptr;
}
/// The lengths of a piece of `steps` steps from `first` on; null stays null.
inline const Index* cut_lengths(const Index* lengths, Index batch, Index first, Index steps, Index* cut) {
  if (lengths == nullptr) return nullptr;
  for (Index b = 0; b < batch; ++b) cut[b] = std::clamp<Index>(lengths[b] - first, 0, steps);
  return cut;
}

/// Floating-point operations of the whole call.
template <class T>
double stack_work(const Stack<T>& stack, const StackShape& shape, const ForwardArguments<T>& arguments);

inline int threads_of(int threads) { return threads > 0 ? threads : num_threads(); }

/// Whether `tasks` that are independent of each other go to a thread each, rather than one after another with all
/// threads within: for few rows, which do not divide well, unless there are many more threads and steps worth sharing.
template <class T>
bool side_by_side(const Stack<T>& stack, const StackShape& shape, Index batch, double work, int threads, int tasks);

/// Calls work(first, last) for parts of the steps, which several threads share, each with denormals flushed to zero.
/// Throws Interrupted.
template <class Work>
void over_steps(const Grid& grid, Index width, int threads, const Work& work) {
  constexpr Index kWorthCutting = 1 << 17, kPiece = 1 << 20;  // elements
  Team team(grid.total() * width < kWorthCutting ? 1 : threads);
  const Index steps = grid.steps(), parts = team.threads();
  const Index piece = std::max<Index>(1, kPiece * steps / std::max<Index>(1, grid.total() * width));
  run_slices(team, int(parts), [&](int i) {
    Watch* const watch = current_watch();
    const Index end = steps * (i + 1) / parts;
    for (Index first = steps * i / parts; first < end && !stops(watch, kPiece * kPerElement); first += piece)
      work(first, std::min(first + piece, end));
  });
  check_interrupted();
}

/// Calls work(direction) for each direction, on two threads or one after another; rethrows what one of them threw.
template <class Work>
void each_direction(int directions, bool side_by_side, const Work& work) {
  if (!side_by_side) {
    for (int d = 0; d < directions; ++d) work(d);
    return;
  }
  std::exception_ptr errors[2];
  Team team(2);
  run_slices(team, directions, [&](int d) {
    try {
      work(d);
    } catch (...) {
      errors[d] = std::current_exception();
    }
  });
  check_interrupted();
  for (const std::exception_ptr& error : errors)
    if (error) std::rethrow_exception(error);
}

/// out = merged a and b, for steps first .. last; out may be a.
template <class T>
void merge_rows(const Grid& grid, Merge merge, Index width, Index first, Index last, const Sequence<const T>& a,
                const Sequence<const T>& b, const Sequence<T>& out);

/// Runs the call with layers or directions side by side and returns true, or returns false where it is too long or too
/// short for it. csrc/core/stack/stack_job.cc
template <class T>
bool run_stack_job(const Stack<T>& stack, const StackShape& shape, const ForwardArguments<T>& arguments, double work);

}  // namespace fastrnn
