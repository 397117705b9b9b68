// From packed weights and models back to canonical parameters, so that another machine can pack them for itself; pickle
// uses it.
#pragma once

#include <memory>
#include <vector>

#include "fastrnn/fastrnn.hpp"
#include "fastrnn/model.hpp"

namespace fastrnn {

/// Parameters in their canonical shapes; those that the cell does not have are empty. pack_unpacked gives the numbers
/// that were packed: those of bfloat16 and int8 come back rounded, and round to themselves. Where only the sum of both
/// biases is kept, b_ih is that sum and b_hh is -0, which changes no number that it is added to. Gates without a
/// recurrent block, as f of a coupled LSTM, come back as zeros.
template <class T>
struct UnpackedParameters {
  std::vector<T> w_ih, w_hh, b_ih, b_hh, w_peep, w_hr, ln_ih, ln_hh, ln_c;
};

template <class T>
FASTRNN_API UnpackedParameters<T> unpack(const Weights<T>& weights);

/// Packs what `unpack` gave: forget_bias and weight_dropout, which are in the numbers already, are not applied again.
template <class T>
FASTRNN_API std::shared_ptr<const Weights<T>> pack_unpacked(const CellOptions& options, const Parameters<T>& parameters,
                                                            const PackOptions& pack_options);

/// The layers of a model, as `add` takes them.
FASTRNN_API std::vector<ModelLayer> unpack(const Model& model);

}  // namespace fastrnn
