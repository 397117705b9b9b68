// Looking into what a forward pass in training has kept: gates and cell states by step.
#pragma once

#include <string>

#include "fastrnn/fastrnn.hpp"

namespace fastrnn {

/// A letter for each gate, as the equations have them, then one for each state beside h: "ifgoc" of an LSTM.
FASTRNN_API std::string kept_names(CellType cell);

/// Copies the activated gate, or the state after the step, that has number `which` in kept_names: out is (T,B,H). A row
/// without a step at some time has NaN there. Throws Error for a pass with checkpoints, which keeps no gates.
template <class T>
FASTRNN_API void copy_kept(const Saved<T>& saved, int which, T* out);

}  // namespace fastrnn
