// sigmoid and tanh for vectors. NaN in gives NaN out, infinities saturate, nothing leaves [0, 1] or [-1, 1], and both
// tanh are odd (but tanh(-0) is +0). Greatest errors, measured over every float32 and over 26 million doubles, with and
// without fused multiply-add (tests/native/test_native_math.py); operations, one of them a division; cycles per AVX2
// vector on Zen 3, of independent vectors and of a chain:
//
//                  error                           operations (float64)   cycles
//   sigmoid        2.6 ulp                         14 (18)                7.6, 50
//   tanh           2.6 ulp                         15 (19)                7.3, 42
//   fast_sigmoid   2.9e-5; float64: as sigmoid     10                     5.5, 33
//   fast_tanh      6.5e-5 relative; as tanh         9                     5.2, 29
//
// The exact ones take e^x apart, into 2^n and a remainder that enters as t = tanh(r/2): e^r = (1 + t) / (1 - t). t is
// odd, which needs half as many terms as e^r itself and keeps the relative accuracy of small arguments:
//
//   -x = n ln2 - r         sigmoid(x) = 1 / (1 + e^-x) = (1 + t) / ((1 + t) + 2^n (1 - t))
//   2x = n ln2 + r         tanh(x) = (e^2x - 1) / (e^2x + 1) = ((2^n - 1) + (2^n + 1) t) / ((2^n + 1) + (2^n - 1) t)
//
// Adding `kMagic` = 1.5 * 2^mantissa + bias rounds to an integer and leaves n + bias in the lowest bits, from where one
// shift makes 2^n.
//
// Tried and left: tanh as a rational function of degree 9/8 (13 operations, no faster on Zen 3, 4.3 ulp and exceeds 1);
// e^r of degree 5 for sigmoid (as many operations, 3.1 ulp); in an LSTM, one division for i * g and one for o * tanh(c)
// (a twentieth off its activations, but not where i, g and o are saved: inference would differ from training).
#pragma once

#include "cells/cell.h"

namespace fastrnn::FASTRNN_ISA {

constexpr double kLn2 = 0.693147180559945309417;

// tanh(r) = r + r^3 (c0 + c1 r^2 + ...) for |r| <= ln2 / 4; relative error 6e-8 and 4e-18. (Of this file alone: as
// members of a class they would be symbols that a linker may share, see tests/native/symbols.sh.)
static constexpr float kTanhFloat[] = {-0.3333112f, 0.131046295f};
static constexpr double kTanhDouble[] = {-0.333333333333324850968,   0.133333333327837526509,
                                         -0.0539682527819986962940,  0.0218693707127569716557,
                                         -0.00885730869467131632805, 0.00344483682359778485699};

template <class T>
struct Exp;

template <>
struct Exp<float> {
  static constexpr float kMagic = 12582912.0f + 127.0f;
  static constexpr float kLn2High = 0.693359375f;  // 9 bits: n * kLn2High is exact without a fused multiply-add
  static constexpr float kLn2Low = -2.12194440054690583e-4f;
  static constexpr float kSigmoidLargest = 88.0f;  // 2^n stays finite
  static constexpr float kTanhLargest = 10.0f;     // 2^n swallows the ones: tanh is 1
  static constexpr int kDegree = sizeof(kTanhFloat) / sizeof(float) - 1;
  FASTRNN_INLINE static float coefficient(int i) { return kTanhFloat[i]; }
};

template <>
struct Exp<double> {
  static constexpr double kMagic = 6755399441055744.0 + 1023.0;
  static constexpr double kLn2High = 6.93147180369123816490e-01;  // 32 bits (fdlibm)
  static constexpr double kLn2Low = 1.90821492927058770002e-10;
  static constexpr double kSigmoidLargest = 709.0;
  static constexpr double kTanhLargest = 20.0;
  static constexpr int kDegree = sizeof(kTanhDouble) / sizeof(double) - 1;
  FASTRNN_INLINE static double coefficient(int i) { return kTanhDouble[i]; }
};

/// x within +-bound; NaN stays.
template <class V>
FASTRNN_INLINE static V clamp(V x, typename V::Element bound) {
  return clamp_below(V(-bound), clamp_above(V(bound), x));
}

/// (tanh(r) / r - 1) / r^2, or (tanh(r/2) / r - 1/2) / r^2, of r^2. Halving costs nothing: the compiler divides the
/// coefficients, and exactly.
template <bool Halved, class V>
FASTRNN_INLINE static V tanh_tail(V square) {
  using T = typename V::Element;
  using E = Exp<T>;
  const auto coefficient = [](int i) { return V(E::coefficient(i) / T(Halved ? 8 << 2 * i : 1)); };
  V sum = coefficient(E::kDegree);
#pragma GCC unroll 16
  for (int i = E::kDegree - 1; i >= 0; --i) sum = fmadd(sum, square, coefficient(i));
  return sum;
}

template <class V>
FASTRNN_INLINE static V sigmoid(V x) {
  using T = typename V::Element;
  using E = Exp<T>;
  const V one = V(T(1)), magic = V(E::kMagic);
  x = clamp(x, E::kSigmoidLargest);
  const V shifted = fnmadd(x, V(T(1 / kLn2)), magic);
  const V n = shifted - magic;
  const V r = fmadd(n, V(E::kLn2Low), fmadd(n, V(E::kLn2High), x));
  const V square = r * r;
  const V factor = fmadd(tanh_tail<true>(square), square, V(T(0.5)));  // tanh(r/2) / r
  const V plus = fmadd(r, factor, one), minus = fnmadd(r, factor, one);
  return plus / fmadd(exponent_from_low_bits(shifted), minus, plus);
}

template <class V>
FASTRNN_INLINE static V tanh(V x) {
  using T = typename V::Element;
  using E = Exp<T>;
  const V one = V(T(1)), magic = V(E::kMagic);
  x = clamp(x, E::kTanhLargest);
  const V shifted = fmadd(x, V(T(2 / kLn2)), magic);
  const V n = shifted - magic;
  const V r = fnmadd(n, V(T(kLn2 / 2)), x);  // half of that above: t = tanh(r)
  const V square = r * r;
  const V t = fmadd(r * square, tanh_tail<false>(square), r);
  const V scale = exponent_from_low_bits(shifted);
  const V plus = scale + one, minus = scale - one;
  return fmadd(plus, t, minus) / fmadd(minus, t, plus);
}

// x (c0 + c1 x^2 + c2 x^4) / (1 + c3 x^2 + c4 x^4) with the smallest greatest error up to a bound where it is exactly
// 1/2 or 1, and beyond which it stays there.
static constexpr float kFastSigmoid[] = {0.249939784f, 0.00630992791f, 9.89389355e-06f, 0.108403429f, 0.000775934663f};
static constexpr float kFastTanh[] = {0.999935448f, 0.101795413f, 0.00065158197f, 0.434744954f, 0.0126301348f};

template <class V>
FASTRNN_INLINE static V odd_rational(V x, float bound, const float (&c)[5]) {
  x = clamp(x, bound);
  const V square = x * x;
  const V over = x * fmadd(fmadd(V(c[2]), square, V(c[1])), square, V(c[0]));
  return over / fmadd(fmadd(V(c[4]), square, V(c[3])), square, V(1.0f));
}

/// float64 has no fast forms.
template <class V>
FASTRNN_INLINE static V fast_sigmoid(V x) {
  if constexpr (sizeof(typename V::Element) == 8)
    return sigmoid(x);
  else
    return V(0.5f) + odd_rational(x, 10.4614496f, kFastSigmoid);
}
template <class V>
FASTRNN_INLINE static V fast_tanh(V x) {
  if constexpr (sizeof(typename V::Element) == 8)
    return tanh(x);
  else
    return odd_rational(x, 5.19418621f, kFastTanh);
}

template <class T>
FASTRNN_INLINE static Vec<T> relu(Vec<T> x) {
  return clamp_below(Vec<T>(T(0)), x);
}

}  // namespace fastrnn::FASTRNN_ISA
