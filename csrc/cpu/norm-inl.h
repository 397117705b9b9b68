// Layer normalisation (Ba, Kiros & Hinton 2016, "Layer normalization") of what one row holds, forward and backward:
//
//   hat = (v - mean(v)) / sqrt(var(v) + epsilon)         LN(v) = hat * gain + bias          scale = 1 / sqrt(...)
//   dv  = (d - mean(d) - hat * mean(d * hat)) * scale     d = dLN * gain
//
// v is some columns of `hidden` elements, `padded` apart. The padding between them may hold anything.
#pragma once

#include "core/backend/kernels.h"
#include "math-inl.h"

namespace fastrnn::FASTRNN_ISA {

template <class T>
static void copy(const T* from, T* to, Index n) {
  for (Index i = 0; i < n; ++i) to[i] = from[i];
}

template <class T>
static void fill_zero(T* to, Index n) {
  for (Index i = 0; i < n; ++i) to[i] = T(0);
}

template <class T>
struct Columns {
  Index count, padded, hidden;

  /// each(offset, lanes) for every vector of the columns.
  template <class Each>
  FASTRNN_INLINE void for_each(const Each& each) const {
    constexpr int U = Vec<T>::kLanes;
    for (Index g = 0; g < count; ++g)
      for (Index unit = 0; unit < hidden; unit += U)
        each(g * padded + unit, int(hidden - unit < U ? hidden - unit : U));
  }

  /// The mean of value(offset, lanes), whose lanes beyond `lanes` are left out.
  template <class Value>
  FASTRNN_INLINE T mean(const Value& value) const {
    using V = Vec<T>;
    constexpr int U = V::kLanes;
    V sum = V(T(0));
    alignas(64) T lane[U];
    for_each([&](Index i, int lanes) {
      V v = value(i, lanes);
      if (lanes < U) {
        v.store(lane);
        v = V::load(lane, lanes);
      }
      sum = sum + v;
    });
    sum.store(lane);
    T total = 0;
    for (int k = 0; k < U; ++k) total += lane[k];
    return total / T(count * hidden);
  }
};

/// v becomes LN(v); hat may be null. Returns the scale.
template <class T>
static T normalise(const Columns<T>& columns, T* v, const T* gain, const T* bias, T epsilon, T* hat) {
  using V = Vec<T>;
  const V mean = V(columns.mean([&](Index i, int) { return V::load(v + i); }));
  const T variance = columns.mean([&](Index i, int) {
    const V d = V::load(v + i) - mean;
    return d * d;
  });
  const T scale = T(1) / __builtin_sqrt(variance + epsilon);
  columns.for_each([&](Index i, int) {
    const V h = (V::load(v + i) - mean) * V(scale);
    if (hat != nullptr) h.store(hat + i);
    fmadd(h, V::load(gain + i), V::load(bias + i)).store(v + i);
  });
  return scale;
}

/// Writes the gradient of v to `out`; d are the gradients of LN(v), a pointer for each column.
template <class T>
static void normalise_backward(const Columns<T>& columns, const T* gain, const T* hat, T scale, const T* const* d,
                               T* out) {
  using V = Vec<T>;
  const auto gradient = [&](Index i) {  // the gradients' columns may lie anywhere
    return V::load(d[i / columns.padded] + i % columns.padded) * V::load(gain + i);
  };
  const V mean = V(columns.mean([&](Index i, int) { return gradient(i); }));
  const V along = V(columns.mean([&](Index i, int) { return gradient(i) * V::load(hat + i); }));
  columns.for_each([&](Index i, int) { ((gradient(i) - mean - V::load(hat + i) * along) * V(scale)).store(out + i); });
}

template <class T>
FASTRNN_INLINE static T* statistics(const Layer<T>& layer, T* gates) {
  return gates + layer.columns * layer.padded;
}

/// Normalises W x in place, for the groups of gates in `norm`.
template <class T>
static void norm_input(const Layer<T>& layer, int norm, T* gates) {
  const cells::Description& cell = layer.cell;
  for (int j = 0; j < 2; ++j) {
    if (!(norm & 1 << j)) continue;
    const Index at = cell.group[j].first_gate * layer.padded;
    T* hat = layer.norm_column < 0 ? nullptr : gates + (layer.norm_column + cell.gates) * layer.padded + at;
    const T scale = normalise<T>({cell.group[j].gates, layer.padded, layer.hidden}, gates + at, layer.norm.ih_gain + at,
                                 layer.norm.ih_bias + at, layer.norm.epsilon, hat);
    if (hat != nullptr) statistics(layer, gates)[kInputScale + j] = scale;
  }
}

/// Normalises R h (or W x + R h), and c, in place. `raw` begins with the phase's first gate.
template <class T>
static void norm_step(const Layer<T>& layer, const cells::Phase& phase, T* gates, T* raw) {
  const cells::Description& cell = layer.cell;
  const Index padded = layer.padded;
  const bool keep = layer.norm_column >= 0;
  for (int j = 0; j < 2; ++j) {
    if (!(phase.norm & 1 << j)) continue;
    const cells::NormGroup& group = cell.group[j];
    const Index at = group.first_gate * padded;
    T* hat = keep ? gates + layer.norm_column * padded + at : nullptr;
    const T scale =
        normalise<T>({group.gates, padded, layer.hidden}, raw + (group.first_gate - phase.first_gate) * padded,
                     layer.norm.hh_gain + at, layer.norm.hh_bias + at, layer.norm.epsilon, hat);
    if (keep) statistics(layer, gates)[kRecurrentScale + j] = scale;
  }
  if (phase.norm & cells::kCellNorm) {
    T* hat = keep ? gates + (layer.norm_column + 2 * cell.gates) * padded : nullptr;
    const T scale =
        normalise<T>({1, padded, layer.hidden}, raw, layer.norm.c_gain, layer.norm.c_bias, layer.norm.epsilon, hat);
    if (keep) statistics(layer, gates)[kCellScale] = scale;
  }
}

/// Backward through norm_step: from the gradients of normalised values to those of R h (or W x + R h) and of c.
template <class T>
static void norm_step_backward(const Layer<T>& layer, int norm, T* gates, T* dgates) {
  const cells::Description& cell = layer.cell;
  const Index padded = layer.padded;
  const T* scale = statistics(layer, gates);
  for (int j = 0; j < 2; ++j) {
    if (!(norm & 1 << j)) continue;
    const cells::NormGroup& group = cell.group[j];
    const T* d[4];
    for (int g = 0; g < group.gates; ++g) d[g] = dgates + cell.recurrent_column[group.first_gate + g] * padded;
    const Index at = group.first_gate * padded;
    normalise_backward<T>({group.gates, padded, layer.hidden}, layer.norm.hh_gain + at,
                          gates + layer.norm_column * padded + at, scale[kRecurrentScale + j], d,
                          dgates + cell.recurrent_norm_column * padded + at);
  }
  if (norm & cells::kCellNorm) {
    const T* d[] = {dgates + cell.cell_norm_from * padded};
    normalise_backward<T>({1, padded, layer.hidden}, layer.norm.c_gain,
                          gates + (layer.norm_column + 2 * cell.gates) * padded, scale[kCellScale], d,
                          dgates + cell.cell_norm_to * padded);
  }
}

/// Backward through norm_input, for one row of one step: from the gate gradients to those of W x.
template <class T>
static void norm_input_backward(const Layer<T>& layer, T* gates, T* dgates) {
  const cells::Description& cell = layer.cell;
  const Index padded = layer.padded;
  for (int j = 0; j < 2; ++j) {
    const cells::NormGroup& group = cell.group[j];
    const Index at = group.first_gate * padded;
    const T* d[4];
    for (int g = 0; g < group.gates; ++g) d[g] = dgates + at + g * padded;
    if (group.gates > 0)
      normalise_backward<T>({group.gates, padded, layer.hidden}, layer.norm.ih_gain + at,
                            gates + (layer.norm_column + cell.gates) * padded + at,
                            statistics(layer, gates)[kInputScale + j], d, dgates + cell.input_column * padded + at);
  }
}

}  // namespace fastrnn::FASTRNN_ISA
