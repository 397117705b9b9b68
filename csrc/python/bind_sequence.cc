// Forward and backward over sequences. Arguments are checked and results allocated under the GIL, which is then
// released once, around the whole call.
#include "sequences.h"

namespace fastrnn::python {

namespace {

/// What training=True returns: the saved state, and the arrays that it borrows.
struct Cache {
  std::variant<std::unique_ptr<Saved<float>>, std::unique_ptr<Saved<double>>> saved;
  PackedWeights weights;
  py::array x;
  py::array y;
  bool batch_first;
};

template <class T>
py::tuple forward_as(const PackedWeights& packed, const py::array& x_given, py::handle h0_given, py::handle c0_given,
                     py::handle lengths_given, bool reverse, bool batch_first, bool training, py::handle out,
                     py::handle threads, py::handle run_given) {
  const std::shared_ptr<const Weights<T>>& weights = packed.get<T>();
  const Index hidden = weights->hidden(), outputs = weights->outputs();
  const Index c_states = cell_state_count(weights->options().cell);
  ForwardArguments<T> arguments;
  const SequenceArguments sequence(arguments, x_given, batch_first, run_given);
  const Extent& extent = sequence.extent;
  check_shape("x", x_given, sequence.shape(weights->inputs()));
  py::array x;
  arguments.x = view<T>(x_given, batch_first, x);
  const std::vector<Index> h_shape = {1, arguments.batch, outputs}, c_shape = {c_states, arguments.batch, hidden};
  const Optional<T> h0("h0", h0_given, h_shape, "x"), c0("c0", c0_given, c_shape, "x");
  arguments.h0 = h0.data();
  arguments.c0 = c0.data();
  std::vector<Index> lengths;
  if (!lengths_given.is_none()) {
    lengths = length_list(lengths_given, arguments.batch, arguments.steps);
    arguments.lengths = lengths.data();
  }
  const ParsedRun run = parse_run(run_given, extent, training);
  run.apply(arguments);
  arguments.reverse = reverse;
  arguments.threads = threads.is_none() ? 0 : int(integer("threads", threads, 1, kMostThreads));
  py::array_t<T> y = output_array<T>(out, sequence.shape(outputs), "x");
  if (!out.is_none()) {
    if (overlap(y, x)) throw Error("out: shares memory with x");
    if (h0.given() && overlap(y, h0.array())) throw Error("out: shares memory with h0");
    if (c0.given() && overlap(y, c0.array())) throw Error("out: shares memory with c0");
  }
  arguments.y = new_view(y, batch_first);
  py::array_t<T> h_n(h_shape), c_n(c_states > 0 ? c_shape : std::vector<Index>{0});
  arguments.h_n = h_n.mutable_data();
  arguments.c_n = c_n.mutable_data();
  std::unique_ptr<Saved<T>> saved;
  {
    const py::gil_scoped_release release;
    if (training)
      saved = std::make_unique<Saved<T>>(weights, arguments);
    else
      forward(*weights, arguments);
  }
  py::object cache = py::none();
  if (training) cache = py::cast(std::make_unique<Cache>(Cache{std::move(saved), packed, x, y, batch_first}));
  return py::make_tuple(y, h_n, c_states > 0 ? py::object(c_n) : py::none(), cache);
}

py::tuple forward_any(const PackedWeights& packed, py::handle x, py::handle h0, py::handle c0, py::handle lengths,
                      bool reverse, bool batch_first, bool training, py::handle out, py::handle threads,
                      py::handle run) {
  const py::array array = float_array("x", x);
  check_dtype("x", array, packed.dtype(), "the weights");
  return with_type(packed.dtype(), [&](auto* type) {
    return forward_as<std::remove_pointer_t<decltype(type)>>(packed, array, h0, c0, lengths, reverse, batch_first,
                                                             training, out, threads, run);
  });
}

template <class T>
py::tuple backward_as(const Cache& cache, py::handle dy_given, py::handle dh_n_given, py::handle dc_n_given,
                      bool need_dx, py::handle threads) {
  const Saved<T>& saved = *std::get<std::unique_ptr<Saved<T>>>(cache.saved);
  const Weights<T>& weights = saved.weights();
  const Index hidden = weights.hidden(), outputs = weights.outputs(), batch = saved.batch();
  const Index c_states = cell_state_count(weights.options().cell);

  BackwardArguments<T> arguments;
  py::array dy;
  if (!dy_given.is_none()) {
    const py::array array = float_array("dy", dy_given);
    check_dtype("dy", array, dtype_of<T>(), "x");
    check_shape("dy", array, shape_of(cache.y));
    arguments.dy = view<T>(array, cache.batch_first, dy);
  }
  const std::vector<Index> h_shape = {1, batch, outputs}, c_shape = {c_states, batch, hidden};
  const Optional<T> dh_n("dh_n", dh_n_given, h_shape, "x"), dc_n("dc_n", dc_n_given, c_shape, "x");
  arguments.dh_n = dh_n.data();
  arguments.dc_n = dc_n.data();
  arguments.threads = threads.is_none() ? 0 : int(integer("threads", threads, 1, kMostThreads));

  py::array_t<T> dx(need_dx ? shape_like(cache.y, weights.inputs()) : std::vector<Index>{0});
  py::array_t<T> dh0(h_shape), dc0(c_shape);
  if (need_dx) arguments.dx = new_view(dx, cache.batch_first);
  arguments.dh0 = dh0.mutable_data();
  arguments.dc0 = dc0.mutable_data();
  Gradients<T> gradients(cache.weights, arguments);
  {
    const py::gil_scoped_release release;
    backward(saved, arguments);
  }
  const auto given = [](bool is, const py::object& object) { return is ? object : py::object(py::none()); };
  return py::make_tuple(given(need_dx, dx), dh0, given(c_states > 0, dc0), gradients.arrays);
}

py::tuple backward_any(py::handle dy, const Cache& cache, py::handle dh_n, py::handle dc_n, bool need_dx,
                       py::handle threads) {
  return with_type(cache.weights.dtype(), [&](auto* type) {
    return backward_as<std::remove_pointer_t<decltype(type)>>(cache, dy, dh_n, dc_n, need_dx, threads);
  });
}

}  // namespace

void bind_sequence(py::module_& module) {
  using namespace py::literals;
  py::class_<Cache>(module, "Cache", R"doc(What a *_forward(..., training=True) keeps for *_backward.

Immutable, and usable more than once. It refers to the x and y of its call: they must not be changed before the last use.)doc")
      .def_property_readonly("weights", [](const Cache& c) { return c.weights; })
      .def_property_readonly("cell",
                             [](const Cache& c) {
                               return std::visit([](auto& s) { return cell_name(s->weights().options().cell); },
                                                 c.saved);
                             })
      .def_property_readonly("batch",
                             [](const Cache& c) { return std::visit([](auto& s) { return s->batch(); }, c.saved); })
      .def_property_readonly("nbytes",
                             [](const Cache& c) { return std::visit([](auto& s) { return s->bytes(); }, c.saved); });
  module.def("forward", &forward_any, "weights"_a, "x"_a, "h0"_a = py::none(), "c0"_a = py::none(),
             "lengths"_a = py::none(), "reverse"_a = false, "batch_first"_a = false, "training"_a = false,
             "out"_a = py::none(), "threads"_a = py::none(), "run"_a = py::none());
  module.def("backward", &backward_any, "dy"_a, "cache"_a, "dh_n"_a = py::none(), "dc_n"_a = py::none(), py::kw_only(),
             "need_dx"_a = true, "threads"_a = py::none());
}

}  // namespace fastrnn::python
