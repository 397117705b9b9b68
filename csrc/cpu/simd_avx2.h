// SIMD wrapper: AVX2 and FMA.
//
//   load(p, n), store(p, n)        the first n lanes only; the other lanes are read as zero, and not touched
//   fmadd(a,b,c) = a*b + c         fnmadd(a,b,c) = c - a*b
//   add_product(sum, x, y)         sum += x * y in the register that sum is in. In assembly: compilers put it into
//                                  another, and spill a tile that multiplies in several parts (formats-inl.h)
//   clamp_above(bound, x)          min that gives x back when x is NaN; clamp_below alike
//   where_positive(test, x)        x where test > 0, else 0
//   magnitude(x)                   |x|
//   exponent_from_low_bits(x)      the integer in the lowest mantissa bits becomes the exponent field
//   bfloat16_low, bfloat16_high    of a lane that holds two bfloat16
//   round_to_bfloat16(x)           the nearest bfloat16, ties to even, as a float; NaN stays NaN
//   largest_lane(x)                of lanes that are numbers
//   sum_of_lanes(x)                in any order
//   load_pieces(p, stride)         16 bytes from p, from p + stride, and so on
//   transpose_squares(x)           of the 4 (float) or 2 (double) vectors x, the square in every 16 bytes
//   Element                        what a lane holds
//   Narrow<T>                      vectors of half the lanes, for what leaves the other half empty; or Vec<T>, if they
//                                  take no less time
//   Int8Dot                        sums of products of four int8 a lane (formats-inl.h)
#pragma once

#include <immintrin.h>

#define FASTRNN_INLINE inline __attribute__((always_inline))

namespace fastrnn::FASTRNN_ISA {

constexpr int kVectorRegisters = 16;
constexpr int kFmaddExtra = 0;  // registers that a fmadd takes beside its operands

// Lane masks for tails: n lanes are on from kTail + 8 - n (4-byte lanes), and likewise for 8-byte lanes.
alignas(32) static constexpr int kTail[16] = {-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0};

FASTRNN_INLINE static __m256i tail4(int n) { return _mm256_loadu_si256((const __m256i*)(kTail + 8 - n)); }
FASTRNN_INLINE static __m256i tail8(int n) { return _mm256_loadu_si256((const __m256i*)(kTail + 8 - 2 * n)); }

template <class T>
struct Vec;

template <>
struct Vec<float> {
  using Element = float;
  static constexpr int kLanes = 8;
  __m256 v;

  Vec() = default;
  FASTRNN_INLINE Vec(__m256 raw) : v(raw) {}
  FASTRNN_INLINE explicit Vec(float scalar) : v(_mm256_set1_ps(scalar)) {}
  FASTRNN_INLINE static Vec load(const float* p) { return _mm256_loadu_ps(p); }
  FASTRNN_INLINE static Vec load(const float* p, int n) {
    return n >= kLanes ? _mm256_loadu_ps(p) : _mm256_maskload_ps(p, tail4(n));
  }
  FASTRNN_INLINE void store(float* p) const { _mm256_storeu_ps(p, v); }
  FASTRNN_INLINE void store(float* p, int n) const {
    if (n >= kLanes) return store(p);
    _mm256_maskstore_ps(p, tail4(n), v);
  }
  FASTRNN_INLINE friend Vec operator+(Vec a, Vec b) { return _mm256_add_ps(a.v, b.v); }
  FASTRNN_INLINE friend Vec operator-(Vec a, Vec b) { return _mm256_sub_ps(a.v, b.v); }
  FASTRNN_INLINE friend Vec operator*(Vec a, Vec b) { return _mm256_mul_ps(a.v, b.v); }
  FASTRNN_INLINE friend Vec operator/(Vec a, Vec b) { return _mm256_div_ps(a.v, b.v); }
  FASTRNN_INLINE friend Vec fmadd(Vec a, Vec b, Vec c) { return _mm256_fmadd_ps(a.v, b.v, c.v); }
  FASTRNN_INLINE friend Vec fnmadd(Vec a, Vec b, Vec c) { return _mm256_fnmadd_ps(a.v, b.v, c.v); }
  FASTRNN_INLINE friend Vec clamp_above(Vec bound, Vec x) { return _mm256_min_ps(bound.v, x.v); }
  FASTRNN_INLINE friend Vec clamp_below(Vec bound, Vec x) { return _mm256_max_ps(bound.v, x.v); }
  FASTRNN_INLINE friend Vec where_positive(Vec test, Vec x) {
    return _mm256_and_ps(_mm256_cmp_ps(test.v, _mm256_setzero_ps(), _CMP_GT_OQ), x.v);
  }
  FASTRNN_INLINE friend Vec magnitude(Vec x) { return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), x.v); }
  FASTRNN_INLINE friend Vec exponent_from_low_bits(Vec x) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_castps_si256(x.v), 23));
  }
};

FASTRNN_INLINE static float largest_lane(Vec<float> x) {
  __m128 most = _mm_max_ps(_mm256_castps256_ps128(x.v), _mm256_extractf128_ps(x.v, 1));
  most = _mm_max_ps(most, _mm_movehl_ps(most, most));
  return _mm_cvtss_f32(_mm_max_ss(most, _mm_movehdup_ps(most)));
}
FASTRNN_INLINE static float sum_of_lanes(Vec<float> x) {
  __m128 sum = _mm_add_ps(_mm256_castps256_ps128(x.v), _mm256_extractf128_ps(x.v, 1));
  sum = _mm_add_ps(sum, _mm_movehl_ps(sum, sum));
  return _mm_cvtss_f32(_mm_add_ss(sum, _mm_movehdup_ps(sum)));
}

FASTRNN_INLINE static void add_product(Vec<float>& sum, Vec<float> x, Vec<float> y) {
  asm("vfmadd231ps %2, %1, %0" : "+x"(sum.v) : "x"(x.v), "x"(y.v));
}

FASTRNN_INLINE static Vec<float> bfloat16_low(Vec<float> pair) {
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_castps_si256(pair.v), 16));
}
FASTRNN_INLINE static Vec<float> bfloat16_high(Vec<float> pair) {
  return _mm256_castsi256_ps(_mm256_blend_epi16(_mm256_setzero_si256(), _mm256_castps_si256(pair.v), 0xaa));
}
FASTRNN_INLINE static Vec<float> round_to_bfloat16(Vec<float> x) {
  const __m256i bits = _mm256_castps_si256(x.v);
  const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
  const __m256i rounded = _mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff)));
  const __m256 is_nan = _mm256_cmp_ps(x.v, x.v, _CMP_UNORD_Q);
  return bfloat16_high(_mm256_blendv_ps(_mm256_castsi256_ps(rounded), _mm256_add_ps(x.v, x.v), is_nan));
}

/// Widens to 16 bits, the even terms of a lane and then the odd ones, and multiplies pairs. The multiply-add of bytes,
/// which wants x without a sign, took a fourth operation for moving it to the weights: 1.3 times as long in a batch.
struct Int8Dot {
  static constexpr int kStride = 2, kHeader = 0, kParts = 2, kExtra = 1;
  static constexpr bool kUnsignedWeights = false;
  typedef int Sum __attribute__((vector_size(32)));  // GCC 12 spills a tile of __m256i, whose lanes are of 64 bits
  using Weight = __m256i;
  using Operand = __m256i;
  FASTRNN_INLINE static Sum start(const unsigned*) { return Sum{}; }
  FASTRNN_INLINE static Operand operand(const unsigned* pairs, int part) { return _mm256_set1_epi32(int(pairs[part])); }
  FASTRNN_INLINE static Weight weight(const float* w, int part) {
    const __m256i bytes = _mm256_loadu_si256((const __m256i*)w);
    return _mm256_srai_epi16(part == 0 ? _mm256_slli_epi16(bytes, 8) : bytes, 8);
  }
  FASTRNN_INLINE static Sum multiply(Operand x, Weight w, Sum sum) {
    asm("vpaddd %1, %0, %0" : "+x"(sum) : "x"(_mm256_madd_epi16(x, w)));  // as in add_product
    return sum;
  }
  FASTRNN_INLINE static Vec<float> to_float(Sum sum) { return _mm256_cvtepi32_ps((__m256i)sum); }
  /// Rounds to integers, ties to even, and stores them as 16 bits in the order 0, 2, 1, 3 of their lane.
  FASTRNN_INLINE static void store(Vec<float> x, char* to) {
    const __m256i wide = _mm256_cvtps_epi32(x.v);
    const __m128i half = _mm_packs_epi32(_mm256_castsi256_si128(wide), _mm256_extracti128_si256(wide, 1));
    const __m128i order = _mm_setr_epi8(0, 1, 4, 5, 2, 3, 6, 7, 8, 9, 12, 13, 10, 11, 14, 15);
    _mm_storeu_si128((__m128i*)to, _mm_shuffle_epi8(half, order));
  }
  FASTRNN_INLINE static void write_header(unsigned*, const char*, long) {}
};

FASTRNN_INLINE static Vec<float> load_pieces(const float* p, long stride) {
  return _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(p)), _mm_loadu_ps(p + stride), 1);
}
FASTRNN_INLINE static void transpose_squares(Vec<float>* x) {
  const __m256 a = _mm256_unpacklo_ps(x[0].v, x[1].v), b = _mm256_unpackhi_ps(x[0].v, x[1].v);
  const __m256 c = _mm256_unpacklo_ps(x[2].v, x[3].v), d = _mm256_unpackhi_ps(x[2].v, x[3].v);
  x[0] = _mm256_shuffle_ps(a, c, 0x44);
  x[1] = _mm256_shuffle_ps(a, c, 0xee);
  x[2] = _mm256_shuffle_ps(b, d, 0x44);
  x[3] = _mm256_shuffle_ps(b, d, 0xee);
}

template <>
struct Vec<double> {
  using Element = double;
  static constexpr int kLanes = 4;
  __m256d v;

  Vec() = default;
  FASTRNN_INLINE Vec(__m256d raw) : v(raw) {}
  FASTRNN_INLINE explicit Vec(double scalar) : v(_mm256_set1_pd(scalar)) {}
  FASTRNN_INLINE static Vec load(const double* p) { return _mm256_loadu_pd(p); }
  FASTRNN_INLINE static Vec load(const double* p, int n) {
    return n >= kLanes ? _mm256_loadu_pd(p) : _mm256_maskload_pd(p, tail8(n));
  }
  FASTRNN_INLINE void store(double* p) const { _mm256_storeu_pd(p, v); }
  FASTRNN_INLINE void store(double* p, int n) const {
    if (n >= kLanes) return store(p);
    _mm256_maskstore_pd(p, tail8(n), v);
  }
  FASTRNN_INLINE friend Vec operator+(Vec a, Vec b) { return _mm256_add_pd(a.v, b.v); }
  FASTRNN_INLINE friend Vec operator-(Vec a, Vec b) { return _mm256_sub_pd(a.v, b.v); }
  FASTRNN_INLINE friend Vec operator*(Vec a, Vec b) { return _mm256_mul_pd(a.v, b.v); }
  FASTRNN_INLINE friend Vec operator/(Vec a, Vec b) { return _mm256_div_pd(a.v, b.v); }
  FASTRNN_INLINE friend Vec fmadd(Vec a, Vec b, Vec c) { return _mm256_fmadd_pd(a.v, b.v, c.v); }
  FASTRNN_INLINE friend Vec fnmadd(Vec a, Vec b, Vec c) { return _mm256_fnmadd_pd(a.v, b.v, c.v); }
  FASTRNN_INLINE friend Vec clamp_above(Vec bound, Vec x) { return _mm256_min_pd(bound.v, x.v); }
  FASTRNN_INLINE friend Vec clamp_below(Vec bound, Vec x) { return _mm256_max_pd(bound.v, x.v); }
  FASTRNN_INLINE friend Vec where_positive(Vec test, Vec x) {
    return _mm256_and_pd(_mm256_cmp_pd(test.v, _mm256_setzero_pd(), _CMP_GT_OQ), x.v);
  }
  FASTRNN_INLINE friend Vec magnitude(Vec x) { return _mm256_andnot_pd(_mm256_set1_pd(-0.0), x.v); }
  FASTRNN_INLINE friend Vec exponent_from_low_bits(Vec x) {
    return _mm256_castsi256_pd(_mm256_slli_epi64(_mm256_castpd_si256(x.v), 52));
  }
};

FASTRNN_INLINE static Vec<double> load_pieces(const double* p, long stride) {
  return _mm256_insertf128_pd(_mm256_castpd128_pd256(_mm_loadu_pd(p)), _mm_loadu_pd(p + stride), 1);
}
FASTRNN_INLINE static void transpose_squares(Vec<double>* x) {
  const __m256d a = x[0].v;
  x[0] = _mm256_unpacklo_pd(a, x[1].v);
  x[1] = _mm256_unpackhi_pd(a, x[1].v);
}

template <class T>
using Narrow = Vec<T>;

}  // namespace fastrnn::FASTRNN_ISA
