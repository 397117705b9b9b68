// One instruction set's table. An ISA file defines FASTRNN_ISA, includes its SIMD wrapper and then this.
#pragma once

#include "backward-inl.h"

namespace fastrnn::FASTRNN_ISA {

template <class T>
static void activate(cells::Activation activation, const T* x, T* y, Index n) {
  using V = Vec<T>;
  for (Index i = 0; i < n; i += V::kLanes) {
    const int lanes = int(n - i < V::kLanes ? n - i : V::kLanes);
    V v = V::load(x + i, lanes);
    switch (activation) {
      case cells::Activation::tanh: v = tanh(v); break;
      case cells::Activation::sigmoid: v = sigmoid(v); break;
      case cells::Activation::relu: v = relu(v); break;
      case cells::Activation::identity: break;
    }
    v.store(y + i, lanes);
  }
}

template <class T>
static constexpr KernelTable<T> table() {
  return {Vec<T>::kLanes, forward<T>, backward<T>, activate<T>};
}

#define FASTRNN_STRING_(x) #x
#define FASTRNN_STRING(x) FASTRNN_STRING_(x)

extern const Backend backend;
const Backend backend = {FASTRNN_STRING(FASTRNN_ISA), table<float>(), table<double>()};

}  // namespace fastrnn::FASTRNN_ISA
