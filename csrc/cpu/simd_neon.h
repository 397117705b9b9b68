// SIMD wrapper: NEON, which every aarch64 has, with its dot products of int8 and bfloat16 where the compiler is told of
// them. simd_avx2.h says what each name means; load_pieces and transpose_squares are for vectors of more than 16 bytes.
#pragma once

#include <arm_neon.h>
#include <string.h>

#define FASTRNN_INLINE inline __attribute__((always_inline))

namespace fastrnn::FASTRNN_ISA {

constexpr int kVectorRegisters = 32;
constexpr int kFmaddExtra = 0;

template <class T>
struct Vec;

template <>
struct Vec<float> {
  using Element = float;
  static constexpr int kLanes = 4;
  float32x4_t v;

  Vec() = default;
  FASTRNN_INLINE Vec(float32x4_t raw) : v(raw) {}
  FASTRNN_INLINE explicit Vec(float scalar) : v(vdupq_n_f32(scalar)) {}
  FASTRNN_INLINE static Vec load(const float* p) { return vld1q_f32(p); }
  FASTRNN_INLINE static Vec load(const float* p, int n) {
    if (n >= kLanes) return load(p);
    float32x4_t x = vdupq_n_f32(0);
    if (n > 0) x = vld1q_lane_f32(p, x, 0);
    if (n > 1) x = vld1q_lane_f32(p + 1, x, 1);
    if (n > 2) x = vld1q_lane_f32(p + 2, x, 2);
    return x;
  }
  FASTRNN_INLINE void store(float* p) const { vst1q_f32(p, v); }
  FASTRNN_INLINE void store(float* p, int n) const {
    if (n >= kLanes) return store(p);
    if (n > 0) vst1q_lane_f32(p, v, 0);
    if (n > 1) vst1q_lane_f32(p + 1, v, 1);
    if (n > 2) vst1q_lane_f32(p + 2, v, 2);
  }
  FASTRNN_INLINE friend Vec operator+(Vec a, Vec b) { return vaddq_f32(a.v, b.v); }
  FASTRNN_INLINE friend Vec operator-(Vec a, Vec b) { return vsubq_f32(a.v, b.v); }
  FASTRNN_INLINE friend Vec operator*(Vec a, Vec b) { return vmulq_f32(a.v, b.v); }
  FASTRNN_INLINE friend Vec operator/(Vec a, Vec b) { return vdivq_f32(a.v, b.v); }
  FASTRNN_INLINE friend Vec fmadd(Vec a, Vec b, Vec c) { return vfmaq_f32(c.v, a.v, b.v); }
  FASTRNN_INLINE friend Vec fnmadd(Vec a, Vec b, Vec c) { return vfmsq_f32(c.v, a.v, b.v); }
  FASTRNN_INLINE friend Vec clamp_above(Vec bound, Vec x) { return vminq_f32(bound.v, x.v); }
  FASTRNN_INLINE friend Vec clamp_below(Vec bound, Vec x) { return vmaxq_f32(bound.v, x.v); }
  FASTRNN_INLINE friend Vec where_positive(Vec test, Vec x) {
    return vreinterpretq_f32_u32(vandq_u32(vcgtzq_f32(test.v), vreinterpretq_u32_f32(x.v)));
  }
  FASTRNN_INLINE friend Vec magnitude(Vec x) { return vabsq_f32(x.v); }
  FASTRNN_INLINE friend Vec exponent_from_low_bits(Vec x) {
    return vreinterpretq_f32_u32(vshlq_n_u32(vreinterpretq_u32_f32(x.v), 23));
  }
};

FASTRNN_INLINE static float largest_lane(Vec<float> x) { return vmaxvq_f32(x.v); }
FASTRNN_INLINE static float sum_of_lanes(Vec<float> x) { return vaddvq_f32(x.v); }

FASTRNN_INLINE static void add_product(Vec<float>& sum, Vec<float> x, Vec<float> y) {
  asm("fmla %0.4s, %1.4s, %2.4s" : "+w"(sum.v) : "w"(x.v), "w"(y.v));
}

FASTRNN_INLINE static Vec<float> bfloat16_low(Vec<float> pair) {
  return vreinterpretq_f32_u32(vshlq_n_u32(vreinterpretq_u32_f32(pair.v), 16));
}
FASTRNN_INLINE static Vec<float> bfloat16_high(Vec<float> pair) {
  return vreinterpretq_f32_u32(vandq_u32(vreinterpretq_u32_f32(pair.v), vdupq_n_u32(0xffff0000)));
}
FASTRNN_INLINE static Vec<float> round_to_bfloat16(Vec<float> x) {
  const uint32x4_t bits = vreinterpretq_u32_f32(x.v);
  const uint32x4_t odd = vandq_u32(vshrq_n_u32(bits, 16), vdupq_n_u32(1));
  const uint32x4_t rounded = vaddq_u32(bits, vaddq_u32(odd, vdupq_n_u32(0x7fff)));
  return bfloat16_high(vbslq_f32(vceqq_f32(x.v, x.v), vreinterpretq_f32_u32(rounded), (x + x).v));
}

#if defined(__ARM_FEATURE_BF16_VECTOR_ARITHMETIC)
/// By two fused multiply-adds, of the odd and of the even terms. BFDOT takes one instruction for both, but rounds in a
/// way of its own: results would not be those of other instruction sets.
using Bfloat16Pairs = bfloat16x8_t;
FASTRNN_INLINE static Bfloat16Pairs broadcast_pair(const unsigned* p) {
  return vreinterpretq_bf16_u32(vdupq_n_u32(*p));
}
FASTRNN_INLINE static Bfloat16Pairs load_pairs(const float* p) { return vreinterpretq_bf16_f32(vld1q_f32(p)); }
FASTRNN_INLINE static Vec<float> dot(Bfloat16Pairs x, Bfloat16Pairs w, Vec<float> sum) {
  return vbfmlalbq_f32(vbfmlaltq_f32(sum.v, w, x), w, x);
}
FASTRNN_INLINE static void store_bfloat16(Vec<float> x, unsigned short* to) {
  vst1_u16(to, vshrn_n_u32(vreinterpretq_u32_f32(round_to_bfloat16(x).v), 16));
}
#endif

/// Without the dot product, bytes are multiplied into 16 bits, where two products fit: 2 * 127 * 127 < 2^15.
struct Int8Dot {
  static constexpr int kStride = 1, kHeader = 0, kParts = 1;
  static constexpr bool kUnsignedWeights = false;
  using Sum = int32x4_t;
  using Weight = int8x16_t;
  using Operand = int8x16_t;
  FASTRNN_INLINE static Sum start(const unsigned*) { return vdupq_n_s32(0); }
  FASTRNN_INLINE static Operand operand(const unsigned* p, int) { return vreinterpretq_s8_u32(vdupq_n_u32(*p)); }
  FASTRNN_INLINE static Weight weight(const float* w, int) { return vreinterpretq_s8_f32(vld1q_f32(w)); }
#if defined(__ARM_FEATURE_DOTPROD)
  static constexpr int kExtra = 0;
  FASTRNN_INLINE static Sum multiply(Operand x, Weight w, Sum sum) { return vdotq_s32(sum, w, x); }
#else
  static constexpr int kExtra = 2;
  FASTRNN_INLINE static Sum multiply(Operand x, Weight w, Sum sum) {
    const int16x8_t low = vmull_s8(vget_low_s8(w), vget_low_s8(x)), high = vmull_high_s8(w, x);
    return vpadalq_s16(sum, vpaddq_s16(low, high));
  }
#endif
  FASTRNN_INLINE static Vec<float> to_float(Sum sum) { return vcvtq_f32_s32(sum); }
  /// Rounds to integers, ties to even.
  FASTRNN_INLINE static void store(Vec<float> x, char* to) {
    const int16x4_t half = vqmovn_s32(vcvtnq_s32_f32(x.v));
    const int8x8_t bytes = vqmovn_s16(vcombine_s16(half, half));
    memcpy(to, &bytes, 4);
  }
  FASTRNN_INLINE static void write_header(unsigned*, const char*, long) {}
};

template <>
struct Vec<double> {
  using Element = double;
  static constexpr int kLanes = 2;
  float64x2_t v;

  Vec() = default;
  FASTRNN_INLINE Vec(float64x2_t raw) : v(raw) {}
  FASTRNN_INLINE explicit Vec(double scalar) : v(vdupq_n_f64(scalar)) {}
  FASTRNN_INLINE static Vec load(const double* p) { return vld1q_f64(p); }
  FASTRNN_INLINE static Vec load(const double* p, int n) {
    if (n >= kLanes) return load(p);
    const float64x2_t zeros = vdupq_n_f64(0);
    return n > 0 ? vld1q_lane_f64(p, zeros, 0) : zeros;
  }
  FASTRNN_INLINE void store(double* p) const { vst1q_f64(p, v); }
  FASTRNN_INLINE void store(double* p, int n) const {
    if (n >= kLanes) return store(p);
    if (n > 0) vst1q_lane_f64(p, v, 0);
  }
  FASTRNN_INLINE friend Vec operator+(Vec a, Vec b) { return vaddq_f64(a.v, b.v); }
  FASTRNN_INLINE friend Vec operator-(Vec a, Vec b) { return vsubq_f64(a.v, b.v); }
  FASTRNN_INLINE friend Vec operator*(Vec a, Vec b) { return vmulq_f64(a.v, b.v); }
  FASTRNN_INLINE friend Vec operator/(Vec a, Vec b) { return vdivq_f64(a.v, b.v); }
  FASTRNN_INLINE friend Vec fmadd(Vec a, Vec b, Vec c) { return vfmaq_f64(c.v, a.v, b.v); }
  FASTRNN_INLINE friend Vec fnmadd(Vec a, Vec b, Vec c) { return vfmsq_f64(c.v, a.v, b.v); }
  FASTRNN_INLINE friend Vec clamp_above(Vec bound, Vec x) { return vminq_f64(bound.v, x.v); }
  FASTRNN_INLINE friend Vec clamp_below(Vec bound, Vec x) { return vmaxq_f64(bound.v, x.v); }
  FASTRNN_INLINE friend Vec where_positive(Vec test, Vec x) {
    return vreinterpretq_f64_u64(vandq_u64(vcgtzq_f64(test.v), vreinterpretq_u64_f64(x.v)));
  }
  FASTRNN_INLINE friend Vec magnitude(Vec x) { return vabsq_f64(x.v); }
  FASTRNN_INLINE friend Vec exponent_from_low_bits(Vec x) {
    return vreinterpretq_f64_u64(vshlq_n_u64(vreinterpretq_u64_f64(x.v), 52));
  }
};

template <class T>
using Narrow = Vec<T>;

}  // namespace fastrnn::FASTRNN_ISA
