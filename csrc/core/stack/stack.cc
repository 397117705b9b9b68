// Stacks: checks, and inference layer by layer. csrc/core/stack/stack_job.cc runs layers and directions side by side.
#include "core/stack/stack.h"

#include <cmath>
#include <string>

#include "core/backend/options.h"
#include "core/base/float_mode.h"

namespace fastrnn {

namespace {

/// A long sequence runs through all layers in pieces of so many bytes of output.
constexpr Index kPieceBytes = Index(4) << 20;

}  // namespace

template <class T>
StackShape check_stack(const Stack<T>& stack) {
  return shape_of_stack(stack.weights, stack.directions, stack.merge, stack.dropout);
}

template <class T>
void check_call(const Stack<T>& stack, const ForwardArguments<T>& arguments) {
  if (arguments.reverse) throw Error("reverse: expected false for a stack, got true");
  check_run(stack.weights[0]->options().cell, arguments);
}

template <class T>
Index output_width(const Stack<T>& stack) {
  return check_stack(stack).merged;
}

template <class T>
double stack_work(const Stack<T>& stack, const StackShape& shape, const ForwardArguments<T>& arguments) {
  double rows = double(arguments.steps) * double(arguments.batch), columns = 0;
  if (arguments.lengths != nullptr) {
    rows = 0;
    for (Index b = 0; b < arguments.batch; ++b) rows += double(arguments.lengths[b]);
  }
  if (arguments.batch_sizes != nullptr) rows = double(Grid(arguments).total());
  for (const auto& weights : stack.weights) columns += double(weights->inputs() + shape.own);
  return 2.0 * gate_count(stack.weights[0]->options().cell) * double(shape.hidden) * columns * rows;
}

template <class T>
bool side_by_side(const Stack<T>& stack, const StackShape& shape, Index batch, double work, int threads, int tasks) {
  if (threads < 2 || tasks < 2 || batch >= kFewRows * threads || work < kWorthThreads) return false;
  const double step = 2.0 * gate_count(stack.weights[0]->options().cell) * double(shape.hidden) * double(shape.own);
  return 2 * tasks >= threads || step * double(batch) < kWorthSharing;
}

template <class T>
void merge_rows(const Grid& grid, Merge merge, Index width, Index first, Index last, const Sequence<const T>& a,
                const Sequence<const T>& b, const Sequence<T>& out) {
  const FlushDenormals flush;
  for (Index t = first; t < last; ++t)
    for (Index row = 0; row < grid.rows(t); ++row) {
      const T *x = grid.at(a, t, row), *y = grid.at(b, t, row);
      T* to = grid.at(out, t, row);
      switch (merge) {
        case Merge::concat: break;  // both were written side by side
        case Merge::sum:
          for (Index k = 0; k < width; ++k) to[k] = x[k] + y[k];
          break;
        case Merge::mean:
          for (Index k = 0; k < width; ++k) to[k] = (x[k] + y[k]) * T(0.5);
          break;
        case Merge::mul:
          for (Index k = 0; k < width; ++k) to[k] = x[k] * y[k];
      }
    }
}

namespace {

/// Layer by layer. In one direction a long sequence goes piece by piece through all layers, so that what lies between
/// them stays in the cache, and its memory does not grow with T.
template <class T>
void run_in_order(const Stack<T>& stack, const StackShape& shape, const ForwardArguments<T>& arguments, int threads,
                  bool beside) {
  const Index batch = arguments.batch, steps = arguments.steps;
  const Index h_size = batch * shape.own, c_size = shape.states * batch * shape.hidden;
  const int layers = shape.layers, directions = shape.directions, count = layers * directions;
  const bool pieces = directions == 1 && layers > 1 && may_be_cut(arguments);
  const Index step_bytes = std::max<Index>(1, batch * shape.merged * Index(sizeof(T)));
  const Index piece = pieces ? std::clamp<Index>(kPieceBytes / step_bytes, 64, std::max<Index>(steps, 64)) : steps;
  const Grid grid = piece < steps ? Grid(piece, batch) : Grid(arguments);

  T *between[2], *other, *h[2], *c[2];
  Index* lengths;
  const AlignedBuffer memory = allocate([&](Arena& arena) {
    for (int i = 0; i < 2; ++i) {
      arena.take(between[i], i + 1 < layers ? grid.total() * shape.merged : 0);
      arena.take(h[i], count * h_size);
      arena.take(c[i], count * c_size);
    }
    arena.take(other, shape.concat ? 0 : grid.total() * shape.own);
    arena.take(lengths, batch);
  });
  const T *h0 = arguments.h0, *c0 = arguments.c0;
  Index first = 0;
  do {
    const Index n = std::min(piece, steps - first);
    const Index* given = piece < steps ? cut_lengths(arguments.lengths, batch, first, n, lengths) : arguments.lengths;
    Sequence<const T> x = from_step(arguments.x, first);
    for (int layer = 0; layer < layers; ++layer) {
      const Sequence<T> y =
          layer + 1 < layers ? grid.view(between[layer % 2], shape.merged) : from_step(arguments.y, first);
      const Sequence<T> second = shape.concat ? from_column(y, shape.own) : grid.view(other, shape.own);
      each_direction(directions, beside, [&](int d) {
        const int index = layer * directions + d;
        ForwardArguments<T> call = call_of(arguments, index, d, beside ? 1 : threads);
        call.steps = n;
        call.x = x;
        call.y = d == 0 ? y : second;
        call.lengths = given;
        call.h0 = state(h0, index, h_size);
        call.c0 = state(c0, index, c_size);
        call.h_n = h[0] + index * h_size;
        call.c_n = c[0] + index * c_size;
        forward(*stack.weights[index], call);
      });
      if (!shape.concat)
        over_steps(grid, shape.own, threads, [&](Index begin, Index end) {
          merge_rows(grid, stack.merge, shape.own, begin, end, read(y), read(second), y);
        });
      x = read(y);
    }
    h0 = h[0];
    c0 = c[0];
    std::swap(h[0], h[1]);
    std::swap(c[0], c[1]);
    first += n;
  } while (first < steps);
  std::copy_n(h0, count * h_size, arguments.h_n);
  if (shape.states > 0) std::copy_n(c0, count * c_size, arguments.c_n);
}

}  // namespace

template <class T>
void forward(const Stack<T>& stack, const ForwardArguments<T>& arguments) {
  const StackShape shape = check_stack(stack);
  check_call(stack, arguments);
  const int threads = threads_of(arguments.threads);
  const double work = threads > 1 ? stack_work(stack, shape, arguments) : 0;
  if (threads > 1 && run_stack_job(stack, shape, arguments, work)) return;
  const bool beside =
      shape.directions == 2 && side_by_side(stack, shape, arguments.batch, work, threads, shape.directions);
  run_in_order(stack, shape, arguments, threads, beside);
}

#define FASTRNN_INSTANTIATE(T)                                                                \
  template StackShape check_stack(const Stack<T>&);                                           \
  template void check_call(const Stack<T>&, const ForwardArguments<T>&);                      \
  template Index output_width(const Stack<T>&);                                               \
  template double stack_work(const Stack<T>&, const StackShape&, const ForwardArguments<T>&); \
  template bool side_by_side(const Stack<T>&, const StackShape&, Index, double, int, int);    \
  template void merge_rows(const Grid&, Merge, Index, Index, Index, const Sequence<const T>&, \
                           const Sequence<const T>&, const Sequence<T>&);                     \
  template void forward(const Stack<T>&, const ForwardArguments<T>&);
FASTRNN_INSTANTIATE(float)
FASTRNN_INSTANTIATE(double)
#undef FASTRNN_INSTANTIATE

}  // namespace fastrnn
