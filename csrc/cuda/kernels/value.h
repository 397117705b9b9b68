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

/// sigmoid, tanh and their slopes: the activations of plain cells.
struct PlainActivations {
  using V = Value;
  static constexpr bool kPlain = true;
  FASTRNN_CELL static V sigmoid(V x) { return V(reciprocal(1.0f + expf(-x.v))); }
  FASTRNN_CELL static V tanh(V x) { return V(tanhf(x.v)); }
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
