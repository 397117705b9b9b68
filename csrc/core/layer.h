// A layer's memory for one call: the states and lengths that forward and backward share.
#pragma once

#include "core/pack.h"

namespace fastrnn {

/// Null values are zeros; rows of n elements become rows of `padded`.
template <class T>
void pad_rows(const T* from, T* to, Index rows, Index n, Index padded);

/// The parts of a Layer that live as long as the call, or as the Saved when training: then the gates and cell states of
/// all steps are among them, and y is written by the call.
template <class T>
AlignedBuffer lay_out(const PackedData<T>& packed, const ForwardArguments<T>& arguments, bool training,
                      Layer<T>& layer);

template <class T>
struct SavedData {
  std::shared_ptr<const Weights<T>> weights;
  Layer<T> layer;
  AlignedBuffer memory;
};

}  // namespace fastrnn
