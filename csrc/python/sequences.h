// Sequences as arrays: (T,B,n), (B,T,n) with batch_first, or, with batch_sizes, PyTorch's packed (N,n).
#pragma once

#include "bindings.h"

namespace fastrnn::python {

/// Reads T and B off x, or off batch_sizes, which it keeps for the call.
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

  /// Of x, y.
  std::vector<Index> shape(Index n) const {
    if (!batch_sizes.empty()) return {packed_rows, n};
    if (extent.batch_first) return {extent.batch, extent.steps, n};
    return {extent.steps, extent.batch, n};
  }
};

inline std::vector<Index> shape_of(const py::array& array) {
  return std::vector<Index>(array.shape(), array.shape() + array.ndim());
}
/// The shape of `array` with another last axis.
inline std::vector<Index> shape_like(const py::array& array, Index last) {
  std::vector<Index> shape = shape_of(array);
  shape.back() = last;
  return shape;
}

/// A checked x or dy, of two axes or three.
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

}  // namespace fastrnn::python
