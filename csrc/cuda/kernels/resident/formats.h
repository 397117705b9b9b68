// How a warp multiplies a task of the slab by the operand: a policy for each type of weights. layout.h has the shapes.
//
// `words` are the weights of one slice, in the registers of the lanes; `sums` are the results of a task, spread over
// the lanes, until store() writes them as partial[batch row][slab row].
#pragma once

#include <math.h>

#include "cuda/kernels/primitives.h"
#include "cuda/shared/layout.h"

namespace fastrnn::cuda {

/// Afterwards v[0] of lane i is the sum of v[i] over all lanes. 31 shuffles, where 32 sums one by one take 160.
template <int Half = kWarp / 2>
FASTRNN_DEVICE void reduce_scatter(float (&v)[kWarp]) {
  const bool upper = (lane_index() & Half) != 0;
  FASTRNN_UNROLL
  for (int i = 0; i < Half; ++i) {
    const float mine = upper ? v[i + Half] : v[i], theirs = upper ? v[i] : v[i + Half];
    v[i] = mine + shuffle_xor(theirs, Half);
  }
  if constexpr (Half > 1) reduce_scatter<Half / 2>(v);
}

template <class T>
struct alignas(16) Four {
  T v[4];
};

/// Products in float32 by FFMA: 8 rows, 4 batch rows; the operand is cut among the lanes, four elements each.
struct Float32 {
  static constexpr Type kType = Type::float32;
  static constexpr TaskShape kShape = task_shape(kType);
  using Element = float;
  using Word = float;
  struct Sums {
    float v[kWarp] = {};
  };

  /// weight(row, k) is the slab's element, zero outside.
  template <class Weight>
  FASTRNN_DEVICE static void load(Word (&words)[kShape.words], const Weight& weight, int row, int k) {
    FASTRNN_UNROLL
    for (int r = 0; r < kShape.slab_rows; ++r) FASTRNN_UNROLL
    for (int j = 0; j < 4; ++j) words[r * 4 + j] = weight(row + r, k + lane_index() * 4 + j);
  }
  FASTRNN_DEVICE static void multiply(Sums& sums, const Word (&words)[kShape.words], const Element* operand,
                                      int stride) {
    FASTRNN_UNROLL
    for (int c = 0; c < kShape.batch_rows; ++c) {
      const auto h = *reinterpret_cast<const Four<float>*>(operand + c * stride + lane_index() * 4);
      FASTRNN_UNROLL
      for (int r = 0; r < kShape.slab_rows; ++r) FASTRNN_UNROLL
      for (int j = 0; j < 4; ++j) sums.v[r * 4 + c] = fmaf(words[r * 4 + j], h.v[j], sums.v[r * 4 + c]);
    }
  }
  FASTRNN_DEVICE static void store(Sums& sums, float* partial, int stride) {
    reduce_scatter(sums.v);
    partial[lane_index() % 4 * stride + lane_index() / 4] = sums.v[0];
  }
};

/// Sums as mma leaves them in the lanes: 16 slab rows by 8 batch rows.
struct TensorSums {
  struct Sums {
    float v[2][4] = {};  // two chains of products: a single one would wait for its own results
  };
  FASTRNN_DEVICE static void store(const Sums& sums, float* partial, int stride) {
    const int lane = lane_index();
    FASTRNN_UNROLL
    for (int i = 0; i < 4; ++i)
      partial[(lane % 4 * 2 + i % 2) * stride + lane / 4 + i / 2 * 8] = sums.v[0][i] + sums.v[1][i];
  }
};

/// Weights and operand in 16 bits, products by mma.m16n8k16 with float32 sums: weights are A, the batch is N.
template <class E, Type type>
struct Tensor16 : TensorSums {
  static constexpr Type kType = type;
  static constexpr TaskShape kShape = task_shape(kType);
  using Element = E;
  using Word = unsigned;

  template <class Weight>
  FASTRNN_DEVICE static void load(Word (&words)[kShape.words], const Weight& weight, int row, int k) {
    const int lane = lane_index();
    FASTRNN_UNROLL
    for (int i = 0; i < kShape.words; ++i) {
      const int r = row + lane / 4 + i % 2 * 8, at = k + i / 4 * 16 + lane % 4 * 2 + i % 4 / 2 * 8;
      words[i] = pack(round_to<E>(weight(r, at)), round_to<E>(weight(r, at + 1)));
    }
  }
  FASTRNN_DEVICE static void multiply(Sums& sums, const Word (&words)[kShape.words], const Element* operand,
                                      int stride) {
    const int lane = lane_index();
    const Element* row = operand + lane / 4 * stride + lane % 4 * 2;
    FASTRNN_UNROLL
    for (int t = 0; t < kShape.depth / 16; ++t) {
      const unsigned a[4] = {words[t * 4], words[t * 4 + 1], words[t * 4 + 2], words[t * 4 + 3]};
      const unsigned b[2] = {pair(row + t * 16), pair(row + t * 16 + 8)};
      mma_16x8x16(E{}, sums.v[t % 2], a, b);
    }
  }

 private:
  FASTRNN_DEVICE static unsigned pair(const Element* p) {
    unsigned word;
    memcpy(&word, __builtin_assume_aligned(p, 4), sizeof word);
    return word;
  }
};

/// Weights and operand in tf32, products by mma.m16n8k8: the range of float32, and 10 bits behind the point.
struct Tf32Tensor : TensorSums {
  static constexpr Type kType = Type::tf32;
  static constexpr TaskShape kShape = task_shape(kType);
  using Element = Tf32;
  using Word = unsigned;

  template <class Weight>
  FASTRNN_DEVICE static void load(Word (&words)[kShape.words], const Weight& weight, int row, int k) {
    const int lane = lane_index();
    FASTRNN_UNROLL
    for (int i = 0; i < kShape.words; ++i)
      words[i] = round_to_tf32(weight(row + lane / 4 + i % 2 * 8, k + i / 4 * 8 + lane % 4 + i % 4 / 2 * 4));
  }
  FASTRNN_DEVICE static void multiply(Sums& sums, const Word (&words)[kShape.words], const Element* operand,
                                      int stride) {
    const int lane = lane_index();
    const Element* row = operand + lane / 4 * stride + lane % 4;
    FASTRNN_UNROLL
    for (int t = 0; t < kShape.depth / 8; ++t) {
      const unsigned a[4] = {words[t * 4], words[t * 4 + 1], words[t * 4 + 2], words[t * 4 + 3]};
      const unsigned b[2] = {row[t * 8].bits, row[t * 8 + 4].bits};
      mma_16x8x8_tf32(sums.v[t % 2], a, b);
    }
  }
};

using Bfloat16Tensor = Tensor16<Bfloat16, Type::bfloat16>;
using Float16Tensor = Tensor16<Float16, Type::float16>;

}  // namespace fastrnn::cuda
