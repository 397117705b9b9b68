// The shape of a stack and the arguments of its layers, for the CPU and the GPU.
#pragma once

#include <string>
#include <vector>

#include "fastrnn/stack.hpp"

namespace fastrnn {

struct StackShape {
  int layers, directions;
  Index inputs;  // of the first layer
  Index hidden;
  Index own;     // P, the width of one direction's output
  Index merged;  // W, the width of a layer's output
  Index states;  // S, the states beside h
  bool concat;   // the directions write side by side; else each has an array of its own, and they are merged
};

/// Throws Error, naming the layer, if the layers do not fit each other. `weights` point to anything that has options(),
/// inputs(), hidden() and outputs().
template <class Pointer>
StackShape shape_of_stack(const std::vector<Pointer>& weights, int directions, Merge merge, double dropout) {
  const auto wrong = [](const std::string& name, const std::string& expected, const std::string& actual) {
    throw Error(name + ": expected " + expected + ", got " + actual);
  };
  const auto text = [](CellType cell) { return "'" + std::string(kCellNames[int(cell)]) + "'"; };
  if (directions != 1 && directions != 2) wrong("directions", "1 or 2", std::to_string(directions));
  if (weights.empty() || weights.size() % std::size_t(directions) != 0)
    wrong("layers", "one or more, each of " + std::to_string(directions) + " weights",
          std::to_string(weights.size()) + " weights");
  if (!(dropout >= 0 && dropout < 1)) wrong("dropout", "a rate in [0, 1)", std::to_string(dropout));
  for (const Pointer& one : weights)
    if (one == nullptr) wrong("layers", "weights", "null");
  const auto& first = *weights[0];
  const CellType cell = first.options().cell;
  StackShape shape;
  shape.layers = int(weights.size()) / directions;
  shape.directions = directions;
  shape.inputs = first.inputs();
  shape.hidden = first.hidden();
  shape.own = first.outputs();
  shape.concat = directions == 1 || merge == Merge::concat;
  shape.merged = shape.concat ? directions * shape.own : shape.own;
  shape.states = cell_state_count(cell);
  const auto name_of = [&](int layer, int direction) {
    const std::string name = "layers[" + std::to_string(layer) + "]";
    return directions == 1 ? name : name + "[" + std::to_string(direction) + "]";
  };
  for (int layer = 0; layer < shape.layers; ++layer)
    for (int d = 0; d < directions; ++d) {
      const auto& one = *weights[layer * directions + d];
      const std::string name = name_of(layer, d), as = " as " + name_of(0, 0);
      if (one.options().cell != cell) wrong(name, "cell " + text(cell) + as, text(one.options().cell));
      if (one.hidden() != shape.hidden)
        wrong(name, "hidden size " + std::to_string(shape.hidden) + as, std::to_string(one.hidden()));
      if (one.outputs() != shape.own)
        wrong(name, "outputs of width " + std::to_string(shape.own) + as, std::to_string(one.outputs()));
      const Index inputs = layer > 0 ? shape.merged : shape.inputs;
      if (one.inputs() != inputs)
        wrong(name,
              "input size " + std::to_string(inputs) +
                  (layer > 0 ? ", the width of the output of layers[" + std::to_string(layer - 1) + "]" : as),
              std::to_string(one.inputs()));
    }
  return shape;
}

/// The rows of a call: (T,B), or those of packed sequences, whose number falls from step to step.
class Grid {
 public:
  Grid(Index steps, Index batch) : steps_(steps), batch_(batch), total_(steps * batch) {}
  template <class T>
  explicit Grid(const ForwardArguments<T>& arguments) : Grid(arguments.steps, arguments.batch) {
    if (arguments.batch_sizes == nullptr) return;
    sizes_.assign(arguments.batch_sizes, arguments.batch_sizes + steps_);
    total_ = 0;
    for (const Index size : sizes_) {
      before_.push_back(total_);
      total_ += size;
    }
  }

  Index steps() const { return steps_; }
  Index total() const { return total_; }
  Index rows(Index t) const { return sizes_.empty() ? batch_ : sizes_[std::size_t(t)]; }
  /// How many rows all earlier steps have together.
  Index before(Index t) const { return sizes_.empty() ? t * batch_ : before_[std::size_t(t)]; }
  const Index* sizes() const { return sizes_.empty() ? nullptr : sizes_.data(); }

  /// A contiguous array of all rows.
  template <class T>
  Sequence<T> view(T* data, Index width) const {
    return {data, sizes_.empty() ? batch_ * width : 0, width};
  }
  template <class T>
  T* at(const Sequence<T>& s, Index t, Index b) const {
    return sizes_.empty() ? s.at(t, b) : s.data + (before_[std::size_t(t)] + b) * s.row;
  }

 private:
  Index steps_, batch_, total_;
  std::vector<Index> sizes_, before_;  // packed sequences: rows of each step, and of all steps before it
};

/// The same sequence, read-only.
template <class T>
Sequence<const T> read(const Sequence<T>& s) {
  return {s.data, s.step, s.row};
}
/// The same rows, from a column on.
template <class T>
Sequence<T> from_column(Sequence<T> s, Index column) {
  s.data += column;
  return s;
}

/// The arguments of one layer and direction: those of the stack, but for x, y, lengths and the states.
template <class T>
ForwardArguments<T> call_of(const ForwardArguments<T>& arguments, int index, int direction, int threads) {
  ForwardArguments<T> call = arguments;
  call.reverse = direction == 1;
  call.dropout.stream = std::uint32_t(index);
  call.threads = threads;
  return call;
}

/// Block `index` of states, or null.
template <class T>
T* state(T* states, Index index, Index elements) {
  return states != nullptr ? states + index * elements : nullptr;
}

}  // namespace fastrnn
