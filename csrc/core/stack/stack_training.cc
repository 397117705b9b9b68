// Training of a stack: forward with dropout between the layers, and backward through them in the opposite order.
#include <string>

#include "core/base/float_mode.h"
#include "core/base/random.h"
#include "core/stack/stack.h"

namespace fastrnn {

template <class T>
struct StackSavedData {
  Stack<T> stack;
  StackShape shape;
  Grid grid;
  Index batch;
  unsigned long long seed;
  std::vector<Sequence<const T>> own;  // [layer*D + direction]: where directions are merged
  std::vector<std::unique_ptr<Saved<T>>> saved;
  AlignedBuffer memory;
  double work;

  Masks masks(int layer) const { return Masks(seed, std::uint32_t(layer), MaskKind::between_layers, stack.dropout); }
  /// Whether the two directions run side by side.
  bool beside(int threads) const {
    return shape.directions == 2 && side_by_side(stack, shape, batch, work, threads, 2);
  }
};

namespace {

/// to = from times the masks of `layer`; `to` may be `from`.
template <class T>
void drop(const StackSavedData<T>& data, int layer, int threads, const Sequence<const T>& from, const Sequence<T>& to) {
  const Index width = data.shape.merged;
  const Masks masks = data.masks(layer);
  over_steps(data.grid, width, threads, [&](Index first, Index last) {
    const FlushDenormals flush;
    constexpr Index kBlock = 256;
    T mask[kBlock];
    for (Index t = first; t < last; ++t)
      for (Index b = 0; b < data.grid.rows(t); ++b)
        for (Index k = 0; k < width; k += kBlock) {
          const Index n = std::min(kBlock, width - k);
          masks.fill_inverted(t, b, n, mask, k);
          const T* x = data.grid.at(from, t, b) + k;
          T* y = data.grid.at(to, t, b) + k;
          for (Index i = 0; i < n; ++i) y[i] = x[i] * mask[i];
        }
  });
}

template <class T>
void check_training(const Stack<T>& stack) {
  for (const auto& weights : stack.weights)
    if (weights->pack_options().precision != Precision::full || weights->pack_options().fast_activations)
      throw Error("training: expected weights of full precision with exact activations");
}

}  // namespace

template <class T>
StackSaved<T>::StackSaved(Stack<T> stack, const ForwardArguments<T>& given) {
  const StackShape shape = check_stack(stack);
  check_call(stack, given);
  check_training(stack);
  data_.reset(
      new StackSavedData<T>{std::move(stack), shape, Grid(given), given.batch, given.dropout.seed, {}, {}, {}, 0});
  StackSavedData<T>& data = *data_;
  data.work = stack_work(data.stack, shape, given);
  ForwardArguments<T> arguments = given;
  arguments.batch_sizes = data.grid.sizes();
  const Grid& grid = data.grid;
  const int layers = shape.layers, directions = shape.directions, count = layers * directions;
  const int threads = threads_of(given.threads);
  const bool beside = data.beside(threads), drops = data.stack.dropout > 0;
  const Index h_size = given.batch * shape.own, c_size = shape.states * given.batch * shape.hidden;

  std::vector<T*> merged(layers), dropped(layers), own(count);
  T *h_n, *c_n;
  data.memory = allocate([&](Arena& arena) {
    for (int layer = 0; layer < layers; ++layer) {
      const Index within = layer + 1 < layers ? grid.total() * shape.merged : 0;
      arena.take(merged[layer], within);
      arena.take(dropped[layer], drops && shape.concat ? within : 0);
    }
    for (T*& one : own) arena.take(one, shape.concat ? 0 : grid.total() * shape.own);
    arena.take(h_n, count * h_size);
    arena.take(c_n, count * c_size);
  });
  data.saved.resize(count);
  Sequence<const T> x = given.x;
  for (int layer = 0; layer < layers; ++layer) {
    const bool last = layer + 1 == layers;
    const Sequence<T> y = last ? given.y : grid.view(merged[layer], shape.merged);
    each_direction(directions, beside, [&](int d) {
      const int index = layer * directions + d;
      ForwardArguments<T> call = call_of(arguments, index, d, beside ? 1 : threads);
      call.x = x;
      call.y = shape.concat ? from_column(y, d * shape.own) : grid.view(own[index], shape.own);
      call.h0 = state(given.h0, index, h_size);
      call.c0 = state(given.c0, index, c_size);
      call.h_n = h_n + index * h_size;
      call.c_n = c_n + index * c_size;
      data.saved[index] = std::make_unique<Saved<T>>(data.stack.weights[index], call);
    });
    if (!shape.concat) {
      for (int d = 0; d < 2; ++d) data.own.push_back(read(grid.view(own[layer * 2 + d], shape.own)));
      over_steps(grid, shape.own, threads, [&](Index begin, Index end) {
        merge_rows(grid, data.stack.merge, shape.own, begin, end, data.own[layer * 2], data.own[layer * 2 + 1], y);
      });
    }
    x = read(y);
    if (last || !drops) continue;
    // A layer reads its own output again, as the states before its steps: only a merged one may be changed in place.
    const Sequence<T> to = shape.concat ? grid.view(dropped[layer], shape.merged) : y;
    drop(data, layer, threads, x, to);
    x = read(to);
  }
  std::copy_n(h_n, count * h_size, given.h_n);
  if (shape.states > 0) std::copy_n(c_n, count * c_size, given.c_n);
}
template <class T>
StackSaved<T>::~StackSaved() = default;
template <class T>
const Stack<T>& StackSaved<T>::stack() const noexcept {
  return data_->stack;
}
template <class T>
Index StackSaved<T>::steps() const noexcept {
  return data_->grid.steps();
}
template <class T>
Index StackSaved<T>::batch() const noexcept {
  return data_->batch;
}
template <class T>
std::size_t StackSaved<T>::bytes() const noexcept {
  std::size_t bytes = data_->memory.bytes();
  for (const auto& saved : data_->saved) bytes += saved->bytes();
  return bytes;
}

namespace {

/// The gradient of a direction's own output, from that of the merged one: dy itself, or what it writes to `to`.
template <class T>
Sequence<const T> split(const StackSavedData<T>& data, int layer, int direction, int threads,
                        const Sequence<const T>& dy, const Sequence<T>& to) {
  const Index width = data.shape.own;
  const Merge merge = data.stack.merge;
  if (dy.data == nullptr || data.shape.directions == 1) return dy;
  if (merge == Merge::concat) return from_column(dy, direction * width);
  if (merge == Merge::sum) return dy;
  over_steps(data.grid, width, threads, [&](Index first, Index last) {
    const FlushDenormals flush;
    for (Index t = first; t < last; ++t)
      for (Index b = 0; b < data.grid.rows(t); ++b) {
        const T *d = data.grid.at(dy, t, b), *other = data.grid.at(data.own[layer * 2 + 1 - direction], t, b);
        T* own = data.grid.at(to, t, b);
        for (Index k = 0; k < width; ++k) own[k] = d[k] * (merge == Merge::mul ? other[k] : T(0.5));
      }
  });
  return read(to);
}

/// to += from.
template <class T>
void add(const Grid& grid, Index width, int threads, const Sequence<const T>& from, const Sequence<T>& to) {
  over_steps(grid, width, threads, [&](Index first, Index last) {
    const FlushDenormals flush;
    for (Index t = first; t < last; ++t)
      for (Index b = 0; b < grid.rows(t); ++b) {
        const T* x = grid.at(from, t, b);
        T* y = grid.at(to, t, b);
        for (Index k = 0; k < width; ++k) y[k] += x[k];
      }
  });
}

}  // namespace

template <class T>
void backward(const StackSaved<T>& saved, const StackBackwardArguments<T>& arguments) {
  const StackSavedData<T>& data = saved.data();
  const StackShape& shape = data.shape;
  const Grid& grid = data.grid;
  const int layers = shape.layers, directions = shape.directions, count = layers * directions;
  if (arguments.parameters.size() != std::size_t(count))
    throw Error("parameters: expected " + std::to_string(count) + ", got " +
                std::to_string(arguments.parameters.size()));
  const int threads = threads_of(arguments.threads);
  const bool beside = data.beside(threads), need_dx = arguments.dx.data != nullptr;
  const Index h_size = data.batch * shape.own, c_size = shape.states * data.batch * shape.hidden;
  const bool splits = directions == 2 && (data.stack.merge == Merge::mean || data.stack.merge == Merge::mul);

  T *between[2], *second, *split_memory[2];
  const Index second_width = std::max(layers > 1 ? shape.merged : 0, need_dx ? shape.inputs : 0);
  const AlignedBuffer memory = allocate([&](Arena& arena) {
    for (int i = 0; i < 2; ++i) {
      arena.take(between[i], i + 1 < layers ? grid.total() * shape.merged : 0);
      arena.take(split_memory[i], splits ? grid.total() * shape.own : 0);
    }
    arena.take(second, directions == 2 ? grid.total() * second_width : 0);
  });
  Sequence<const T> dy = arguments.dy;
  for (int layer = layers - 1; layer >= 0; --layer) {
    const Index inputs = layer > 0 ? shape.merged : shape.inputs;
    const bool wants_dx = layer > 0 || need_dx;
    const Sequence<T> dx = layer > 0 ? grid.view(between[(layer - 1) % 2], inputs) : arguments.dx;
    Sequence<T> dx_second;
    if (wants_dx && directions == 2) dx_second = grid.view(second, inputs);
    Sequence<const T> own[2];
    for (int d = 0; d < directions; ++d)
      own[d] = split(data, layer, d, threads, dy, splits ? grid.view(split_memory[d], shape.own) : Sequence<T>());
    each_direction(directions, beside, [&](int d) {
      const int index = layer * directions + d;
      BackwardArguments<T> call = arguments.parameters[index];
      call.dy = own[d];
      call.dh_n = state(arguments.dh_n, index, h_size);
      call.dc_n = state(arguments.dc_n, index, c_size);
      call.dx = d == 0 ? dx : dx_second;
      call.dh0 = arguments.dh0 + index * h_size;
      call.dc0 = state(arguments.dc0, index, c_size);
      call.threads = beside ? 1 : threads;
      backward(*data.saved[index], call);
    });
    if (wants_dx && directions == 2) add(grid, inputs, threads, read(dx_second), dx);
    dy = read(dx);
    if (layer > 0 && data.stack.dropout > 0) drop(data, layer - 1, threads, dy, dx);
  }
}

#define FASTRNN_INSTANTIATE(T)       \
  template class StackSaved<T>;      \
  template struct StackSavedData<T>; \
  template void backward(const StackSaved<T>&, const StackBackwardArguments<T>&);
FASTRNN_INSTANTIATE(float)
FASTRNN_INSTANTIATE(double)
#undef FASTRNN_INSTANTIATE

}  // namespace fastrnn
