// The value type of a CUDA thread: one float, with the names that cells/ uses of its values, and what plain cells need
// of a Unit beside their state (csrc/cells/cell.h has the meaning of every name).
#pragma once

#include <math.h>

#include "cells/list.h"
#include "cuda/kernels/primitives.h"

namespace fastrnn::cuda {

struct Value {
  float v;
  Value() = default;
  FASTRNN_CELL explicit Value(float scalar) : v(scalar) {}
  FASTRNN_CELL explicit Value(int scalar) : v(float(scalar)) {}
  FASTRNN_CELL friend Value operator+(Value a, Value b) { return Value(a.v + b.v); }
  FASTRNN_CELL friend Value operator-(Value a, Value b) { return Value(a.v - b.v); }
  FASTRNN_CELL friend Value operator*(Value a, Value b) { return Value(a.v * b.v); }
  FASTRNN_CELL friend Value operator/(Value a, Value b) { return Value(a.v / b.v); }
  FASTRNN_CELL friend Value fmadd(Value a, Value b, Value c) { return Value(fmaf(a.v, b.v, c.v)); }
  FASTRNN_CELL friend Value fnmadd(Value a, Value b, Value c) { return Value(fmaf(-a.v, b.v, c.v)); }
  // As for the CPU's vectors: NaN stays NaN.
  FASTRNN_CELL friend Value clamp_above(Value bound, Value x) { return x.v > bound.v ? bound : x; }
  FASTRNN_CELL friend Value clamp_below(Value bound, Value x) { return x.v < bound.v ? bound : x; }
  FASTRNN_CELL friend Value clamp(Value x, double bound) {
    return clamp_below(Value(float(-bound)), clamp_above(Value(float(bound)), x));
  }
  FASTRNN_CELL friend Value where_positive(Value test, Value x) { return Value(test.v > 0 ? x.v : 0.0f); }
  FASTRNN_CELL friend Value magnitude(Value x) { return Value(fabsf(x.v)); }
};

/// tanh without a branch: what the library's tanhf becomes has one, and lanes of a warp take both sides. Below 0.6 a
/// polynomial, x + x^3 p(x^2), whose error is 0.75 units of the last place; above, 1 - 2 / (e^2x + 1), where it is 3.2
/// if those of the power and of the reciprocal are as large as the PTX ISA allows. NaN stays NaN.
FASTRNN_CELL float tanh_of(float x) {
  const float size = fabsf(x), square = x * x;
  const float large = fmaf(-2.0f, reciprocal(power_of_two(size * 2.885390082f) + 1.0f), 1.0f);  // 2 / ln 2
  float p = fmaf(-0.005895153154f, square, 0.02079596743f);
  p = fmaf(p, square, -0.05378383026f);
  p = fmaf(p, square, 0.1333192438f);
  p = fmaf(p, square, -0.3333329856f);
  return size < 0.6f ? fmaf(p * square, x, x) : copysignf(large, x);
}

/// sigmoid, tanh and their slopes: the activations of plain cells.
struct PlainActivations {
  using V = Value;
  static constexpr bool kPlain = true;
  FASTRNN_CELL static V sigmoid(V x) { return V(reciprocal(1.0f + expf(-x.v))); }
  FASTRNN_CELL static V tanh(V x) { return V(tanh_of(x.v)); }
  FASTRNN_CELL static V gate(V x) { return sigmoid(x); }
  FASTRNN_CELL static V candidate(V x) { return tanh(x); }
  FASTRNN_CELL static V output(V x) { return tanh(x); }
  FASTRNN_CELL static V drop(V x) { return x; }
  FASTRNN_CELL static V mask_operand(V x) { return x; }
  FASTRNN_CELL static V clip_c(V x) { return x; }
  FASTRNN_CELL static V clip_c_slope(V, V d) { return d; }
  FASTRNN_CELL static V gate_slope(V y) { return y * (V(1) - y); }
  FASTRNN_CELL static V candidate_slope(V y) { return fnmadd(y, y, V(1)); }
  FASTRNN_CELL static V output_slope(V y) { return fnmadd(y, y, V(1)); }
};

}  // namespace fastrnn::cuda
