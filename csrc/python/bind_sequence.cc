// Forward and backward over sequences. Arguments are checked and results allocated under the GIL, which is then
// released once, around the whole call.
#include "bindings.h"

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

std::string sequence_letters(bool batch_first) { return batch_first ? "(B, T, I)" : "(T, B, I)"; }

/// The shape of y, dy, dx: (T,B,n) or (B,T,n).
std::vector<Index> sequence_shape(Index steps, Index batch, Index n, bool batch_first) {
  if (batch_first) return {batch, steps, n};
  return {steps, batch, n};
}

template <class T>
py::tuple forward_as(const PackedWeights& packed, const py::array& x_given, py::handle h0_given, py::handle c0_given,
                     py::handle lengths_given, bool reverse, bool batch_first, bool training, py::handle out,
                     py::handle threads) {
  const std::shared_ptr<const Weights<T>>& weights = packed.get<T>();
  const bool lstm = weights->options().cell == CellType::lstm;
  const Index hidden = weights->hidden();
  check_rank("x", x_given, sequence_letters(batch_first), 3);
  ForwardArguments<T> arguments;
  arguments.steps = x_given.shape(batch_first ? 1 : 0);
  arguments.batch = x_given.shape(batch_first ? 0 : 1);
  check_shape("x", x_given, sequence_shape(arguments.steps, arguments.batch, weights->inputs(), batch_first));
  py::array x;
  arguments.x = sequence_view<T>(x_given, batch_first, x);
  const std::vector<Index> state_shape = {1, arguments.batch, hidden};
  const Optional<T> h0("h0", h0_given, state_shape, "x"), c0("c0", c0_given, state_shape, "x");
  arguments.h0 = h0.data();
  arguments.c0 = c0.data();
  std::vector<Index> lengths;
  if (!lengths_given.is_none()) {
    lengths = length_list(lengths_given, arguments.batch, arguments.steps);
    arguments.lengths = lengths.data();
  }
  arguments.reverse = reverse;
  arguments.threads = threads.is_none() ? 0 : int(integer("threads", threads, 1, kMostThreads));
  py::array_t<T> y = output_array<T>(out, sequence_shape(arguments.steps, arguments.batch, hidden, batch_first), "x");
  if (!out.is_none()) {
    if (overlap(y, x)) throw Error("out: shares memory with x");
    if (h0.given() && overlap(y, h0.array())) throw Error("out: shares memory with h0");
    if (c0.given() && overlap(y, c0.array())) throw Error("out: shares memory with c0");
  }
  arguments.y = new_sequence_view(y, batch_first);
  py::array_t<T> h_n(state_shape), c_n(lstm ? state_shape : std::vector<Index>{0});
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
  return py::make_tuple(y, h_n, lstm ? py::object(c_n) : py::none(), cache);
}

py::tuple forward_any(const PackedWeights& packed, py::handle x, py::handle h0, py::handle c0, py::handle lengths,
                      bool reverse, bool batch_first, bool training, py::handle out, py::handle threads) {
  const py::array array = float_array("x", x);
  check_dtype("x", array, packed.dtype(), "the weights");
  return with_type(packed.dtype(), [&](auto* type) {
    return forward_as<std::remove_pointer_t<decltype(type)>>(packed, array, h0, c0, lengths, reverse, batch_first,
                                                             training, out, threads);
  });
}

template <class T>
py::tuple backward_as(const Cache& cache, py::handle dy_given, py::handle dh_n_given, py::handle dc_n_given,
                      bool need_dx, py::handle threads) {
  const Saved<T>& saved = *std::get<std::unique_ptr<Saved<T>>>(cache.saved);
  const Weights<T>& weights = saved.weights();
  const CellOptions options = weights.options();
  const bool lstm = options.cell == CellType::lstm;
  const Index hidden = weights.hidden(), inputs = weights.inputs(), steps = saved.steps(), batch = saved.batch();
  const Index rows = gate_count(options.cell) * hidden;

  BackwardArguments<T> arguments;
  py::array dy;
  if (!dy_given.is_none()) {
    const py::array array = float_array("dy", dy_given);
    check_dtype("dy", array, dtype_of<T>(), "x");
    check_shape("dy", array, sequence_shape(steps, batch, hidden, cache.batch_first));
    arguments.dy = sequence_view<T>(array, cache.batch_first, dy);
  }
  const std::vector<Index> state_shape = {1, batch, hidden};
  const Optional<T> dh_n("dh_n", dh_n_given, state_shape, "x"), dc_n("dc_n", dc_n_given, state_shape, "x");
  arguments.dh_n = dh_n.data();
  arguments.dc_n = dc_n.data();
  arguments.threads = threads.is_none() ? 0 : int(integer("threads", threads, 1, kMostThreads));

  py::array_t<T> dx(need_dx ? sequence_shape(steps, batch, inputs, cache.batch_first) : std::vector<Index>{0, 0, 0});
  py::array_t<T> dh0(state_shape), dc0(state_shape);
  py::array_t<T> dw_ih(std::vector<Index>{rows, inputs}), dw_hh(std::vector<Index>{rows, hidden});
  py::array_t<T> db_ih(std::vector<Index>{rows}), db_hh(std::vector<Index>{rows});
  py::array_t<T> dw_peep(options.peephole == Peephole::full       ? std::vector<Index>{3, hidden, hidden}
                         : options.peephole == Peephole::diagonal ? std::vector<Index>{3, hidden}
                                                                  : std::vector<Index>{0});
  if (need_dx) arguments.dx = new_sequence_view(dx, cache.batch_first);
  arguments.dh0 = dh0.mutable_data();
  arguments.dc0 = dc0.mutable_data();
  arguments.dw_ih = dw_ih.mutable_data();
  arguments.dw_hh = dw_hh.mutable_data();
  arguments.db_ih = db_ih.mutable_data();
  arguments.db_hh = db_hh.mutable_data();
  arguments.dw_peep = dw_peep.mutable_data();
  {
    const py::gil_scoped_release release;
    backward(saved, arguments);
  }
  const auto given = [](bool is, const py::object& object) { return is ? object : py::object(py::none()); };
  return py::make_tuple(given(need_dx, dx), dh0, given(lstm, dc0), dw_ih, dw_hh, given(cache.weights.has_b_ih, db_ih),
                        given(cache.weights.has_b_hh, db_hh), given(options.peephole != Peephole::none, dw_peep));
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
      .def_property_readonly("nbytes",
                             [](const Cache& c) { return std::visit([](auto& s) { return s->bytes(); }, c.saved); });
  module.def("forward", &forward_any, "weights"_a, "x"_a, "h0"_a = py::none(), "c0"_a = py::none(),
             "lengths"_a = py::none(), "reverse"_a = false, "batch_first"_a = false, "training"_a = false,
             "out"_a = py::none(), "threads"_a = py::none());
  module.def("backward", &backward_any, "dy"_a, "cache"_a, "dh_n"_a = py::none(), "dc_n"_a = py::none(), py::kw_only(),
             "need_dx"_a = true, "threads"_a = py::none());
}

}  // namespace fastrnn::python
