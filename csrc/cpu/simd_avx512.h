// SIMD wrapper: AVX-512 (F, DQ). simd_avx2.h says what each name means.
#pragma once

#include <immintrin.h>

#define FASTRNN_INLINE inline __attribute__((always_inline))

namespace fastrnn::FASTRNN_ISA {

constexpr int kVectorRegisters = 32;

template <class T>
struct Vec;

template <>
struct Vec<float> {
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
  FASTRNN_INLINE friend Vec with_sign_of(Vec x, Vec sign) {
    return _mm512_or_ps(x.v, _mm512_and_ps(_mm512_set1_ps(-0.0f), sign.v));
  }
  FASTRNN_INLINE friend Vec exponent_from_low_bits(Vec x) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_castps_si512(x.v), 23));
  }
};

template <>
struct Vec<double> {
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
  FASTRNN_INLINE friend Vec with_sign_of(Vec x, Vec sign) {
    return _mm512_or_pd(x.v, _mm512_and_pd(_mm512_set1_pd(-0.0), sign.v));
  }
  FASTRNN_INLINE friend Vec exponent_from_low_bits(Vec x) {
    return _mm512_castsi512_pd(_mm512_slli_epi64(_mm512_castpd_si512(x.v), 52));
  }
};

}  // namespace fastrnn::FASTRNN_ISA
