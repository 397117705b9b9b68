// SIMD wrapper: AVX-512 (F, DQ, BW, VL), with VNNI and BF16 where the compiler is told of them. simd_avx2.h says what
// each name means.
#pragma once

#include <immintrin.h>

#define FASTRNN_INLINE inline __attribute__((always_inline))

namespace fastrnn::FASTRNN_ISA {

constexpr int kVectorRegisters = 32;
constexpr int kFmaddExtra = 0;

template <class T>
struct Vec;

template <>
struct Vec<float> {
  using Element = float;
  static constexpr int kLanes = 16;
  __m512 v;

  Vec() = default;
  FASTRNN_INLINE Vec(__m512 raw) : v(raw) {}
  FASTRNN_INLINE explicit Vec(float scalar) : v(_mm512_set1_ps(scalar)) {}
  FASTRNN_INLINE static __mmask16 tail(int n) { return (__mmask16)((1u << n) - 1); }
  FASTRNN_INLINE static Vec load(const float* p) { return _mm512_loadu_ps(p); }
  FASTRNN_INLINE static Vec load(const float* p, int n) {
    return n >= kLanes ? _mm512_loadu_ps(p) : _mm512_maskz_loadu_ps(tail(n), p);
  }
  FASTRNN_INLINE void store(float* p) const { _mm512_storeu_ps(p, v); }
  FASTRNN_INLINE void store(float* p, int n) const {
    if (n >= kLanes) return store(p);
    _mm512_mask_storeu_ps(p, tail(n), v);
  }
  FASTRNN_INLINE friend Vec operator+(Vec a, Vec b) { return _mm512_add_ps(a.v, b.v); }
  FASTRNN_INLINE friend Vec operator-(Vec a, Vec b) { return _mm512_sub_ps(a.v, b.v); }
  FASTRNN_INLINE friend Vec operator*(Vec a, Vec b) { return _mm512_mul_ps(a.v, b.v); }
  FASTRNN_INLINE friend Vec operator/(Vec a, Vec b) { return _mm512_div_ps(a.v, b.v); }
  FASTRNN_INLINE friend Vec fmadd(Vec a, Vec b, Vec c) { return _mm512_fmadd_ps(a.v, b.v, c.v); }
  FASTRNN_INLINE friend Vec fnmadd(Vec a, Vec b, Vec c) { return _mm512_fnmadd_ps(a.v, b.v, c.v); }
  FASTRNN_INLINE friend Vec clamp_above(Vec bound, Vec x) { return _mm512_min_ps(bound.v, x.v); }
  FASTRNN_INLINE friend Vec clamp_below(Vec bound, Vec x) { return _mm512_max_ps(bound.v, x.v); }
  FASTRNN_INLINE friend Vec where_positive(Vec test, Vec x) {
    return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(test.v, _mm512_setzero_ps(), _CMP_GT_OQ), x.v);
  }
  FASTRNN_INLINE friend Vec magnitude(Vec x) { return _mm512_andnot_ps(_mm512_set1_ps(-0.0f), x.v); }
  FASTRNN_INLINE friend Vec exponent_from_low_bits(Vec x) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_castps_si512(x.v), 23));
  }
};

FASTRNN_INLINE static float largest_lane(Vec<float> x) { return _mm512_reduce_max_ps(x.v); }
FASTRNN_INLINE static float sum_of_lanes(Vec<float> x) { return _mm512_reduce_add_ps(x.v); }

FASTRNN_INLINE static void add_product(Vec<float>& sum, Vec<float> x, Vec<float> y) {
  asm("vfmadd231ps %2, %1, %0" : "+v"(sum.v) : "v"(x.v), "v"(y.v));
}

FASTRNN_INLINE static Vec<float> bfloat16_low(Vec<float> pair) {
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_castps_si512(pair.v), 16));
}
FASTRNN_INLINE static Vec<float> bfloat16_high(Vec<float> pair) {
  return _mm512_and_ps(pair.v, _mm512_castsi512_ps(_mm512_set1_epi32(int(0xffff0000))));
}
FASTRNN_INLINE static Vec<float> round_to_bfloat16(Vec<float> x) {
  const __m512i bits = _mm512_castps_si512(x.v);
  const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
  const __m512i rounded = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
  const __mmask16 is_nan = _mm512_cmp_ps_mask(x.v, x.v, _CMP_UNORD_Q);
  return bfloat16_high(_mm512_mask_add_ps(_mm512_castsi512_ps(rounded), is_nan, x.v, x.v));
}

#if defined(__AVX512BF16__)
using Bfloat16Pairs = __m512bh;
FASTRNN_INLINE static Bfloat16Pairs broadcast_pair(const unsigned* p) { return (__m512bh)_mm512_set1_epi32(int(*p)); }
FASTRNN_INLINE static Bfloat16Pairs load_pairs(const float* p) { return (__m512bh)_mm512_loadu_si512(p); }
FASTRNN_INLINE static Vec<float> dot(Bfloat16Pairs x, Bfloat16Pairs w, Vec<float> sum) {
  return _mm512_dpbf16_ps(sum.v, w, x);
}
FASTRNN_INLINE static void store_bfloat16(Vec<float> x, unsigned short* to) {
  _mm256_storeu_si256((__m256i*)to, (__m256i)_mm512_cvtneps_pbh(x.v));
}
#endif

struct Int8Dot {
  typedef int Sum __attribute__((vector_size(64)));  // GCC 12 spills a tile of __m512i, whose lanes are of 64 bits
  using Weight = __m512i;
  using Operand = __m512i;
  FASTRNN_INLINE static Vec<float> to_float(Sum sum) { return _mm512_cvtepi32_ps((__m512i)sum); }
#if defined(__AVX512VNNI__)
  // Weights are packed with 128 added; the header of a row takes 128 times the sum of the row's block off again.
  static constexpr int kStride = 1, kHeader = 1, kParts = 1, kExtra = 0;
  static constexpr bool kUnsignedWeights = true;
  FASTRNN_INLINE static Sum start(const unsigned* header) { return (Sum)_mm512_set1_epi32(int(*header)); }
  FASTRNN_INLINE static Operand operand(const unsigned* p, int) { return _mm512_set1_epi32(int(*p)); }
  FASTRNN_INLINE static Weight weight(const float* w, int) { return _mm512_loadu_si512(w); }
  FASTRNN_INLINE static Sum multiply(Operand x, Weight w, Sum sum) {
    return (Sum)_mm512_dpbusd_epi32((__m512i)sum, w, x);
  }
  FASTRNN_INLINE static void store(Vec<float> x, char* to) {
    _mm_storeu_si128((__m128i*)to, _mm512_cvtsepi32_epi8(_mm512_cvtps_epi32(x.v)));
  }
  FASTRNN_INLINE static void write_header(unsigned* header, const char* values, long count) {
    __m128i sum = _mm_setzero_si128();  // values are stored 16 at a time, with zeros behind the last
    for (long i = 0; i < count; i += 16)
      sum = _mm_dpbusd_epi32(sum, _mm_set1_epi8(1), _mm_loadu_si128((const __m128i*)(values + i)));
    sum = _mm_add_epi32(sum, _mm_shuffle_epi32(sum, _MM_SHUFFLE(1, 0, 3, 2)));
    sum = _mm_add_epi32(sum, _mm_shuffle_epi32(sum, _MM_SHUFFLE(2, 3, 0, 1)));
    *header = unsigned(-128 * _mm_cvtsi128_si32(sum));
  }
#else
  static constexpr int kStride = 2, kHeader = 0, kParts = 2, kExtra = 1;
  static constexpr bool kUnsignedWeights = false;
  FASTRNN_INLINE static Sum start(const unsigned*) { return Sum{}; }
  FASTRNN_INLINE static Operand operand(const unsigned* pairs, int part) { return _mm512_set1_epi32(int(pairs[part])); }
  FASTRNN_INLINE static Weight weight(const float* w, int part) {
    const __m512i bytes = _mm512_loadu_si512(w);
    return _mm512_srai_epi16(part == 0 ? _mm512_slli_epi16(bytes, 8) : bytes, 8);
  }
  FASTRNN_INLINE static Sum multiply(Operand x, Weight w, Sum sum) {
    asm("vpaddd %1, %0, %0" : "+v"(sum) : "v"(_mm512_madd_epi16(x, w)));  // as in add_product
    return sum;
  }
  FASTRNN_INLINE static void store(Vec<float> x, char* to) {
    const __m256i half = _mm512_cvtsepi32_epi16(_mm512_cvtps_epi32(x.v));
    const __m256i order =
        _mm256_broadcastsi128_si256(_mm_setr_epi8(0, 1, 4, 5, 2, 3, 6, 7, 8, 9, 12, 13, 10, 11, 14, 15));
    _mm256_storeu_si256((__m256i*)to, _mm256_shuffle_epi8(half, order));
  }
  FASTRNN_INLINE static void write_header(unsigned*, const char*, long) {}
#endif
};

FASTRNN_INLINE static Vec<float> load_pieces(const float* p, long stride) {
  __m512 x = _mm512_castps128_ps512(_mm_loadu_ps(p));
  x = _mm512_insertf32x4(x, _mm_loadu_ps(p + stride), 1);
  x = _mm512_insertf32x4(x, _mm_loadu_ps(p + 2 * stride), 2);
  return _mm512_insertf32x4(x, _mm_loadu_ps(p + 3 * stride), 3);
}
FASTRNN_INLINE static void transpose_squares(Vec<float>* x) {
  const __m512 a = _mm512_unpacklo_ps(x[0].v, x[1].v), b = _mm512_unpackhi_ps(x[0].v, x[1].v);
  const __m512 c = _mm512_unpacklo_ps(x[2].v, x[3].v), d = _mm512_unpackhi_ps(x[2].v, x[3].v);
  x[0] = _mm512_shuffle_ps(a, c, 0x44);
  x[1] = _mm512_shuffle_ps(a, c, 0xee);
  x[2] = _mm512_shuffle_ps(b, d, 0x44);
  x[3] = _mm512_shuffle_ps(b, d, 0xee);
}

template <>
struct Vec<double> {
  using Element = double;
  static constexpr int kLanes = 8;
  __m512d v;

  Vec() = default;
  FASTRNN_INLINE Vec(__m512d raw) : v(raw) {}
  FASTRNN_INLINE explicit Vec(double scalar) : v(_mm512_set1_pd(scalar)) {}
  FASTRNN_INLINE static __mmask8 tail(int n) { return (__mmask8)((1u << n) - 1); }
  FASTRNN_INLINE static Vec load(const double* p) { return _mm512_loadu_pd(p); }
  FASTRNN_INLINE static Vec load(const double* p, int n) {
    return n >= kLanes ? _mm512_loadu_pd(p) : _mm512_maskz_loadu_pd(tail(n), p);
  }
  FASTRNN_INLINE void store(double* p) const { _mm512_storeu_pd(p, v); }
  FASTRNN_INLINE void store(double* p, int n) const {
    if (n >= kLanes) return store(p);
    _mm512_mask_storeu_pd(p, tail(n), v);
  }
  FASTRNN_INLINE friend Vec operator+(Vec a, Vec b) { return _mm512_add_pd(a.v, b.v); }
  FASTRNN_INLINE friend Vec operator-(Vec a, Vec b) { return _mm512_sub_pd(a.v, b.v); }
  FASTRNN_INLINE friend Vec operator*(Vec a, Vec b) { return _mm512_mul_pd(a.v, b.v); }
  FASTRNN_INLINE friend Vec operator/(Vec a, Vec b) { return _mm512_div_pd(a.v, b.v); }
  FASTRNN_INLINE friend Vec fmadd(Vec a, Vec b, Vec c) { return _mm512_fmadd_pd(a.v, b.v, c.v); }
  FASTRNN_INLINE friend Vec fnmadd(Vec a, Vec b, Vec c) { return _mm512_fnmadd_pd(a.v, b.v, c.v); }
  FASTRNN_INLINE friend Vec clamp_above(Vec bound, Vec x) { return _mm512_min_pd(bound.v, x.v); }
  FASTRNN_INLINE friend Vec clamp_below(Vec bound, Vec x) { return _mm512_max_pd(bound.v, x.v); }
  FASTRNN_INLINE friend Vec where_positive(Vec test, Vec x) {
    return _mm512_maskz_mov_pd(_mm512_cmp_pd_mask(test.v, _mm512_setzero_pd(), _CMP_GT_OQ), x.v);
  }
  FASTRNN_INLINE friend Vec magnitude(Vec x) { return _mm512_andnot_pd(_mm512_set1_pd(-0.0), x.v); }
  FASTRNN_INLINE friend Vec exponent_from_low_bits(Vec x) {
    return _mm512_castsi512_pd(_mm512_slli_epi64(_mm512_castpd_si512(x.v), 52));
  }
};

FASTRNN_INLINE static Vec<double> load_pieces(const double* p, long stride) {
  __m512d x = _mm512_castpd128_pd512(_mm_loadu_pd(p));
  x = _mm512_insertf64x2(x, _mm_loadu_pd(p + stride), 1);
  x = _mm512_insertf64x2(x, _mm_loadu_pd(p + 2 * stride), 2);
  return _mm512_insertf64x2(x, _mm_loadu_pd(p + 3 * stride), 3);
}
FASTRNN_INLINE static void transpose_squares(Vec<double>* x) {
  const __m512d a = x[0].v;
  x[0] = _mm512_unpacklo_pd(a, x[1].v);
  x[1] = _mm512_unpackhi_pd(a, x[1].v);
}

/// Eight lanes of float: their instructions take one half of the wide units that the others take twice.
struct HalfVec {
  using Element = float;
  static constexpr int kLanes = 8;
  __m256 v;

  HalfVec() = default;
  FASTRNN_INLINE HalfVec(__m256 raw) : v(raw) {}
  FASTRNN_INLINE explicit HalfVec(float scalar) : v(_mm256_set1_ps(scalar)) {}
  FASTRNN_INLINE static __mmask8 tail(int n) { return (__mmask8)((1u << n) - 1); }
  FASTRNN_INLINE static HalfVec load(const float* p) { return _mm256_loadu_ps(p); }
  FASTRNN_INLINE static HalfVec load(const float* p, int n) {
    return n >= kLanes ? _mm256_loadu_ps(p) : _mm256_maskz_loadu_ps(tail(n), p);
  }
  FASTRNN_INLINE void store(float* p) const { _mm256_storeu_ps(p, v); }
  FASTRNN_INLINE void store(float* p, int n) const {
    if (n >= kLanes) return store(p);
    _mm256_mask_storeu_ps(p, tail(n), v);
  }
  FASTRNN_INLINE friend HalfVec operator+(HalfVec a, HalfVec b) { return _mm256_add_ps(a.v, b.v); }
  FASTRNN_INLINE friend HalfVec operator-(HalfVec a, HalfVec b) { return _mm256_sub_ps(a.v, b.v); }
  FASTRNN_INLINE friend HalfVec operator*(HalfVec a, HalfVec b) { return _mm256_mul_ps(a.v, b.v); }
  FASTRNN_INLINE friend HalfVec operator/(HalfVec a, HalfVec b) { return _mm256_div_ps(a.v, b.v); }
  FASTRNN_INLINE friend HalfVec fmadd(HalfVec a, HalfVec b, HalfVec c) { return _mm256_fmadd_ps(a.v, b.v, c.v); }
  FASTRNN_INLINE friend HalfVec fnmadd(HalfVec a, HalfVec b, HalfVec c) { return _mm256_fnmadd_ps(a.v, b.v, c.v); }
  FASTRNN_INLINE friend HalfVec clamp_above(HalfVec bound, HalfVec x) { return _mm256_min_ps(bound.v, x.v); }
  FASTRNN_INLINE friend HalfVec clamp_below(HalfVec bound, HalfVec x) { return _mm256_max_ps(bound.v, x.v); }
  FASTRNN_INLINE friend HalfVec where_positive(HalfVec test, HalfVec x) {
    return _mm256_maskz_mov_ps(_mm256_cmp_ps_mask(test.v, _mm256_setzero_ps(), _CMP_GT_OQ), x.v);
  }
  FASTRNN_INLINE friend HalfVec magnitude(HalfVec x) { return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), x.v); }
  FASTRNN_INLINE friend HalfVec exponent_from_low_bits(HalfVec x) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_castps_si256(x.v), 23));
  }
};

template <class T>
struct NarrowOf {
  using Type = Vec<T>;
};
template <>
struct NarrowOf<float> {
  using Type = HalfVec;
};
template <class T>
using Narrow = typename NarrowOf<T>::Type;

}  // namespace fastrnn::FASTRNN_ISA
