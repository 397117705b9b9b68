// The activations that can be chosen instead of sigmoid and tanh, by their names in ONNX and Keras. Their derivatives
// are computed from the value f(x), since the backward pass keeps nothing else.
//
//   tanh, sigmoid, relu, identity          exponential        e^x (held below 2^127 or 2^1022)
//   leaky_relu  x > 0 ? x : a x            softsign           x / (1 + |x|)
//   elu         x > 0 ? x : a (e^x - 1)    softplus           log(1 + e^x)
//   selu        elu with a and a scale     hard_sigmoid       clamp(a x + b, 0, 1)
//   affine      a x + b                    scaled_tanh        a tanh(b x)
//                                          thresholded_relu   x > a ? x : 0
#pragma once

#include "math-inl.h"

namespace fastrnn::FASTRNN_ISA {

// Klambauer et al. 2017, "Self-normalizing neural networks".
constexpr double kSeluAlpha = 1.6732632423543772848170429916717, kSeluScale = 1.0507009873554804934193349852946;

/// e^x = 2^n (1 + t) / (1 - t), taken apart as in sigmoid().
template <class V>
FASTRNN_INLINE static V exp(V x) {
  using T = typename V::Element;
  using E = Exp<T>;
  const V one = V(T(1)), magic = V(E::kMagic);
  x = clamp(x, E::kSigmoidLargest);
  const V shifted = fmadd(x, V(T(1 / kLn2)), magic);
  const V n = shifted - magic;
  const V r = fnmadd(n, V(E::kLn2Low), fnmadd(n, V(E::kLn2High), x));
  const V square = r * r;
  const V factor = fmadd(tanh_tail<true>(square), square, V(T(0.5)));  // tanh(r/2) / r
  return exponent_from_low_bits(shifted) * (fmadd(r, factor, one) / fnmadd(r, factor, one));
}

/// e^x - 1 for x <= 0, where nothing cancels: 2 t / (1 - t), t = tanh(x/2).
template <class T>
FASTRNN_INLINE static Vec<T> exp_minus_one(Vec<T> x) {
  const Vec<T> t = tanh(Vec<T>(T(0.5)) * x);
  return (t + t) / (Vec<T>(T(1)) - t);
}

/// log(1 + e^x) = max(x, 0) + log(1 + e), e = e^-|x|; log(1 + e) = 2 atanh(s), s = e / (2 + e) <= 1/3.
template <class V>
FASTRNN_INLINE static V softplus(V x) {
  using T = typename V::Element;
  const V zero = V(T(0)), e = exp(zero - magnitude(x));
  const V s = e / (V(T(2)) + e), square = s * s;
  constexpr int terms = sizeof(T) == 4 ? 8 : 17;  // s^2 <= 1/9: the next one is below half an ulp
  V sum = V(T(1.0 / (2 * terms + 1)));
  for (int i = terms - 1; i >= 0; --i) sum = fmadd(sum, square, V(T(1.0 / (2 * i + 1))));
  return clamp_below(zero, x) + (s + s) * sum;
}

/// f(x). Not inlined: a cell would otherwise contain all of these for each of its activations.
template <class T>
__attribute__((noinline)) static Vec<T> activation(const cells::ActivationSpec& f, bool fast, Vec<T> x) {
  using V = Vec<T>;
  using cells::Activation;
  const V zero = V(T(0)), a = V(T(f.alpha)), b = V(T(f.beta));
  if (f.clip > 0) x = clamp(x, T(f.clip));
  const V below = zero - clamp_below(zero, zero - x);  // min(x, 0), NaN if x is
  switch (f.kind) {
    case Activation::tanh: return fast ? fast_tanh(x) : tanh(x);
    case Activation::sigmoid: return fast ? fast_sigmoid(x) : sigmoid(x);
    case Activation::relu: return relu(x);
    case Activation::identity: return x;
    case Activation::leaky_relu: return fmadd(a, below, relu(x));
    case Activation::elu: return fmadd(a, exp_minus_one(below), relu(x));
    case Activation::selu: return V(T(kSeluScale)) * fmadd(V(T(kSeluAlpha)), exp_minus_one(below), relu(x));
    case Activation::softsign: return x / (V(T(1)) + magnitude(x));
    case Activation::softplus: return softplus(x);
    case Activation::hard_sigmoid: return clamp_below(zero, clamp_above(V(T(1)), fmadd(a, x, b)));
    case Activation::scaled_tanh: return a * tanh(b * x);
    case Activation::thresholded_relu: return where_positive(x - a, x) + zero * x;
    case Activation::affine: return fmadd(a, x, b);
    case Activation::exponential: return exp(x);
  }
  return x;
}

/// f'(x) where f(x) is y.
template <class T>
__attribute__((noinline)) static Vec<T> slope(const cells::ActivationSpec& f, Vec<T> y) {
  using V = Vec<T>;
  using cells::Activation;
  const V one = V(T(1)), a = V(T(f.alpha)), b = V(T(f.beta));
  V d = one;
  switch (f.kind) {
    case Activation::tanh: d = fnmadd(y, y, one); break;
    case Activation::sigmoid: d = y * (one - y); break;
    case Activation::relu:
    case Activation::thresholded_relu: d = where_positive(y, one); break;
    case Activation::identity: break;
    case Activation::leaky_relu: d = a + where_positive(y, one - a); break;
    case Activation::elu: d = where_positive(y, one) + where_positive(one - where_positive(y, one), y + a); break;
    case Activation::selu:
      d = where_positive(y, V(T(kSeluScale))) +
          where_positive(one - where_positive(y, one), y + V(T(kSeluScale * kSeluAlpha)));
      break;
    case Activation::softsign: d = (one - magnitude(y)) * (one - magnitude(y)); break;
    case Activation::softplus: d = V(T(0)) - exp_minus_one(V(T(0)) - y); break;
    case Activation::hard_sigmoid: d = where_positive(y, where_positive(one - y, a)); break;
    case Activation::scaled_tanh: d = b * (a - y * y / a); break;
    case Activation::affine: d = a; break;
    case Activation::exponential: d = y; break;
  }
  if (f.clip > 0) d = where_positive(y - V(T(f.low)), where_positive(V(T(f.high)) - y, d));
  return d;
}

template <class T>
static void activate(const cells::ActivationSpec& f, bool fast, const T* x, T* y, Index n) {
  using V = Vec<T>;
  for (Index i = 0; i < n; i += V::kLanes) {
    const int lanes = int(n - i < V::kLanes ? n - i : V::kLanes);
    activation(f, fast, V::load(x + i, lanes)).store(y + i, lanes);
  }
}

}  // namespace fastrnn::FASTRNN_ISA
