// Plain types shared by the public interface, the cells and the kernels of both backends.
#pragma once

#include <cstddef>
#include <string_view>

namespace fastrnn {

using Index = std::ptrdiff_t;

/// Element (t, b, :) of a sequence lies at data + t * step + b * row (in elements); its last axis is contiguous.
/// Time-major and batch-first arrays differ in their strides alone. Where steps have different numbers of rows, `start`
/// has the elements before each step, in place of t * step.
template <class T>
struct Sequence {
  T* data = nullptr;
  Index step = 0;
  Index row = 0;
  const Index* start = nullptr;
  T* at(Index t, Index b) const { return data + (start != nullptr ? start[t] : t * step) + b * row; }
};

// Each list is written once, so that enumerators and names cannot differ.
#define FASTRNN_CELL_TYPES(X) X(rnn) X(lstm) X(gru) X(indrnn) X(mgu) X(slstm)
// clang-format off
#define FASTRNN_ACTIVATIONS(X)                                                                         \
  X(tanh) X(sigmoid) X(relu) X(identity) X(leaky_relu) X(elu) X(selu) X(softsign) X(softplus)          \
  X(hard_sigmoid) X(scaled_tanh) X(thresholded_relu) X(affine) X(exponential)
// clang-format on
#define FASTRNN_ENUMERATOR(name) name,
#define FASTRNN_NAME(name) #name,

enum class CellType : signed char { FASTRNN_CELL_TYPES(FASTRNN_ENUMERATOR) };
constexpr std::string_view kCellNames[] = {FASTRNN_CELL_TYPES(FASTRNN_NAME)};
/// csrc/cpu/activations-inl.h has the formulas.
enum class Activation : signed char { FASTRNN_ACTIVATIONS(FASTRNN_ENUMERATOR) };
constexpr std::string_view kActivationNames[] = {FASTRNN_ACTIVATIONS(FASTRNN_NAME)};

#undef FASTRNN_CELL_TYPES
#undef FASTRNN_ACTIVATIONS
#undef FASTRNN_ENUMERATOR
#undef FASTRNN_NAME

enum class Peephole : signed char { none, diagonal, full };
constexpr std::string_view kPeepholeNames[] = {"none", "diagonal", "full"};
enum class Reset : signed char { after, before, output };

/// How weights are stored and multiplied. States, gates, biases and sums stay in T (float, for all but `full`).
enum class Precision : signed char {
  full,              // everything in T
  bfloat16,          // weights, x and h rounded to bfloat16 (to nearest, ties to even)
  bfloat16_weights,  // weights rounded to bfloat16, x and h in float
  int8               // weights with a scale per output channel, x and h with a scale per row, both in -127..127
};
constexpr int kPrecisions = 4;

/// What weights can be stored as, by name: the type of x, y and the states, and the precision.
struct WeightsDtype {
  std::string_view name;
  bool is_double;
  Precision precision;
};
constexpr WeightsDtype kWeightsDtypes[] = {{"float32", false, Precision::full},
                                           {"float64", true, Precision::full},
                                           {"bfloat16", false, Precision::bfloat16},
                                           {"bfloat16_weights", false, Precision::bfloat16_weights},
                                           {"int8", false, Precision::int8}};

}  // namespace fastrnn
