// Calls over sequences as arrays: (T,B,n), (B,T,n) with batch_first, or, with batch_sizes, PyTorch's packed (N,n).
#pragma once

#include "python/bindings.h"

namespace fastrnn::python {

/// T and B, from the shape of x or from batch_sizes, which it keeps for the call.
struct SequenceArguments {
  Extent extent{};
  std::vector<Index> batch_sizes;
  Index packed_rows = 0;

  template <class T>
  SequenceArguments(ForwardArguments<T>& arguments, const py::array& x, bool batch_first, py::handle run)
      : batch_sizes(parse_batch_sizes(run)) {
    extent.batch_first = batch_first;
    if (batch_sizes.empty()) {
      check_rank("x", x, batch_first ? "(B, T, I)" : "(T, B, I)", 3);
      extent.steps = x.shape(batch_first ? 1 : 0);
      extent.batch = x.shape(batch_first ? 0 : 1);
    } else {
      if (batch_first) throw Error("batch_first: expected False beside batch_sizes, got True");
      extent.steps = Index(batch_sizes.size());
      extent.batch = batch_sizes[0];
      for (const Index size : batch_sizes) packed_rows += size;
      arguments.batch_sizes = batch_sizes.data();
    }
    arguments.steps = extent.steps;
    arguments.batch = extent.batch;
  }

  /// The shape of x or y with n features.
  std::vector<Index> shape(Index n) const {
    if (!batch_sizes.empty()) return {packed_rows, n};
    if (extent.batch_first) return {extent.batch, extent.steps, n};
    return {extent.steps, extent.batch, n};
  }
};

/// The shape of `array` with another last axis.
inline std::vector<Index> shape_like(const py::array& array, Index last) {
  std::vector<Index> shape = shape_of(array);
  shape.back() = last;
  return shape;
}

/// A checked x or dy, of two axes (packed) or three, as a Sequence.
template <class T>
Sequence<const T> view(const py::array& array, bool batch_first, py::array& holder) {
  if (array.ndim() == 3) return sequence_view<T>(array, batch_first, holder);
  const py::array three = array.attr("reshape")(1, array.shape(0), array.shape(1));
  return sequence_view<T>(three, false, holder);
}
template <class T>
Sequence<T> new_view(py::array_t<T>& array, bool batch_first) {
  if (array.ndim() == 3) return new_sequence_view(array, batch_first);
  return {array.mutable_data(), 0, array.strides(0) / Index(sizeof(T)), nullptr};
}

/// The sizes of a call's arrays, from its weights; a single layer is a stack of one.
struct CallSizes {
  Index inputs, hidden, own, merged;  // I, H, P, W
  Index states, count;                // S, and layers times directions

  template <class W>
  static CallSizes of(const W& layer) {
    return {
        layer.inputs(), layer.hidden(), layer.outputs(), layer.outputs(), cell_state_count(layer.options().cell), 1};
  }
  template <class S>
  static CallSizes of_stack(const S& stack) {
    CallSizes sizes = of(*stack.weights[0]);
    sizes.merged = output_width(stack);
    sizes.count = Index(stack.weights.size());
    return sizes;
  }
  std::vector<Index> h_shape(Index batch) const { return {count, batch, own}; }
  std::vector<Index> c_shape(Index batch) const { return {count * states, batch, hidden}; }
};

/// The arguments of a forward call, checked, and its results. `arguments` borrow from the rest.
template <class T>
class ForwardArrays {
 public:
  ForwardArrays(const CallSizes& sizes, const py::array& x_given, py::handle h0, py::handle c0, py::handle lengths,
                bool batch_first, bool training, py::handle out, py::handle threads, py::handle run)
      : sequence_(arguments, checked_x(x_given), batch_first, run),
        h0_("h0", h0, sizes.h_shape(arguments.batch), "x"),
        c0_("c0", c0, sizes.c_shape(arguments.batch), "x"),
        has_c_(sizes.states > 0),
        y(output_array<T>(out, sequence_.shape(sizes.merged), "x")),
        h_n(sizes.h_shape(arguments.batch)),
        c_n(sizes.c_shape(arguments.batch)) {
    check_shape("x", x_given, sequence_.shape(sizes.inputs));
    arguments.x = view<T>(x_given, batch_first, x);
    arguments.h0 = h0_.data();
    arguments.c0 = c0_.data();
    if (!lengths.is_none()) {
      lengths_ = length_list(lengths, arguments.batch, arguments.steps);
      arguments.lengths = lengths_.data();
    }
    run_ = parse_run(run, sequence_.extent, training);
    run_.apply(arguments);
    arguments.threads = thread_count(threads);
    if (!out.is_none()) {
      if (overlap(y, x)) throw Error("out: shares memory with x");
      if (h0_.given() && overlap(y, h0_.array())) throw Error("out: shares memory with h0");
      if (c0_.given() && overlap(y, c0_.array())) throw Error("out: shares memory with c0");
    }
    arguments.y = new_view(y, batch_first);
    arguments.h_n = h_n.mutable_data();
    if (has_c_) arguments.c_n = c_n.mutable_data();
  }

  py::tuple results(const py::object& cache) const {
    return py::make_tuple(y, h_n, has_c_ ? py::object(c_n) : py::none(), cache);
  }

  ForwardArguments<T> arguments;
  py::array x;

 private:
  static const py::array& checked_x(const py::array& x) {
    check_dtype("x", x, dtype_of<T>(), "the weights");
    return x;  // NOLINT(bugprone-return-const-ref-from-parameter): the caller's x outlives the call
  }

  const SequenceArguments sequence_;
  const Optional<T> h0_, c0_;
  const bool has_c_;
  std::vector<Index> lengths_;
  ParsedRun run_;

 public:
  py::array_t<T> y, h_n, c_n;
};

/// The arguments of a backward call, of a layer or of a stack, but for the parameters' gradients; and its results.
template <class T, class Arguments>
struct BackwardArrays {
  Arguments arguments;

  /// y: that of the forward call.
  BackwardArrays(const CallSizes& sizes, const py::array& y, Index batch, bool batch_first, py::handle dy_given,
                 py::handle dh_n, py::handle dc_n, bool need_dx, py::handle threads)
      : dh_n_("dh_n", dh_n, sizes.h_shape(batch), "x"),
        dc_n_("dc_n", dc_n, sizes.c_shape(batch), "x"),
        dh0_(sizes.h_shape(batch)),
        has_c_(sizes.states > 0) {
    if (!dy_given.is_none()) {
      const py::array array = float_array("dy", dy_given, dtype_of<T>());
      check_dtype("dy", array, dtype_of<T>(), "x");
      check_shape("dy", array, shape_of(y));
      arguments.dy = view<T>(array, batch_first, dy_);
    }
    arguments.dh_n = dh_n_.data();
    arguments.dc_n = dc_n_.data();
    arguments.threads = thread_count(threads);
    if (need_dx) {
      dx_ = py::array_t<T>(shape_like(y, sizes.inputs));
      arguments.dx = new_view(dx_, batch_first);
    }
    arguments.dh0 = dh0_.mutable_data();
    if (!has_c_) return;
    dc0_ = py::array_t<T>(sizes.c_shape(batch));
    arguments.dc0 = dc0_.mutable_data();
  }

  py::tuple results(const py::object& parameters) const {
    return py::make_tuple(arguments.dx.data != nullptr ? py::object(dx_) : py::none(), dh0_,
                          has_c_ ? py::object(dc0_) : py::none(), parameters);
  }

 private:
  py::array dy_;
  const Optional<T> dh_n_, dc_n_;
  py::array_t<T> dx_, dh0_, dc0_;
  const bool has_c_;
};

}  // namespace fastrnn::python
