// What the bind_*.cc files share.
#pragma once

#include <variant>

#include "array_view.h"

namespace fastrnn::python {

/// Packed weights of either dtype, and which of the optional parameters were given.
struct PackedWeights {
  std::variant<std::shared_ptr<const Weights<float>>, std::shared_ptr<const Weights<double>>> weights;
  bool has_b_ih = false;
  bool has_b_hh = false;

  /// Of x, y and the states; dtype_text() is that of the weights.
  Dtype dtype() const { return weights.index() == 0 ? Dtype::float32 : Dtype::float64; }
  const char* dtype_text() const;
  template <class T>
  const std::shared_ptr<const Weights<T>>& get() const {
    return std::get<std::shared_ptr<const Weights<T>>>(weights);
  }
};

inline const char* cell_name(CellType cell) {
  return cell == CellType::rnn ? "rnn" : cell == CellType::lstm ? "lstm" : "gru";
}

void bind_info(py::module_& module);
void bind_math(py::module_& module);
void bind_weights(py::module_& module);
void bind_sequence(py::module_& module);
void bind_session(py::module_& module);

}  // namespace fastrnn::python
