// Stacks of layers, forward and backward, as bind_sequence.cc does for one.
#include <pybind11/stl.h>

#include "fastrnn/stack.hpp"
#include "sequences.h"

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

Layers layer_list(py::handle given) {
  Layers layers;
  std::size_t directions = 0;
  for (const py::handle item : py::reinterpret_borrow<py::iterable>(given)) {
    const std::string name = "layers[" + std::to_string(layers.size()) + "]";
    std::vector<PackedWeights> row;
    for (const py::handle one : py::reinterpret_borrow<py::iterable>(item)) {
      if (!py::isinstance<PackedWeights>(one)) wrong_type(name, "PackedWeights", Py_TYPE(one.ptr())->tp_name);
      row.push_back(one.cast<const PackedWeights&>());
      if (row.back().dtype() != (layers.empty() ? row : layers[0])[0].dtype())
        wrong_type(name,
                   std::string("weights for x of ") + dtype_name((layers.empty() ? row : layers[0])[0].dtype()) +
                       " as layers[0]",
                   dtype_name(row.back().dtype()));
    }
    if (layers.empty()) directions = row.size();
    if (row.empty() || row.size() > 2) wrong_value(name, "one or two directions", std::to_string(row.size()));
    if (row.size() != directions)
      wrong_value(name, std::to_string(directions) + (directions == 1 ? " direction" : " directions") + " as layers[0]",
                  std::to_string(row.size()));
    layers.push_back(std::move(row));
  }
  if (layers.empty()) wrong_value("layers", "one or more", "none");
  return layers;
}

Merge merge_of(const std::string& name) {
  static const std::pair<const char*, Merge> names[] = {
      {"concat", Merge::concat}, {"sum", Merge::sum}, {"mean", Merge::mean}, {"ave", Merge::mean}, {"mul", Merge::mul}};
  for (const auto& [text, merge] : names)
    if (name == text) return merge;
  wrong_value("merge", "one of 'concat', 'sum', 'mean', 'ave', 'mul'", "'" + name + "'");
}

double rate_of(py::handle object) {
  if (!PyFloat_Check(object.ptr()) && (!PyLong_Check(object.ptr()) || PyBool_Check(object.ptr())))
    wrong_type("dropout", "a float", Py_TYPE(object.ptr())->tp_name);
  const double rate = PyFloat_AsDouble(object.ptr());
  if (PyErr_Occurred() != nullptr || !(rate >= 0 && rate < 1)) {
    PyErr_Clear();
    wrong_value("dropout", "a rate in [0, 1)", py::str(object));
  }
  return rate;
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
py::tuple forward_as(const Layers& layers, const py::array& x_given, py::handle h0_given, py::handle c0_given,
                     py::handle lengths_given, bool batch_first, bool training, py::handle out, py::handle threads,
                     py::handle run_given, const std::string& merge, py::handle dropout) {
  Stack<T> stack = stack_of<T>(layers, merge, dropout);
  const Index width = output_width(stack);
  const Weights<T>& first = *stack.weights[0];
  const Index count = Index(stack.weights.size()), states = cell_state_count(first.options().cell);
  ForwardArguments<T> arguments;
  const SequenceArguments sequence(arguments, x_given, batch_first, run_given);
  check_shape("x", x_given, sequence.shape(first.inputs()));
  py::array x;
  arguments.x = view<T>(x_given, batch_first, x);
  const std::vector<Index> h_shape = {count, arguments.batch, first.outputs()};
  const std::vector<Index> c_shape = {count * states, arguments.batch, first.hidden()};
  const Optional<T> h0("h0", h0_given, h_shape, "x"), c0("c0", c0_given, c_shape, "x");
  arguments.h0 = h0.data();
  arguments.c0 = c0.data();
  std::vector<Index> lengths;
  if (!lengths_given.is_none()) {
    lengths = length_list(lengths_given, arguments.batch, arguments.steps);
    arguments.lengths = lengths.data();
  }
  const ParsedRun run = parse_run(run_given, sequence.extent, training);
  run.apply(arguments);
  arguments.threads = threads.is_none() ? 0 : int(integer("threads", threads, 1, kMostThreads));
  py::array_t<T> y = output_array<T>(out, sequence.shape(width), "x");
  if (!out.is_none()) {
    if (overlap(y, x)) throw Error("out: shares memory with x");
    if (h0.given() && overlap(y, h0.array())) throw Error("out: shares memory with h0");
    if (c0.given() && overlap(y, c0.array())) throw Error("out: shares memory with c0");
  }
  arguments.y = new_view(y, batch_first);
  py::array_t<T> h_n(h_shape), c_n(c_shape);
  arguments.h_n = h_n.mutable_data();
  arguments.c_n = c_n.mutable_data();
  std::unique_ptr<StackSaved<T>> saved;
  {
    const py::gil_scoped_release release;
    if (training)
      saved = std::make_unique<StackSaved<T>>(std::move(stack), arguments);
    else
      forward(stack, arguments);
  }
  py::object cache = py::none();
  if (training) cache = py::cast(std::make_unique<StackCache>(StackCache{std::move(saved), layers, x, y, batch_first}));
  return py::make_tuple(y, h_n, states > 0 ? py::object(c_n) : py::none(), cache);
}

py::tuple forward_any(py::handle layers_given, py::handle x, py::handle h0, py::handle c0, py::handle lengths,
                      bool batch_first, bool training, py::handle out, py::handle threads, py::handle run,
                      const std::string& merge, py::handle dropout) {
  const Layers layers = layer_list(layers_given);
  const py::array array = float_array("x", x);
  const Dtype dtype = layers[0][0].dtype();
  check_dtype("x", array, dtype, "the weights");
  return with_type(dtype, [&](auto* type) {
    return forward_as<std::remove_pointer_t<decltype(type)>>(layers, array, h0, c0, lengths, batch_first, training, out,
                                                             threads, run, merge, dropout);
  });
}

template <class T>
py::tuple backward_as(const StackCache& cache, py::handle dy_given, py::handle dh_n_given, py::handle dc_n_given,
                      bool need_dx, py::handle threads) {
  const StackSaved<T>& saved = *std::get<std::unique_ptr<StackSaved<T>>>(cache.saved);
  const Weights<T>& first = *saved.stack().weights[0];
  const Index count = Index(saved.stack().weights.size()), states = cell_state_count(first.options().cell);

  StackBackwardArguments<T> arguments;
  py::array dy;
  if (!dy_given.is_none()) {
    const py::array array = float_array("dy", dy_given);
    check_dtype("dy", array, dtype_of<T>(), "x");
    check_shape("dy", array, shape_of(cache.y));
    arguments.dy = view<T>(array, cache.batch_first, dy);
  }
  const std::vector<Index> h_shape = {count, saved.batch(), first.outputs()};
  const std::vector<Index> c_shape = {count * states, saved.batch(), first.hidden()};
  const Optional<T> dh_n("dh_n", dh_n_given, h_shape, "x"), dc_n("dc_n", dc_n_given, c_shape, "x");
  arguments.dh_n = dh_n.data();
  arguments.dc_n = dc_n.data();
  arguments.threads = threads.is_none() ? 0 : int(integer("threads", threads, 1, kMostThreads));

  py::array_t<T> dx(need_dx ? shape_like(cache.y, first.inputs()) : std::vector<Index>{0}), dh0(h_shape), dc0(c_shape);
  if (need_dx) arguments.dx = new_view(dx, cache.batch_first);
  arguments.dh0 = dh0.mutable_data();
  arguments.dc0 = dc0.mutable_data();
  py::list layers;
  for (const auto& row : cache.layers) {
    py::list directions;
    for (const PackedWeights& packed : row)
      directions.append(Gradients<T>(packed, arguments.parameters.emplace_back()).arrays);
    layers.append(directions);
  }
  {
    const py::gil_scoped_release release;
    backward(saved, arguments);
  }
  const auto given = [](bool is, const py::object& object) { return is ? object : py::object(py::none()); };
  return py::make_tuple(given(need_dx, dx), dh0, given(states > 0, dc0), layers);
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
  py::class_<StackCache>(module, "StackCache", R"doc(What stack_forward(..., training=True) keeps for stack_backward.

Immutable, and usable more than once. It refers to the x and y of its call: they must not be changed before the last use.)doc")
      .def_property_readonly("layers", [](const StackCache& c) { return c.layers; })
      .def_property_readonly(
          "nbytes", [](const StackCache& c) { return std::visit([](auto& s) { return s->bytes(); }, c.saved); });
  module.def("stack_forward", &forward_any, "layers"_a, "x"_a, "h0"_a = py::none(), "c0"_a = py::none(),
             "lengths"_a = py::none(), "batch_first"_a = false, "training"_a = false, "out"_a = py::none(),
             "threads"_a = py::none(), "run"_a = py::none(), "merge"_a = "concat", "dropout"_a = 0.0);
  module.def("stack_backward", &backward_any, "dy"_a, "cache"_a, "dh_n"_a = py::none(), "dc_n"_a = py::none(),
             py::kw_only(), "need_dx"_a = true, "threads"_a = py::none());
}

}  // namespace fastrnn::python
