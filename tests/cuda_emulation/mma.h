// mma.sync as a warp does it: every lane passes its fragments, the matrices are put together from them, and each lane
// gets its part of D. The layout is the PTX ISA's ("Matrix Fragments for mma.m16n8k16 with floating point type", and
// for .tf32 that of mma.m16n8k8); test_device.cc has its formulas once more, word by word.
#pragma once

#include "emulation.h"

namespace fastrnn::cuda::emulation {

/// Depth is 16 with two 16-bit elements in a register, 8 with one tf32; `value(register, half)` decodes an element.
template <int Depth, class Decode>
void multiply_fragments(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2], Decode decode, Site site) {
  constexpr int kHalves = Depth / 8;
  const unsigned words[6] = {a[0], a[1], a[2], a[3], b[0], b[1]};
  const unsigned* all = gather_warp(words, 6, site);
  const auto word = [&](int lane, int i) { return all[lane * 6 + i]; };
  const int lane = thread_index() % 32;
  for (int i = 0; i < 4; ++i) {
    const int row = lane / 4 + (i / 2) * 8, column = lane % 4 * 2 + i % 2;
    float sum = 0;
    for (int k = 0; k < Depth; ++k) {
      const int upper = k / (Depth / 2), within = k % (Depth / 2);  // which of the two registers along k
      const int quad = within / kHalves, half = within % kHalves;
      const float left = decode(word(row % 8 * 4 + quad, row / 8 + 2 * upper), half);
      const float right = decode(word(column * 4 + quad, 4 + upper), half);
      sum += left * right;
    }
    d[i] += sum;
  }
}

}  // namespace fastrnn::cuda::emulation
