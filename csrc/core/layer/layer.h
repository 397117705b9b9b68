// A layer's memory for one call: the states and lengths that forward and backward share.
#pragma once

#include <algorithm>
#include <vector>

#include "core/base/random.h"
#include "core/weights/pack.h"

namespace fastrnn {

/// Copies rows of n elements into rows of `padded`; a null source gives zeros.
template <class T>
void pad_rows(const T* from, T* to, Index rows, Index n, Index padded);

/// Splits a caller's array of cell states, (c_states,B,H), into rows of c_width, one for each row of the batch; null
/// gives zeros.
template <class T>
void pad_cell_states(const Layer<T>& layer, const T* from, T* to);
/// The inverse for one row: joins the cell states of row b, in a row of c_width, into the caller's array.
template <class T>
void unpad_cell_states(const Layer<T>& layer, Index b, const T* row, T* to) {
  for (Index j = 0; j < layer.cell.c_states; ++j)
    std::copy_n(row + j * layer.padded, layer.hidden, to + layer.in_cell_states(j, b));
}

/// The arrays behind the pointers of a Layer, for those who fill them.
template <class T>
struct LayerMemory {
  T *h0, *c0, *zeros, *h_mask, *x_mask, *x;
  Index *length, *order, *times, *starts;
};

/// The two halves of lay_out, for callers that bring the memory: the first takes it from the arena and sets all
/// pointers and sizes, the second writes states, lengths and masks.
template <class T>
LayerMemory<T> place_layer(const PackedData<T>& packed, const ForwardArguments<T>& arguments, bool training,
                           Index saved_steps, Layer<T>& layer, Arena& arena);
template <class T>
void fill_layer(const ForwardArguments<T>& arguments, const LayerMemory<T>& memory, Layer<T>& layer);

/// Allocates and fills what a Layer points to, for the length of a call or, in training, for the life of the Saved.
/// There is room for what `saved_steps` steps save. x and y are the caller's.
template <class T>
AlignedBuffer lay_out(const PackedData<T>& packed, const ForwardArguments<T>& arguments, bool training,
                      Index saved_steps, Layer<T>& layer);

/// The random masks that differ from step to step, in training.
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

/// What a forward pass in training keeps.
template <class T>
struct SavedData {
  std::shared_ptr<const Weights<T>> weights;
  Layer<T> layer;
  AlignedBuffer memory;
  std::vector<unsigned char> reset;  // the caller's reset_mask
  DropoutOptions dropout;
  bool repeats_output = false;  // y of a step that a mask leaves out is that of the one before
  // With checkpoints, gates are computed again: only c at the start of each segment is kept, (segments,B) rows of
  // c_width.
  Index checkpoint_every = 0;
  T* checkpoints = nullptr;
  AlignedBuffer checkpoint_memory;
};

}  // namespace fastrnn
