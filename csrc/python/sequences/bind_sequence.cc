// Forward and backward over sequences. Arguments are checked and results allocated under the GIL, which is then
// released once, around the whole call.
#include "fastrnn/inspect.hpp"
#include "python/interpreter/signals.h"
#include "python/sequences/sequences.h"
#include "python/weights/parameters.h"

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
py::tuple forward_as(const PackedWeights& packed, const py::array& x, py::handle h0, py::handle c0, py::handle lengths,
                     bool reverse, bool batch_first, bool training, py::handle out, py::handle threads,
                     py::handle run) {
  const std::shared_ptr<const Weights<T>>& weights = packed.get<T>();
  ForwardArrays<T> call(CallSizes::of(*weights), x, h0, c0, lengths, batch_first, training, out, threads, run);
  call.arguments.reverse = reverse;
  std::unique_ptr<Saved<T>> saved;
  run_interruptible([&] {
    if (training)
      saved = std::make_unique<Saved<T>>(weights, call.arguments);
    else
      forward(*weights, call.arguments);
  });
  if (!training) return call.results(py::none());
  return call.results(py::cast(std::make_unique<Cache>(Cache{std::move(saved), packed, call.x, call.y, batch_first})));
}

py::tuple forward_any(const PackedWeights& packed, py::handle x, py::handle h0, py::handle c0, py::handle lengths,
                      bool reverse, bool batch_first, bool training, py::handle out, py::handle threads,
                      py::handle run) {
  const py::array array = float_array("x", x, packed.dtype());
  return with_type(packed.dtype(), [&](auto* type) {
    return forward_as<std::remove_pointer_t<decltype(type)>>(packed, array, h0, c0, lengths, reverse, batch_first,
                                                             training, out, threads, run);
  });
}

template <class T>
py::tuple backward_as(const Cache& cache, py::handle dy, py::handle dh_n, py::handle dc_n, bool need_dx,
                      py::handle threads) {
  const Saved<T>& saved = *std::get<std::unique_ptr<Saved<T>>>(cache.saved);
  BackwardArrays<T, BackwardArguments<T>> call(CallSizes::of(saved.weights()), cache.y, saved.batch(),
                                               cache.batch_first, dy, dh_n, dc_n, need_dx, threads);
  const py::dict gradients = new_gradients(cache.weights.parameters, call.arguments);
  run_interruptible([&] { backward(saved, call.arguments); });
  return call.results(gradients);
}

py::tuple backward_any(py::handle dy, const Cache& cache, py::handle dh_n, py::handle dc_n, bool need_dx,
                       py::handle threads) {
  return with_type(cache.weights.dtype(), [&](auto* type) {
    return backward_as<std::remove_pointer_t<decltype(type)>>(cache, dy, dh_n, dc_n, need_dx, threads);
  });
}

/// Name to array (T,B,H), or (B,T,H) where the call was batch-first.
template <class T>
py::dict activations_as(const Saved<T>& saved, bool batch_first) {
  const std::string names = kept_names(saved.weights().options().cell);
  py::dict result;
  for (std::size_t which = 0; which < names.size(); ++which) {
    py::array_t<T> values({saved.steps(), saved.batch(), saved.weights().hidden()});
    copy_kept(saved, int(which), values.mutable_data());
    result[py::str(names.substr(which, 1))] = batch_first ? values.attr("swapaxes")(0, 1) : py::object(values);
  }
  return result;
}

}  // namespace

void bind_sequence(py::module_& module) {
  using namespace py::literals;
  bind_class<Cache>(module, "Cache", R"doc(What a *_forward(..., training=True) keeps for *_backward.

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
                             [](const Cache& c) { return std::visit([](auto& s) { return s->bytes(); }, c.saved); })
      .def(
          "activations",
          [](const Cache& c) {
            return std::visit([&](auto& s) { return activations_as(*s, c.batch_first); }, c.saved);
          },
          R"doc(What the call has kept of the gates and cell states: copies, by name.

Names are those of the equations: i, f, g, o and c of an LSTM, r, z, n of a GRU, h of an RNN before its zoneout. The
arrays are (T,B,H), (B,T,H) of a batch-first call; a step that a row does not have is NaN. ValueError of
a call with checkpoint_every, which keeps no gates.)doc")
      .def("__repr__", [](const Cache& c) {
        return std::visit(
            [](auto& s) {
              const auto& w = s->weights();
              return "Cache(" + std::string(cell_name(w.options().cell)) + ", " + std::to_string(w.inputs()) + " -> " +
                     std::to_string(w.hidden()) + ", batch=" + std::to_string(s->batch()) + ", " +
                     std::to_string(s->bytes()) + " bytes)";
            },
            c.saved);
      });
  module.def("forward", &forward_any, "weights"_a, "x"_a, "h0"_a = py::none(), "c0"_a = py::none(),
             "lengths"_a = py::none(), "reverse"_a = false, "batch_first"_a = false, "training"_a = false,
             "out"_a = py::none(), "threads"_a = py::none(), "run"_a = py::none());
  module.def("backward", &backward_any, "dy"_a, "cache"_a, "dh_n"_a = py::none(), "dc_n"_a = py::none(),
             "need_dx"_a = true, "threads"_a = py::none());
}

}  // namespace fastrnn::python
