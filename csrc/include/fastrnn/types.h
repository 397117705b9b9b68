// Plain types shared by the public interface and the kernels. Includes nothing but <cstddef>.
#pragma once

#include <cstddef>

namespace fastrnn {

using Index = std::ptrdiff_t;

/// Element (t, b, :) of a sequence lies at data + t * step + b * row (in elements); its last axis is contiguous.
/// Time-major and batch-first arrays differ in their strides alone.
template <class T>
struct Sequence {
  T* data = nullptr;
  Index step = 0;
  Index row = 0;
  T* at(Index t, Index b) const { return data + t * step + b * row; }
};

}  // namespace fastrnn
