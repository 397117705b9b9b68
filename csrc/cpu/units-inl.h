// The Unit of the CPU: what a cell sees of one row and one vector of units (csrc/cells/cell.h says what each name
// means).
#pragma once

#include "activations-inl.h"

namespace fastrnn::FASTRNN_ISA {

/// What forward and backward share: the columns that a step keeps, and activations, masks and clips by the options.
template <class T, bool Plain, bool Fast, class Vector = Vec<T>>
struct UnitBase {
  using V = Vector;
  static constexpr bool kPlain = Plain;
  const Layer<T>* layer_;
  Index unit_;  // the first unit of the vector
  T* gates_;    // column 0, at that unit
  Index padded_;
  const T* param_;
  const T* h_prev_;
  const T* h_operand_;
  const T* c_prev_;
  T* c_;
  int lanes_;

  FASTRNN_INLINE const cells::Options& options() const { return layer_->options; }
  FASTRNN_INLINE V param(int row) const { return V::load(param_ + row * padded_); }
  FASTRNN_INLINE V h_prev() const { return V::load(h_prev_, lanes_); }
  FASTRNN_INLINE V h_operand() const {
    if constexpr (Plain) return h_prev();
    return V::load(h_operand_, lanes_);
  }
  FASTRNN_INLINE V c_prev(int state = 0) const { return V::load(c_prev_ + state * padded_); }
  FASTRNN_INLINE V c(int state = 0) const { return V::load(c_ + state * padded_); }
  FASTRNN_INLINE V kept(int column) const { return V::load(gates_ + column * padded_); }
  FASTRNN_INLINE V saved(int column) const { return kept(column); }

  FASTRNN_INLINE static V sigmoid(V v) {
    if constexpr (Fast) return fast_sigmoid(v);
    return FASTRNN_ISA::sigmoid(v);
  }
  FASTRNN_INLINE static V tanh(V v) {
    if constexpr (Fast) return fast_tanh(v);
    return FASTRNN_ISA::tanh(v);
  }
  FASTRNN_INLINE static V exp(V v) { return FASTRNN_ISA::exp(v); }
  FASTRNN_INLINE static V softplus(V v) { return FASTRNN_ISA::softplus(v); }
  FASTRNN_INLINE V gate(V v) const {
    if constexpr (Plain)
      return sigmoid(v);
    else
      return activation(options().gate, options().fast, v);
  }
  FASTRNN_INLINE V candidate(V v) const {
    if constexpr (Plain)
      return tanh(v);
    else
      return activation(options().candidate, options().fast, v);
  }
  FASTRNN_INLINE V output(V v) const {
    if constexpr (Plain)
      return tanh(v);
    else
      return activation(options().output, options().fast, v);
  }

  /// The values of a mask; `otherwise` where there is none.
  FASTRNN_INLINE V mask(Mask which, double otherwise) const {
    const int column = layer_->mask_column[which];
    return column >= 0 ? V::load(gates_ + column * padded_) : V(T(otherwise));
  }
  FASTRNN_INLINE V drop(V v) const {
    if constexpr (Plain) return v;
    return layer_->mask_column[kCandidateMask] >= 0 ? v * mask(kCandidateMask, 1) : v;
  }
  /// The share of a new state that zoneout lets through.
  FASTRNN_INLINE V share_h() const { return mask(kZoneoutH, 1 - options().zoneout_h); }
  FASTRNN_INLINE V share_c() const { return mask(kZoneoutC, 1 - options().zoneout_c); }
};

template <class T, Mode mode, class Vector = Vec<T>>
struct ForwardUnit : UnitBase<T, mode != Mode::general && mode != Mode::general_training, mode == Mode::fast, Vector> {
  using Base = UnitBase<T, mode != Mode::general && mode != Mode::general_training, mode == Mode::fast, Vector>;
  using V = Vector;
  using Base::kPlain;
  const T* acc_;  // (gates, lanes)
  T* y_;

  FASTRNN_INLINE V acc(int gate) const { return V::load(acc_ + gate * V::kLanes); }
  FASTRNN_INLINE V input(int gate) const { return this->kept(gate); }
  FASTRNN_INLINE void keep(int column, V v) { v.store(this->gates_ + column * this->padded_); }
  FASTRNN_INLINE void save(int column, V v) {
    if constexpr (mode == Mode::training || mode == Mode::general_training) keep(column, v);
  }
  FASTRNN_INLINE V clip_c(V v) const {
    if constexpr (!kPlain)
      if (this->options().cell_clip > 0) return clamp(v, T(this->options().cell_clip));
    return v;
  }
  FASTRNN_INLINE V clip_h(V v) const {
    return this->options().projection_clip > 0 ? clamp(v, T(this->options().projection_clip)) : v;
  }
  FASTRNN_INLINE void set_h(V v) {
    if constexpr (!kPlain)
      if (this->options().zoneout_h > 0) v = fmadd(this->share_h(), v - this->h_prev(), this->h_prev());
    v.store(y_, this->lanes_);
  }
  FASTRNN_INLINE void set_c(V v, int state = 0) {
    if constexpr (!kPlain)
      if (this->options().zoneout_c > 0) v = fmadd(this->share_c(), v - this->c_prev(state), this->c_prev(state));
    v.store(this->c_ + state * this->padded_);
  }
};

template <class T, bool Plain>
struct BackwardUnit : UnitBase<T, Plain, false> {
  using V = Vec<T>;
  const T* acc_;
  T* dgates_;
  const T* dy_;
  T* carry_h_;
  T* carry_c_;
  const T* h_mask_;                        // or null
  V rest_h_ = V(T(0)), rest_c_ = V(T(0));  // the part of the gradient that zoneout passes by the cell

  FASTRNN_INLINE V acc() const { return V::load(acc_); }
  FASTRNN_INLINE V dgate(int column) const { return V::load(dgates_ + column * this->padded_); }
  FASTRNN_INLINE void set_dgate(int column, V v) { v.store(dgates_ + column * this->padded_); }
  FASTRNN_INLINE V carry_c(int state = 0) const { return V::load(carry_c_ + state * this->padded_); }
  FASTRNN_INLINE V mask_operand(V v) const {
    if constexpr (!Plain)
      if (h_mask_ != nullptr) return v * V::load(h_mask_, this->lanes_);
    return v;
  }
  FASTRNN_INLINE V dh() {
    const V dy = dy_ ? V::load(dy_, this->lanes_) : V(T(0));
    const V sum = mask_operand(acc()) + dy + V::load(carry_h_);
    if constexpr (!Plain)
      if (this->options().zoneout_h > 0) {
        const V share = this->share_h();
        rest_h_ = fnmadd(share, sum, sum);
        return share * sum;
      }
    return sum;
  }
  FASTRNN_INLINE V dc() {
    const V sum = carry_c();
    if constexpr (!Plain)
      if (this->options().zoneout_c > 0) {
        const V share = this->share_c();
        rest_c_ = fnmadd(share, sum, sum);
        return share * sum;
      }
    return sum;
  }
  FASTRNN_INLINE void set_carry_h(V v) {
    if constexpr (!Plain) v = v + rest_h_;
    v.store(carry_h_);
  }
  FASTRNN_INLINE void add_carry_h(V v) { (v + V::load(carry_h_)).store(carry_h_); }
  FASTRNN_INLINE void set_carry_c(V v, int state = 0) {
    if constexpr (!Plain) v = v + rest_c_;
    v.store(carry_c_ + state * this->padded_);
  }
  FASTRNN_INLINE V gate_slope(V y) const {
    if constexpr (Plain) return y * (V(T(1)) - y);
    return slope(this->options().gate, y);
  }
  FASTRNN_INLINE V candidate_slope(V y) const {
    if constexpr (Plain) return fnmadd(y, y, V(T(1)));
    return slope(this->options().candidate, y);
  }
  FASTRNN_INLINE V output_slope(V y) const {
    if constexpr (Plain) return fnmadd(y, y, V(T(1)));
    return slope(this->options().output, y);
  }
  FASTRNN_INLINE V clip_c(V v) const {
    if constexpr (!Plain)
      if (this->options().cell_clip > 0) return clamp(v, T(this->options().cell_clip));
    return v;
  }
  FASTRNN_INLINE static V within(double bound, V v, V d) { return where_positive(V(T(bound)) - magnitude(v), d); }
  FASTRNN_INLINE V clip_c_slope(V c, V d) const {
    if constexpr (!Plain)
      if (this->options().cell_clip > 0) return within(this->options().cell_clip, c, d);
    return d;
  }
  FASTRNN_INLINE V clip_h_slope(V h, V d) const {
    return this->options().projection_clip > 0 ? within(this->options().projection_clip, h, d) : d;
  }
  /// A saved column as the cell saw it: normalised, where cell states are.
  FASTRNN_INLINE V normalised(int column) const {
    if (!this->options().cell_norm) return this->saved(column);
    const Layer<T>& layer = *this->layer_;
    const V hat = this->saved(layer.norm_column + 2 * layer.cell.gates);
    return fmadd(hat, V::load(layer.norm.c_gain + this->unit_), V::load(layer.norm.c_bias + this->unit_));
  }
};

}  // namespace fastrnn::FASTRNN_ISA
