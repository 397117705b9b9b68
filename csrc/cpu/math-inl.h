// sigmoid and tanh for vectors: within 4 ulp in float32 and float64 (tests/test_activations.py), NaN in gives NaN out.
//
// Both rest on expm1(x) = 2^n * expm1(r) + (2^n - 1), x = n ln2 + r, |r| <= ln2/2, which keeps its relative accuracy
// near 0, where exp(x) - 1 would lose it. The polynomials interpolate (expm1(r) - r) / r^2 at Chebyshev nodes (relative
// error of expm1: 2e-9 in float32's, 3e-19 in float64's).
//
// Adding `kMagic` = 1.5 * 2^mantissa + bias rounds to an integer and leaves n + bias in the lowest bits, from where one
// shift makes 2^n.
#pragma once

#include "cells/cell.h"

namespace fastrnn::FASTRNN_ISA {

// Of this file alone: as members of Exp they would be symbols that a linker may share (tests/native/symbols.sh).
static constexpr float kQFloat[] = {0.50000000135f,    0.166666666817f,   0.041666464602f,
                                    0.00833331088958f, 0.00139336858626f, 0.000198910306544f};
static constexpr double kQDouble[] = {0.5,
                                      0.16666666666666671008,
                                      0.041666666666666669767,
                                      0.0083333333333261120526,
                                      0.0013888888888883731828,
                                      0.00019841269874901259234,
                                      0.000024801587325605322782,
                                      2.7557255297969644392e-6,
                                      2.7557273570102139673e-7,
                                      2.5105259538448493419e-8,
                                      2.0914717341716375952e-9};

template <class T>
struct Exp;

template <>
struct Exp<float> {
  static constexpr float kMagic = 12582912.0f + 127.0f;
  static constexpr float kLog2e = 1.44269504088896340736f;
  static constexpr float kLn2High = 0.693359375f;  // 9 bits: n * kLn2High is exact without a fused multiply-add
  static constexpr float kLn2Low = -2.12194440054690583e-4f;
  FASTRNN_INLINE static float q(int i) { return kQFloat[i]; }
  static constexpr int kDegree = sizeof(kQFloat) / sizeof(float) - 1;
  static constexpr float kLargest = 88.0f;      // 2^n stays finite
  static constexpr float kTanhLargest = 20.0f;  // 2|x| from where tanh rounds to 1
};

template <>
struct Exp<double> {
  static constexpr double kMagic = 6755399441055744.0 + 1023.0;
  static constexpr double kLog2e = 1.44269504088896340736;
  static constexpr double kLn2High = 6.93147180369123816490e-01;  // 32 bits (fdlibm)
  static constexpr double kLn2Low = 1.90821492927058770002e-10;
  FASTRNN_INLINE static double q(int i) { return kQDouble[i]; }
  static constexpr int kDegree = sizeof(kQDouble) / sizeof(double) - 1;
  static constexpr double kLargest = 709.0;
  static constexpr double kTanhLargest = 40.0;
};

/// Splits exp(x): scale = 2^n, returns expm1(r). x must lie within +-kLargest, or be NaN.
template <class T>
FASTRNN_INLINE static Vec<T> expm1_reduced(Vec<T> x, Vec<T>& scale) {
  using V = Vec<T>;
  using E = Exp<T>;
  const V shifted = fmadd(x, V(E::kLog2e), V(E::kMagic));
  const V n = shifted - V(E::kMagic);
  const V r = fnmadd(n, V(E::kLn2Low), fnmadd(n, V(E::kLn2High), x));
  scale = exponent_from_low_bits(shifted);
  V q = V(E::q(E::kDegree));
#pragma GCC unroll 16
  for (int i = E::kDegree - 1; i >= 0; --i) q = fmadd(q, r, V(E::q(i)));
  return fmadd(r * r, q, r);
}

template <class T>
FASTRNN_INLINE static Vec<T> sigmoid(Vec<T> x) {
  using V = Vec<T>;
  const V bound = V(Exp<T>::kLargest);
  const V negated = clamp_below(V(-Exp<T>::kLargest), clamp_above(bound, V(T(0)) - x));
  V scale;
  const V p = expm1_reduced(negated, scale);
  return V(T(1)) / (V(T(1)) + fmadd(scale, p, scale));
}

template <class T>
FASTRNN_INLINE static Vec<T> tanh(Vec<T> x) {
  using V = Vec<T>;
  const V magnitude_x = magnitude(x);
  const V doubled = clamp_above(V(Exp<T>::kTanhLargest), magnitude_x + magnitude_x);
  V scale;
  const V p = expm1_reduced(doubled, scale);
  const V e = fmadd(scale, p, scale - V(T(1)));
  return with_sign_of(e / (e + V(T(2))), x);
}

template <class T>
FASTRNN_INLINE static Vec<T> fast_sigmoid(Vec<T> x) {
  return sigmoid(x);
}
template <class T>
FASTRNN_INLINE static Vec<T> fast_tanh(Vec<T> x) {
  return tanh(x);
}

template <class T>
FASTRNN_INLINE static Vec<T> relu(Vec<T> x) {
  return clamp_below(Vec<T>(T(0)), x);
}

}  // namespace fastrnn::FASTRNN_ISA
