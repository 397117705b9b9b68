// How a warp multiplies a task of the slab by the operand: a policy for each type of weights. layout.h has the shapes.
//
// `words` are the weights of one slice, in the registers of the lanes; a Fragment is what a lane needs of the operand
// for it, read 16 bytes at a time, and before the slice is multiplied; `sums` are the results of a task, spread over
// the lanes, until store() writes them as partial[batch row][slab row]. lane_operand() and lane_sums() say where a
// lane's part of either begins.
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
  struct Fragment {
    Four<float> rows[kShape.batch_rows];
  };
  FASTRNN_DEVICE static const Element* lane_operand(const Element* operand, int) { return operand + lane_index() * 4; }
  FASTRNN_DEVICE static Fragment fetch(const Element* from, int stride) {
    Fragment fragment;
    FASTRNN_UNROLL
    for (int c = 0; c < kShape.batch_rows; ++c)
      fragment.rows[c] = *reinterpret_cast<const Four<float>*>(from + c * stride);
    return fragment;
  }
  FASTRNN_DEVICE static void multiply(Sums& sums, const Word (&words)[kShape.words], const Fragment& fragment) {
    FASTRNN_UNROLL
    for (int c = 0; c < kShape.batch_rows; ++c) FASTRNN_UNROLL
    for (int r = 0; r < kShape.slab_rows; ++r) FASTRNN_UNROLL
    for (int j = 0; j < 4; ++j) sums.v[r * 4 + c] = fmaf(words[r * 4 + j], fragment.rows[c].v[j], sums.v[r * 4 + c]);
  }
  FASTRNN_DEVICE static float* lane_sums(float* partial, int stride) {
    return partial + lane_index() % 4 * stride + lane_index() / 4;
  }
  FASTRNN_DEVICE static void store(Sums& sums, float* to, int) {
    reduce_scatter(sums.v);
    *to = sums.v[0];
  }
};

/// What both kinds of tensor products share. A slice is four of them. Its columns of the operand are taken in another
/// order than the numbers of mma's k, by both factors, so that what a lane needs of the operand lies in one piece: of
/// each half of the slice, 64 bytes of a row, lane % 4 counts the four pieces of 16 bytes, whose words are the two
/// registers of two products.
struct TensorSums {
  struct Sums {
    float v[4][4] = {};  // a chain for each product of a slice: one alone would wait for its own results
  };
  struct Fragment {
    Four<unsigned> half[2];
  };
  template <class Element>
  FASTRNN_DEVICE static const Element* lane_operand(const Element* operand, int stride) {
    constexpr int kPiece = 16 / int(sizeof(Element));
    return operand + lane_index() / 4 * stride + lane_index() % 4 * kPiece;
  }
  template <class Element>
  FASTRNN_DEVICE static Fragment fetch(const Element* from, int) {
    constexpr int kPiece = 16 / int(sizeof(Element));
    return {
        {*reinterpret_cast<const Four<unsigned>*>(from), *reinterpret_cast<const Four<unsigned>*>(from + 4 * kPiece)}};
  }
  /// Calls product(i, a, b) for the four products of a slice.
  template <class Product>
  FASTRNN_DEVICE static void each_product(const unsigned (&words)[16], const Fragment& fragment,
                                          const Product& product) {
    FASTRNN_UNROLL
    for (int i = 0; i < 4; ++i) {
      const unsigned a[4] = {words[i * 4], words[i * 4 + 1], words[i * 4 + 2], words[i * 4 + 3]};
      const unsigned b[2] = {fragment.half[i / 2].v[i % 2 * 2], fragment.half[i / 2].v[i % 2 * 2 + 1]};
      product(i, a, b);
    }
  }
  FASTRNN_DEVICE static float* lane_sums(float* partial, int stride) {
    return partial + lane_index() % 4 * 2 * stride + lane_index() / 4;
  }
  FASTRNN_DEVICE static void store(const Sums& sums, float* to, int stride) {
    FASTRNN_UNROLL
    for (int i = 0; i < 4; ++i)
      to[i % 2 * stride + i / 2 * 8] = (sums.v[0][i] + sums.v[1][i]) + (sums.v[2][i] + sums.v[3][i]);
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
      const int r = row + lane / 4 + i % 2 * 8, at = k + i / 8 * 32 + lane % 4 * 8 + i % 8 / 2 * 2;
      words[i] = pack(round_to<E>(weight(r, at)), round_to<E>(weight(r, at + 1)));
    }
  }
  FASTRNN_DEVICE static void multiply(Sums& sums, const Word (&words)[kShape.words], const Fragment& fragment) {
    each_product(words, fragment,
                 [&](int i, const unsigned(&a)[4], const unsigned(&b)[2]) { mma_16x8x16(E{}, sums.v[i], a, b); });
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
      words[i] = round_to_tf32(weight(row + lane / 4 + i % 2 * 8, k + i / 8 * 16 + lane % 4 * 4 + i % 8 / 2));
  }
  FASTRNN_DEVICE static void multiply(Sums& sums, const Word (&words)[kShape.words], const Fragment& fragment) {
    each_product(words, fragment,
                 [&](int i, const unsigned(&a)[4], const unsigned(&b)[2]) { mma_16x8x8_tf32(sums.v[i], a, b); });
  }
};

using Bfloat16Tensor = Tensor16<Bfloat16, Type::bfloat16>;
using Float16Tensor = Tensor16<Float16, Type::float16>;

}  // namespace fastrnn::cuda
