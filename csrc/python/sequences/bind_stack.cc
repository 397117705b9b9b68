// Stacks of layers, forward and backward, as bind_sequence.cc does for one.
#include <pybind11/stl.h>

#include "python/interpreter/signals.h"
#include "python/sequences/sequences.h"
#include "python/sequences/stacks.h"

namespace fastrnn::python {

namespace {

using Layers = std::vector<std::vector<PackedWeights>>;  // [layer][direction]

/// What training=True returns: the saved state, and the arrays that it borrows.
struct StackCache {
  std::variant<std::unique_ptr<StackSaved<float>>, std::unique_ptr<StackSaved<double>>> saved;
  Layers layers;
  py::array x;
  py::array y;
  bool batch_first;
};

Layers layers_of(py::handle given) {
  return layer_list<PackedWeights>(
      given, [](const std::string& name, const PackedWeights& one, const PackedWeights& first) {
        if (one.dtype() != first.dtype())
          wrong_type(name, std::string("weights for x of ") + dtype_name(first.dtype()) + " as layers[0]",
                     dtype_name(one.dtype()));
      });
}

template <class T>
Stack<T> stack_of(const Layers& layers, const std::string& merge, py::handle dropout) {
  Stack<T> stack;
  stack.directions = int(layers[0].size());
  stack.merge = merge_of(merge);
  stack.dropout = rate_of(dropout);
  for (const auto& row : layers)
    for (const PackedWeights& one : row) stack.weights.push_back(one.get<T>());
  return stack;
}

template <class T>
py::tuple forward_as(const Layers& layers, const py::array& x, py::handle h0, py::handle c0, py::handle lengths,
                     bool batch_first, bool training, py::handle out, py::handle threads, py::handle run,
                     const std::string& merge, py::handle dropout) {
  Stack<T> stack = stack_of<T>(layers, merge, dropout);
  ForwardArrays<T> call(CallSizes::of_stack(stack), x, h0, c0, lengths, batch_first, training, out, threads, run);
  std::unique_ptr<StackSaved<T>> saved;
  run_interruptible([&] {
    if (training)
      saved = std::make_unique<StackSaved<T>>(std::move(stack), call.arguments);
    else
      forward(stack, call.arguments);
  });
  if (!training) return call.results(py::none());
  return call.results(
      py::cast(std::make_unique<StackCache>(StackCache{std::move(saved), layers, call.x, call.y, batch_first})));
}

py::tuple forward_any(py::handle layers_given, py::handle x, py::handle h0, py::handle c0, py::handle lengths,
                      bool batch_first, bool training, py::handle out, py::handle threads, py::handle run,
                      const std::string& merge, py::handle dropout) {
  const Layers layers = layers_of(layers_given);
  const Dtype dtype = layers[0][0].dtype();
  const py::array array = float_array("x", x, dtype);
  return with_type(dtype, [&](auto* type) {
    return forward_as<std::remove_pointer_t<decltype(type)>>(layers, array, h0, c0, lengths, batch_first, training, out,
                                                             threads, run, merge, dropout);
  });
}

template <class T>
py::tuple backward_as(const StackCache& cache, py::handle dy, py::handle dh_n, py::handle dc_n, bool need_dx,
                      py::handle threads) {
  const StackSaved<T>& saved = *std::get<std::unique_ptr<StackSaved<T>>>(cache.saved);
  BackwardArrays<T, StackBackwardArguments<T>> call(CallSizes::of_stack(saved.stack()), cache.y, saved.batch(),
                                                    cache.batch_first, dy, dh_n, dc_n, need_dx, threads);
  const py::list layers = new_stack_gradients(cache.layers, call.arguments);
  run_interruptible([&] { backward(saved, call.arguments); });
  return call.results(layers);
}

py::tuple backward_any(py::handle dy, const StackCache& cache, py::handle dh_n, py::handle dc_n, bool need_dx,
                       py::handle threads) {
  return with_type(cache.layers[0][0].dtype(), [&](auto* type) {
    return backward_as<std::remove_pointer_t<decltype(type)>>(cache, dy, dh_n, dc_n, need_dx, threads);
  });
}

}  // namespace

void bind_stack(py::module_& module) {
  using namespace py::literals;
  bind_class<StackCache>(module, "StackCache", R"doc(What stack_forward(..., training=True) keeps for stack_backward.

Immutable, and usable more than once. It refers to the x and y of its call: they must not be changed before the last use.)doc")
      .def_property_readonly("layers", [](const StackCache& c) { return c.layers; })
      .def_property_readonly(
          "nbytes", [](const StackCache& c) { return std::visit([](auto& s) { return s->bytes(); }, c.saved); })
      .def("__repr__", [](const StackCache& c) {
        const std::size_t bytes = std::visit([](auto& s) { return s->bytes(); }, c.saved);
        return "StackCache(layers=" + std::to_string(c.layers.size()) +
               ", directions=" + std::to_string(c.layers[0].size()) + ", " + std::to_string(bytes) + " bytes)";
      });
  module.def("stack_forward", &forward_any, "layers"_a, "x"_a, "h0"_a = py::none(), "c0"_a = py::none(),
             "lengths"_a = py::none(), "batch_first"_a = false, "training"_a = false, "out"_a = py::none(),
             "threads"_a = py::none(), "run"_a = py::none(), "merge"_a = "concat", "dropout"_a = 0.0);
  module.def("stack_backward", &backward_any, "dy"_a, "cache"_a, "dh_n"_a = py::none(), "dc_n"_a = py::none(),
             py::kw_only(), "need_dx"_a = true, "threads"_a = py::none());
}

}  // namespace fastrnn::python
