// A layer's memory for one call: the states and lengths that forward and backward share.
#pragma once

#include <vector>

#include "core/base/random.h"
#include "core/weights/pack.h"

namespace fastrnn {

/// Null values are zeros; rows of n elements become rows of `padded`.
template <class T>
void pad_rows(const T* from, T* to, Index rows, Index n, Index padded);

/// Cell states (c_states,B,H) to rows of c_width.
template <class T>
void pad_cell_states(const Layer<T>& layer, const T* from, T* to);

/// What a Layer points to and its maker writes.
template <class T>
struct LayerMemory {
  T *h0, *c0, *zeros, *h_mask, *x_mask, *x;
  Index *length, *order, *times, *starts;
};

/// lay_out in two steps, for memory of another's.
template <class T>
LayerMemory<T> place_layer(const PackedData<T>& packed, const ForwardArguments<T>& arguments, bool training,
                           Index saved_steps, Layer<T>& layer, Arena& arena);
template <class T>
void fill_layer(const ForwardArguments<T>& arguments, const LayerMemory<T>& memory, Layer<T>& layer);

/// The parts of a Layer that live as long as the call, or as the Saved when training. What steps save has room for
/// `saved_steps`; y is written by the call.
template <class T>
AlignedBuffer lay_out(const PackedData<T>& packed, const ForwardArguments<T>& arguments, bool training,
                      Index saved_steps, Layer<T>& layer);

/// The dropout of a layer's steps, which only training has.
template <class T>
class StepMasks {
 public:
  StepMasks(const Layer<T>& layer, const DropoutOptions& dropout)
      : candidate_(dropout.seed, dropout.stream, MaskKind::candidate_dropout, dropout.candidate),
        zoneout_h_(dropout.seed, dropout.stream, MaskKind::zoneout_h, layer.options.zoneout_h),
        zoneout_c_(dropout.seed, dropout.stream, MaskKind::zoneout_c, layer.options.zoneout_c) {}

  /// Writes the mask columns of row b at a time t.
  void fill(const Layer<T>& layer, Index t, Index b, T* gates) const {
    const auto column = [&](Mask mask, const Masks& masks, T kept) {
      if (layer.mask_column[mask] >= 0)
        masks.fill(t, b, layer.padded, kept, gates + layer.mask_column[mask] * layer.padded);
    };
    column(kCandidateMask, candidate_, candidate_.template inverted<T>());
    column(kZoneoutH, zoneout_h_, T(1));
    column(kZoneoutC, zoneout_c_, T(1));
  }

 private:
  Masks candidate_, zoneout_h_, zoneout_c_;
};

template <class T>
struct SavedData {
  std::shared_ptr<const Weights<T>> weights;
  Layer<T> layer;
  AlignedBuffer memory;
  std::vector<unsigned char> reset;  // the caller's reset_mask
  DropoutOptions dropout;
  bool repeats_output = false;  // y of a step that a mask leaves out is that of the one before
  // With checkpoints, nothing but c at every so many steps: (segments,B) rows of c_width.
  Index checkpoint_every = 0;
  T* checkpoints = nullptr;
  AlignedBuffer checkpoint_memory;
};

}  // namespace fastrnn
