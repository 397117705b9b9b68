// How a tile multiplies: one policy for each Precision. A packed register holds the weights of kLanes units, in each
// lane `kTerms` consecutive rows of the matrix; an operand row holds what meets them.
//
//   Row, kStride       elements of an operand row, and how many meet one packed register
//   kHeader            elements before each kBlock registers' worth, read by start()
//   kParts             multiplications that a register takes: multiply(operand(x, part), weight(w, part), sum)
//   kExtra             further registers that a multiplication takes: for a constant, for a product
//   add(acc, sum, ..)  a finished block joins the accumulator, which is T in every precision
//   convert            from n elements of T to a row and its scale, in whole vectors: terms past the end are zero;
//                      kConverts is false where rows are used as they are
#pragma once

#include "core/backend/kernels.h"

namespace fastrnn::FASTRNN_ISA {

template <class T, class Vector = Vec<T>>
struct Full {
  using Value = T;
  using V = Vector;
  using Row = T;
  using Sum = V;
  static constexpr int kTerms = 1, kStride = 1, kHeader = 0, kParts = 1, kExtra = kFmaddExtra;
  static constexpr bool kConverts = false, kFlip = false;

  FASTRNN_INLINE static Sum start(const Row*) { return V(T(0)); }
  FASTRNN_INLINE static V operand(const Row* x, int) { return V(*x); }
  FASTRNN_INLINE static V weight(const T* w, int) { return V::load(w); }
  FASTRNN_INLINE static Sum multiply(V x, V w, Sum sum) { return fmadd(x, w, sum); }
  FASTRNN_INLINE static V add(V acc, Sum sum, const T*, int, const T*, Index) { return acc + sum; }
};

/// bfloat16 weights and float rows, or (Rounded) rows rounded to bfloat16. A pair's second term comes first, as in the
/// dot-product instruction that AVX-512 has for it: products of bfloat16 are exact in float, so that both give the same
/// bits.
template <bool Rounded>
struct Bfloat16 {
  using Value = float;
  using V = Vec<float>;
  using Row = float;
  using Sum = V;
  static constexpr int kTerms = 2, kStride = 2, kHeader = 0, kParts = 2, kExtra = 1 + kFmaddExtra;
  static constexpr bool kConverts = true, kFlip = false;

  FASTRNN_INLINE static Sum start(const Row*) { return V(0.0f); }
  FASTRNN_INLINE static V operand(const Row* x, int part) { return V(x[1 - part]); }
  FASTRNN_INLINE static V weight(const float* w, int part) {
    return part == 0 ? bfloat16_high(V::load(w)) : bfloat16_low(V::load(w));
  }
  FASTRNN_INLINE static Sum multiply(V x, V w, Sum sum) {
    add_product(sum, x, w);
    return sum;
  }
  FASTRNN_INLINE static V add(V acc, Sum sum, const float*, int, const float*, Index) { return acc + sum; }
  FASTRNN_INLINE static void convert(const float* from, Index n, void* row, float*) {
    float* to = static_cast<float*>(row);
    for (Index i = 0; i < n; i += V::kLanes) {
      const V x = V::load(from + i, int(n - i < V::kLanes ? n - i : V::kLanes));
      (Rounded ? round_to_bfloat16(x) : x).store(to + i);
    }
  }
};

#if defined(__AVX512BF16__) || defined(__ARM_FEATURE_BF16_VECTOR_ARITHMETIC)
struct Bfloat16Dot {
  using Value = float;
  using V = Vec<float>;
  using Row = unsigned;  // a pair
  using Sum = V;
  static constexpr int kTerms = 2, kStride = 1, kHeader = 0, kParts = 1, kExtra = 0;
  static constexpr bool kConverts = true, kFlip = false;

  FASTRNN_INLINE static Sum start(const Row*) { return V(0.0f); }
  FASTRNN_INLINE static Bfloat16Pairs operand(const Row* x, int) { return broadcast_pair(x); }
  FASTRNN_INLINE static Bfloat16Pairs weight(const float* w, int) { return load_pairs(w); }
  FASTRNN_INLINE static Sum multiply(Bfloat16Pairs x, Bfloat16Pairs w, Sum sum) { return dot(x, w, sum); }
  FASTRNN_INLINE static V add(V acc, Sum sum, const float*, int, const float*, Index) { return acc + sum; }
  FASTRNN_INLINE static void convert(const float* from, Index n, void* row, float*) {
    unsigned short* to = static_cast<unsigned short*>(row);
    for (Index i = 0; i < n; i += V::kLanes)
      store_bfloat16(V::load(from + i, int(n - i < V::kLanes ? n - i : V::kLanes)), to + i);
  }
};
#endif

/// Integer products are exact, and so is a block's sum as a float: kBlock * 4 * 127 * 127 < 2^24.
struct Int8 {
  using Value = float;
  using V = Vec<float>;
  using Row = unsigned;
  using Sum = Int8Dot::Sum;
  static constexpr int kTerms = 4, kStride = Int8Dot::kStride, kHeader = Int8Dot::kHeader, kParts = Int8Dot::kParts;
  static constexpr int kExtra = Int8Dot::kExtra;
  static constexpr bool kConverts = true, kFlip = Int8Dot::kUnsignedWeights;

  FASTRNN_INLINE static Sum start(const Row* header) { return Int8Dot::start(header); }
  FASTRNN_INLINE static Int8Dot::Operand operand(const Row* x, int part) { return Int8Dot::operand(x, part); }
  FASTRNN_INLINE static Int8Dot::Weight weight(const float* w, int part) { return Int8Dot::weight(w, part); }
  FASTRNN_INLINE static Sum multiply(Int8Dot::Operand x, Int8Dot::Weight w, Sum sum) {
    return Int8Dot::multiply(x, w, sum);
  }
  FASTRNN_INLINE static V add(V acc, Sum sum, const float* row_scales, int row, const float* unit_scales, Index at) {
    return fmadd(Int8Dot::to_float(sum), V(row_scales[row]) * V::load(unit_scales + at), acc);
  }

  /// scale = max|x| / 127, row = rint(x / scale). Something that is not finite makes the scale NaN.
  FASTRNN_INLINE static void convert(const float* from, Index n, void* row, float* scale) {
    constexpr Index U = V::kLanes;
    V largest = V(0.0f), poison = V(0.0f);
    for (Index i = 0; i < n; i += U) {
      const V x = V::load(from + i, int(n - i < U ? n - i : U));
      largest = clamp_below(largest, magnitude(x));
      poison = fmadd(x, V(0.0f), poison);
    }
    const float most = largest_lane(largest), not_finite = sum_of_lanes(poison);  // the latter is zero or NaN
    const bool usable = most > 1e-30f && not_finite == 0.0f;                      // below, 127 / most might be infinite
    *scale = (usable ? most / 127.0f : 0.0f) + not_finite;
    const V factor = V(usable ? 127.0f / most : 0.0f);
    constexpr Index terms = kTerms * kBlock;
    Row* to = static_cast<Row*>(row);
    for (Index first = 0; first < n; first += terms, to += kHeader + kBlock * kStride) {
      const Index count = n - first < terms ? n - first : terms;
      char* values = reinterpret_cast<char*>(to + kHeader);  // kStride bytes a term
      for (Index i = 0; i < count; i += U)
        Int8Dot::store(usable ? V::load(from + first + i, int(count - i < U ? count - i : U)) * factor : factor,
                       values + i * kStride);
      Int8Dot::write_header(to, values, count);
    }
  }
};

/// Row elements before packed row k, a multiple of kBlock.
template <class F>
FASTRNN_INLINE static Index row_offset(Index k) {
  return k * F::kStride + k / kBlock * F::kHeader;
}

template <class F>
constexpr Index packed_rows(Index n) {
  return (n + F::kTerms - 1) / F::kTerms;
}

}  // namespace fastrnn::FASTRNN_ISA
