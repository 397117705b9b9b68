// The activations and their derivatives for a CUDA thread, chosen at run time. csrc/cpu/activations-inl.h has the
// formulas.
#pragma once

#include "cuda/kernels/value.h"

namespace fastrnn::cuda {

FASTRNN_CELL Value sigmoid(Value x) { return Value(1.0f / (1.0f + expf(-x.v))); }
FASTRNN_CELL Value softplus(Value x) { return clamp_below(Value(0), x) + Value(log1pf(expf(-fabsf(x.v)))); }

// Klambauer et al. 2017, "Self-normalizing neural networks".
constexpr double kSeluAlpha = 1.6732632423543772848170429916717, kSeluScale = 1.0507009873554804934193349852946;
constexpr double kLargestExponent = 88;  // e^x is finite, and so is what follows from it

/// f(x)
FASTRNN_CELL Value activation(const cells::ActivationSpec& f, Value x) {
  using cells::Activation;
  const Value zero = Value(0), a = Value(float(f.alpha)), b = Value(float(f.beta));
  if (f.clip > 0) x = clamp(x, f.clip);
  const Value above = clamp_below(zero, x), below = clamp_above(zero, x);
  switch (f.kind) {
    case Activation::tanh: return Value(tanhf(x.v));
    case Activation::sigmoid: return sigmoid(x);
    case Activation::relu: return above;
    case Activation::identity: return x;
    case Activation::leaky_relu: return fmadd(a, below, above);
    case Activation::elu: return fmadd(a, Value(expm1f(below.v)), above);
    case Activation::selu:
      return Value(float(kSeluScale)) * fmadd(Value(float(kSeluAlpha)), Value(expm1f(below.v)), above);
    case Activation::softsign: return x / (Value(1) + magnitude(x));
    case Activation::softplus: return softplus(x);
    case Activation::hard_sigmoid: return clamp_below(zero, clamp_above(Value(1), fmadd(a, x, b)));
    case Activation::scaled_tanh: return a * Value(tanhf((b * x).v));
    case Activation::thresholded_relu: return where_positive(x - a, x) + zero * x;
    case Activation::affine: return fmadd(a, x, b);
    case Activation::exponential: return Value(expf(clamp(x, kLargestExponent).v));
  }
  return x;
}

/// f'(x) where f(x) is y
FASTRNN_CELL Value slope(const cells::ActivationSpec& f, Value y) {
  using cells::Activation;
  const Value one = Value(1), a = Value(float(f.alpha)), b = Value(float(f.beta));
  const bool positive = y.v > 0;
  Value d = one;
  switch (f.kind) {
    case Activation::tanh: d = fnmadd(y, y, one); break;
    case Activation::sigmoid: d = y * (one - y); break;
    case Activation::relu:
    case Activation::thresholded_relu: d = where_positive(y, one); break;
    case Activation::identity: break;
    case Activation::leaky_relu: d = positive ? one : a; break;
    case Activation::elu: d = positive ? one : y + a; break;
    case Activation::selu: d = positive ? Value(float(kSeluScale)) : y + Value(float(kSeluScale * kSeluAlpha)); break;
    case Activation::softsign: d = (one - magnitude(y)) * (one - magnitude(y)); break;
    case Activation::softplus: d = Value(-expm1f(-y.v)); break;
    case Activation::hard_sigmoid: d = where_positive(y, where_positive(one - y, a)); break;
    case Activation::scaled_tanh: d = b * (a - y * y / a); break;
    case Activation::affine: d = a; break;
    case Activation::exponential: d = y; break;
  }
  if (f.clip <= 0) return d;
  // f.low and f.high cannot be used: they are rounded as the CPU computes f, which may differ in the last bit.
  const float p = activation(f, Value(float(-f.clip))).v, q = activation(f, Value(float(f.clip))).v;
  return y.v > fminf(p, q) && y.v < fmaxf(p, q) ? d : Value(0);
}

}  // namespace fastrnn::cuda
