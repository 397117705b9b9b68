// A random mask of core/base/random.h whose elements are computed one by one where they are needed, for host and
// device.
#pragma once

#include "core/base/philox.h"

namespace fastrnn::cuda {

/// An element is kept where its word is not below `threshold`.
struct RandomMask {
  std::uint32_t threshold;  // 0: there is no mask
  std::uint32_t last;       // the last word of the counter
  float kept;               // the value of a kept element; the others are zero
  PhiloxKey key;

  FASTRNN_CELL float at(int unit, int row, int time) const {
    const PhiloxCounter words =
        philox4x32({{std::uint32_t(unit) / 4, std::uint32_t(row), std::uint32_t(time), last}}, key);
    const int i = unit % 4;  // not an index: the words are in registers
    const std::uint32_t low = i == 0 ? words.v[0] : words.v[1], high = i == 2 ? words.v[2] : words.v[3];
    return (i < 2 ? low : high) >= threshold ? kept : 0.0f;
  }
};

}  // namespace fastrnn::cuda
