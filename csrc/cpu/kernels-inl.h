// One instruction set's table. An ISA file defines FASTRNN_ISA, includes its SIMD wrapper and then this.
#pragma once

#include "backward-inl.h"
#include "row-inl.h"
#include "transpose-inl.h"

namespace fastrnn::FASTRNN_ISA {

/// out (rows, n) = a (rows, k) times the packed matrix.
template <class T>
static void multiply(const T* const* a, Index rows, const Panels<T>& matrix, T* out, Watch* watch) {
  constexpr int U = Vec<T>::kLanes;
  const Factor<Full<T>> factor = {a, matrix.k, nullptr, nullptr};
  const Index n = matrix.units;
  sweep<Full<T>, 4>(
      watch, matrix, {0, matrix.count}, 0, &factor, 1, rows, [](T* acc, Index, Index) { fill_zero(acc, 4 * U); },
      [=](const T* acc, Index row, Index p) { store_panel(acc, p, n, out + row * n); });
}

template <class F>
static constexpr ForwardKernels<typename F::Value> kForward = forward_kernels<F>();

template <class T>
constexpr KernelTable<T> table(const ForwardKernels<T>* full, const ForwardKernels<T>* bfloat16 = nullptr,
                               const ForwardKernels<T>* bfloat16_weights = nullptr,
                               const ForwardKernels<T>* int8 = nullptr) {
#define FASTRNN_PHASES(mode, type)                                                   \
  {cell_kernels<T, cells::type, 0, mode>(), cell_kernels<T, cells::type, 1, mode>(), \
   cell_kernels<T, cells::type, 2, mode>()},
#define FASTRNN_INFERENCE(name, type) FASTRNN_PHASES(Mode::inference, type)
#define FASTRNN_FAST(name, type) FASTRNN_PHASES(Mode::fast, type)
#define FASTRNN_TRAINING(name, type) FASTRNN_PHASES(Mode::training, type)
#define FASTRNN_GENERAL(name, type) FASTRNN_PHASES(Mode::general, type)
#define FASTRNN_GENERAL_TRAINING(name, type) FASTRNN_PHASES(Mode::general_training, type)
  return {
      Vec<T>::kLanes,
      {{FASTRNN_CELL_LIST(FASTRNN_INFERENCE)},
       {FASTRNN_CELL_LIST(FASTRNN_FAST)},
       {FASTRNN_CELL_LIST(FASTRNN_TRAINING)},
       {FASTRNN_CELL_LIST(FASTRNN_GENERAL)},
       {FASTRNN_CELL_LIST(FASTRNN_GENERAL_TRAINING)}},
      {full, bfloat16, bfloat16_weights, int8},
      {backward<T>, initial_state_gradients<T>, norm_input_gradients<T>, parameter_gradients<T>, input_gradients<T>},
      activate<T>,
      pack_rows<T>,
      transpose<T>,
      multiply<T>};
#undef FASTRNN_GENERAL_TRAINING
#undef FASTRNN_GENERAL
#undef FASTRNN_TRAINING
#undef FASTRNN_FAST
#undef FASTRNN_INFERENCE
#undef FASTRNN_PHASES
}

#define FASTRNN_STRING_(x) #x
#define FASTRNN_STRING(x) FASTRNN_STRING_(x)

extern const Backend backend;
const Backend backend = {
    FASTRNN_STRING(FASTRNN_ISA),
    table<float>(&kForward<Full<float>>, &kForward<Bfloat16<true>>, &kForward<Bfloat16<false>>, &kForward<Int8>),
    table<double>(&kForward<Full<double>>)};

}  // namespace fastrnn::FASTRNN_ISA
