// SIMD wrapper: AVX2 and FMA.
//
//   load(p, n), store(p, n)        the first n lanes only; the other lanes are read as zero, and not touched
//   fmadd(a,b,c) = a*b + c         fnmadd(a,b,c) = c - a*b
//   clamp_above(bound, x)          min that gives x back when x is NaN; clamp_below alike
//   where_positive(test, x)        x where test > 0, else 0
//   magnitude, with_sign_of        |x|; a non-negative x with another's sign
//   exponent_from_low_bits(x)      the integer in the lowest mantissa bits becomes the exponent field
#pragma once

#include <immintrin.h>

#define FASTRNN_INLINE inline __attribute__((always_inline))

namespace fastrnn::FASTRNN_ISA {

constexpr int kVectorRegisters = 16;

// Lane masks for tails: n lanes are on from kTail + 8 - n (4-byte lanes), and likewise for 8-byte lanes.
alignas(32) static constexpr int kTail[16] = {-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0};

FASTRNN_INLINE static __m256i tail4(int n) { return _mm256_loadu_si256((const __m256i*)(kTail + 8 - n)); }
FASTRNN_INLINE static __m256i tail8(int n) { return _mm256_loadu_si256((const __m256i*)(kTail + 8 - 2 * n)); }

template <class T>
struct Vec;

template <>
struct Vec<float> {
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
  FASTRNN_INLINE friend Vec with_sign_of(Vec x, Vec sign) {
    return _mm256_or_ps(x.v, _mm256_and_ps(_mm256_set1_ps(-0.0f), sign.v));
  }
  FASTRNN_INLINE friend Vec exponent_from_low_bits(Vec x) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_castps_si256(x.v), 23));
  }
};

template <>
struct Vec<double> {
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
  FASTRNN_INLINE friend Vec with_sign_of(Vec x, Vec sign) {
    return _mm256_or_pd(x.v, _mm256_and_pd(_mm256_set1_pd(-0.0), sign.v));
  }
  FASTRNN_INLINE friend Vec exponent_from_low_bits(Vec x) {
    return _mm256_castsi256_pd(_mm256_slli_epi64(_mm256_castpd_si256(x.v), 52));
  }
};

}  // namespace fastrnn::FASTRNN_ISA
