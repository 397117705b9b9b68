// Random masks by counter: Philox4x32-10 of Salmon, Moraes, Dror & Shaw, "Parallel random numbers: as easy as 1, 2, 3"
// (SC 2011). A mask's element is a function of its seed and its place alone, so that neither threads nor batch size nor
// the cut of a sequence into pieces can change it, and the backward pass computes it again instead of keeping it.
//
//   key      the seed: low word, high word
//   counter  (unit / 4, row, t, 8 * stream + kind); word unit % 4 of the output is the element's
//   kept     where the word is not below floor(rate * 2^32)
#pragma once

#include <cmath>
#include <cstdint>

#include "core/base/philox.h"
#include "fastrnn/types.h"

namespace fastrnn {

/// What a mask is for, and what its element's `unit`, `row` and `t` are; `b` is a row of the batch.
enum class MaskKind : std::uint32_t {
  dropout = 0,            // on x, one for all steps: (input, b, 0)
  recurrent_dropout = 1,  // on h before w_hh, one for all steps: (unit, b, 0)
  candidate_dropout = 2,  // (unit, b, t)
  zoneout_h = 3,          // (unit, b, t)
  zoneout_c = 4,          // (unit, b, t)
  weight_dropout = 5,     // on w_hh: (column, row of w_hh, 0)
  between_layers = 6      // on the output of a layer of a stack: (unit, b, t)
};

/// The masks of one seed, stream and kind with a rate in [0,1).
class Masks {
 public:
  Masks(std::uint64_t seed, std::uint32_t stream, MaskKind kind, double rate) noexcept
      : key_{{std::uint32_t(seed), std::uint32_t(seed >> 32)}},
        last_(8 * stream + std::uint32_t(kind)),
        threshold_(std::uint32_t(std::floor(rate * 4294967296.0))),
        rate_(rate) {}

  /// The factor of a kept element in inverted dropout.
  template <class T>
  T inverted() const noexcept {
    return T(1.0 / (1.0 - rate_));
  }

  /// mask[i] = `kept` or 0 for unit first + i, 0 <= i < units; `first` is a multiple of four.
  template <class T>
  void fill(Index t, Index row, Index units, T kept, T* mask, Index first = 0) const noexcept {
    Index i = 0;
    for (; i + 4 <= units; i += 4) {
      const PhiloxCounter words = block(t, row, first + i);
      for (int k = 0; k < 4; ++k) mask[i + k] = words.v[k] >= threshold_ ? kept : T(0);
    }
    if (i == units) return;
    const PhiloxCounter words = block(t, row, first + i);
    for (int k = 0; i < units; ++i, ++k) mask[i] = words.v[k] >= threshold_ ? kept : T(0);
  }

  /// Inverted dropout: 0 or 1/(1-rate).
  template <class T>
  void fill_inverted(Index t, Index row, Index units, T* mask, Index first = 0) const noexcept {
    fill(t, row, units, inverted<T>(), mask, first);
  }

  // The parts, for code that computes single elements elsewhere (on a GPU).
  PhiloxKey key() const noexcept { return key_; }
  std::uint32_t last() const noexcept { return last_; }
  std::uint32_t threshold() const noexcept { return threshold_; }

 private:
  PhiloxCounter block(Index t, Index row, Index unit) const noexcept {
    return philox4x32({{std::uint32_t(unit / 4), std::uint32_t(row), std::uint32_t(t), last_}}, key_);
  }

  PhiloxKey key_;
  std::uint32_t last_;
  std::uint32_t threshold_;
  double rate_;
};

}  // namespace fastrnn
