// SIMD wrapper: 16-byte vectors in the compilers' own vector extension (GCC and Clang: SSE2 on x86-64, NEON on
// aarch64). Every wrapper offers the same names; simd_avx2.h says what each means.
#pragma once

#include <string.h>

#define FASTRNN_INLINE inline __attribute__((always_inline))

namespace fastrnn::FASTRNN_ISA {

constexpr int kVectorRegisters = 16;
#if defined(__FP_FAST_FMA) && defined(__FP_FAST_FMAF)
constexpr int kFmaddExtra = 0;
#else
constexpr int kFmaddExtra = 1;  // the product
#endif

template <class T>
struct VecTypes;
template <>
struct VecTypes<float> {
  typedef float Raw __attribute__((vector_size(16)));
  typedef int Bits __attribute__((vector_size(16)));
  static constexpr int kMantissaBits = 23;
  static constexpr int kMagnitudeMask = 0x7fffffff;
};
template <>
struct VecTypes<double> {
  typedef double Raw __attribute__((vector_size(16)));
  typedef long long Bits __attribute__((vector_size(16)));
  static constexpr int kMantissaBits = 52;
  static constexpr long long kMagnitudeMask = 0x7fffffffffffffff;
};

template <class T>
struct Vec {
  using Element = T;
  using Types = VecTypes<T>;
  using Raw = typename Types::Raw;
  using Bits = typename Types::Bits;
  static constexpr int kLanes = 16 / sizeof(T);
  Raw v;

  Vec() = default;
  FASTRNN_INLINE Vec(Raw raw) : v(raw) {}
  FASTRNN_INLINE explicit Vec(T scalar) : v(scalar - Raw{}) {}
  FASTRNN_INLINE static Vec load(const T* p) {
    Vec x;
    memcpy(&x.v, p, sizeof x.v);
    return x;
  }
  FASTRNN_INLINE static Vec load(const T* p, int n) {
    if (n >= kLanes) return load(p);
    Vec x(T(0));
    for (int i = 0; i < n; ++i) x.v[i] = p[i];
    return x;
  }
  FASTRNN_INLINE void store(T* p) const { memcpy(p, &v, sizeof v); }
  FASTRNN_INLINE void store(T* p, int n) const {
    if (n >= kLanes) return store(p);
    for (int i = 0; i < n; ++i) p[i] = v[i];
  }
  FASTRNN_INLINE friend Vec operator+(Vec a, Vec b) { return a.v + b.v; }
  FASTRNN_INLINE friend Vec operator-(Vec a, Vec b) { return a.v - b.v; }
  FASTRNN_INLINE friend Vec operator*(Vec a, Vec b) { return a.v * b.v; }
  FASTRNN_INLINE friend Vec operator/(Vec a, Vec b) { return a.v / b.v; }
#if defined(__FP_FAST_FMA) && defined(__FP_FAST_FMAF)
  FASTRNN_INLINE friend Vec fmadd(Vec a, Vec b, Vec c) {
    Vec x;
    for (int i = 0; i < kLanes; ++i) x.v[i] = fused(a.v[i], b.v[i], c.v[i]);
    return x;
  }
  FASTRNN_INLINE static float fused(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
  FASTRNN_INLINE static double fused(double a, double b, double c) { return __builtin_fma(a, b, c); }
  FASTRNN_INLINE friend Vec fnmadd(Vec a, Vec b, Vec c) { return fmadd(Vec(-a.v), b, c); }
#else  // no fused instruction in the baseline: a library call per lane would cost a hundred times as much
  FASTRNN_INLINE friend Vec fmadd(Vec a, Vec b, Vec c) { return a.v * b.v + c.v; }
  FASTRNN_INLINE friend Vec fnmadd(Vec a, Vec b, Vec c) { return c.v - a.v * b.v; }
#endif
  FASTRNN_INLINE friend Vec clamp_above(Vec bound, Vec x) { return bound.v < x.v ? bound.v : x.v; }
  FASTRNN_INLINE friend Vec clamp_below(Vec bound, Vec x) { return bound.v > x.v ? bound.v : x.v; }
  FASTRNN_INLINE friend Vec where_positive(Vec test, Vec x) { return test.v > Raw{} ? x.v : Raw{}; }
  FASTRNN_INLINE friend Vec magnitude(Vec x) { return (Raw)((Bits)x.v & (Types::kMagnitudeMask - Bits{})); }
  FASTRNN_INLINE friend Vec exponent_from_low_bits(Vec x) { return (Raw)((Bits)x.v << Types::kMantissaBits); }
};

template <class T>
using Narrow = Vec<T>;

FASTRNN_INLINE static float largest_lane(Vec<float> x) {
  float most = x.v[0];
  for (int i = 1; i < Vec<float>::kLanes; ++i) most = x.v[i] > most ? x.v[i] : most;
  return most;
}
FASTRNN_INLINE static float sum_of_lanes(Vec<float> x) { return (x.v[0] + x.v[1]) + (x.v[2] + x.v[3]); }

FASTRNN_INLINE static void add_product(Vec<float>& sum, Vec<float> x, Vec<float> y) {
#if defined(__SSE2__) && !defined(__AVX__)
  asm volatile("addps %1, %0" : "+x"(sum.v) : "x"((x * y).v));
#else
  sum = fmadd(x, y, sum);
#endif
}

FASTRNN_INLINE static Vec<float> bfloat16_low(Vec<float> pair) {
  return (Vec<float>::Raw)((Vec<float>::Bits)pair.v << 16);
}
FASTRNN_INLINE static Vec<float> bfloat16_high(Vec<float> pair) {
  return (Vec<float>::Raw)((Vec<float>::Bits)pair.v & (int(0xffff0000) - Vec<float>::Bits{}));
}
FASTRNN_INLINE static Vec<float> round_to_bfloat16(Vec<float> x) {
  const auto bits = (Vec<float>::Bits)x.v;
  const Vec<float> rounded = (Vec<float>::Raw)(bits + ((bits >> 16) & 1) + 0x7fff);
  return bfloat16_high(x.v == x.v ? rounded.v : (x + x).v);
}

/// In float, where products and their sums are exact as well (formats-inl.h): SSE2 cannot multiply 32-bit integers.
struct Int8Dot {
  static constexpr int kStride = 4, kHeader = 0, kParts = 4, kExtra = kFmaddExtra;
  static constexpr bool kUnsignedWeights = false;
  using Sum = Vec<float>;
  using Weight = Vec<float>;
  using Operand = Vec<float>;
  FASTRNN_INLINE static Sum start(const unsigned*) { return Sum(0.0f); }
  FASTRNN_INLINE static Operand operand(const unsigned* terms, int part) {
    float x;
    memcpy(&x, terms + part, sizeof x);
    return Vec<float>(x);
  }
  FASTRNN_INLINE static Weight weight(const float* w, int part) {
    const auto lanes =
        (Vec<float>::Bits)Vec<float>::load(w).v;  // shifts take a term to the top, and back with its sign
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    part = 3 - part;
#endif
    return __builtin_convertvector(lanes << 8 * part >> 24, Vec<float>::Raw);
  }
  FASTRNN_INLINE static Sum multiply(Operand x, Weight w, Sum sum) {
    add_product(sum, x, w);
    return sum;
  }
  FASTRNN_INLINE static Vec<float> to_float(Sum sum) { return sum; }
  FASTRNN_INLINE static void store(Vec<float> x, char* to) {
    const Vec<float> magic = Vec<float>(12582912.0f);  // 1.5 * 2^23: adding it rounds to an integer, ties to even
    (x + magic - magic).store(reinterpret_cast<float*>(to));
  }
  FASTRNN_INLINE static void write_header(unsigned*, const char*, long) {}
};

}  // namespace fastrnn::FASTRNN_ISA
