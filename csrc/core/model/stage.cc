// Layers without a state: what they compute, and where their values lie.
#include <algorithm>
#include <cmath>
#include <limits>

#include "core/base/float_mode.h"
#include "core/model/model.h"
#include "core/weights/matmul.h"

namespace fastrnn {

namespace {

/// The largest element is subtracted first, so that nothing overflows.
void softmax(const float* x, Index n, float* y) noexcept {
  const float most = *std::max_element(x, x + n);
  float sum = 0;
  for (Index i = 0; i < n; ++i) sum += y[i] = std::exp(x[i] - most);
  for (Index i = 0; i < n; ++i) y[i] /= sum;
}

void log_softmax(const float* x, Index n, float* y) noexcept {
  const float most = *std::max_element(x, x + n);
  float sum = 0;
  for (Index i = 0; i < n; ++i) sum += std::exp(x[i] - most);
  const float log_sum = std::log(sum);
  for (Index i = 0; i < n; ++i) y[i] = x[i] - most - log_sum;
}

/// Sums are in double: a row of thousands of floats would lose digits, and the time is small beside that of products.
void normalize(const ModelLayer& layer, const float* x, Index n, float* y) noexcept {
  double mean = 0, variance = 0;
  for (Index i = 0; i < n; ++i) mean += x[i];
  mean /= double(n);
  for (Index i = 0; i < n; ++i) variance += (x[i] - mean) * (x[i] - mean);
  const double factor = 1 / std::sqrt(variance / double(n) + layer.number);
  for (Index i = 0; i < n; ++i) y[i] = float((x[i] - mean) * factor) * layer.scale[i] + layer.shift[i];
}

void raise(const float* x, Index n, double exponent, float* y) noexcept {
  if (exponent == 2)
    for (Index i = 0; i < n; ++i) y[i] = x[i] * x[i];
  else if (exponent == 0.5)
    for (Index i = 0; i < n; ++i) y[i] = std::sqrt(x[i]);
  else
    for (Index i = 0; i < n; ++i) y[i] = std::pow(x[i], float(exponent));
}

void gather(const std::vector<ModelLayer::Run>& runs, const float* x, Index n, float* y) noexcept {
  for (const ModelLayer::Run& run : runs) {
    if (run.first == n)
      std::fill_n(y, run.count, 0.0f);
    else
      std::copy_n(x + run.first, run.count, y);
    y += run.count;
  }
}

/// One row of a dense layer of narrow groups. Each sum runs over the kernel's rows in their order.
void multiply_groups(const ModelLayer& layer, const float* x, float* y) noexcept {
  const Index groups = layer.groups, outputs = layer.outputs;
  const Index read = layer.width / groups, written = outputs / groups;
  const float* weights = layer.kernel.data();
  std::fill_n(y, outputs, 0.0f);
  for (Index stretch = 0; stretch < layer.inputs; stretch += layer.width)
    for (Index i = 0; i < read; ++i, weights += outputs) {
      const float* const from = x + stretch + i;
      if (written == 1)  // as of a depthwise convolution
        for (Index g = 0; g < groups; ++g) y[g] += from[g * read] * weights[g];
      else
        for (Index g = 0; g < groups; ++g)
          for (Index j = g * written; j < (g + 1) * written; ++j) y[j] += from[g * read] * weights[j];
    }
}

template <class Function>
void map(const float* x, Index n, float* y, const Function& function) noexcept {
  for (Index i = 0; i < n; ++i) y[i] = function(x[i]);
}

template <class Operation>
void combine(const float* a, const float* b, Index n, float* y, const Operation& operation) noexcept {
  for (Index i = 0; i < n; ++i) y[i] = operation(a[i], b[i]);
}

}  // namespace

void Stage::apply_groups(const float* x, float* y, Watch* watch) const noexcept {
  if (matrices.empty()) {
    if (!stops(watch, Index(layer.kernel.size()) * kPerElement)) multiply_groups(layer, x, y);
    return;
  }
  for (const auto& matrix : matrices) {
    multiply(matrix.data(), &x, y, 1, watch);
    x += matrix.rows();
    y += matrix.columns();
  }
}

void Stage::apply(const float* const* const* x, Index n, float* y, const float** pointers, bool fast,
                  Watch* watch) const noexcept {
  const FlushDenormals flush;
  if (layer.kind == Kind::dense) {
    const float* const* rows = x[0];
    if (layer.rows > 1) {
      const Index width = inputs / layer.rows;
      for (Index r = 0; r < n; ++r)
        for (Index k = 0; k < layer.rows; ++k) pointers[r * layer.rows + k] = x[0][r] + k * width;
      rows = pointers;
    }
    const Index count = n * layer.rows, width = outputs / layer.rows;
    if (layer.groups == 1)
      multiply(matrices[0].data(), rows, y, count, watch);
    else
      for (Index r = 0; r < count; ++r) apply_groups(rows[r], y + r * width, watch);
    if (!layer.bias.empty())
      for (Index r = 0; r < count; ++r)
        for (Index i = 0; i < width; ++i) y[r * width + i] += layer.bias[i];
    return;
  }
  for (Index r = 0; r < n && !stops(watch, outputs * kPerElement); ++r, y += outputs) {
    const float* const from = x[0][r];
    switch (layer.kind) {
      case Kind::activation: kernels->activate(activation, fast, from, y, outputs); break;
      case Kind::softmax:
        for (Index i = 0; i < outputs; i += layer.width) softmax(from + i, layer.width, y + i);
        break;
      case Kind::log_softmax:
        for (Index i = 0; i < outputs; i += layer.width) log_softmax(from + i, layer.width, y + i);
        break;
      case Kind::gather: gather(layer.runs, from, inputs, y); break;
      case Kind::concatenate: {
        float* to = y;
        for (std::size_t s = 0; s < widths.size(); ++s) to = std::copy_n(x[s][r], widths[s], to);
        break;
      }
      case Kind::add: combine(from, x[1][r], outputs, y, [](float a, float b) { return a + b; }); break;
      case Kind::subtract: combine(from, x[1][r], outputs, y, [](float a, float b) { return a - b; }); break;
      case Kind::multiply: combine(from, x[1][r], outputs, y, [](float a, float b) { return a * b; }); break;
      case Kind::divide: combine(from, x[1][r], outputs, y, [](float a, float b) { return a / b; }); break;
      case Kind::affine: {
        const Index width = Index(layer.scale.size());
        for (Index i = 0; i < outputs; i += width)
          for (Index j = 0; j < width; ++j) y[i + j] = from[i + j] * layer.scale[j] + layer.shift[j];
        break;
      }
      case Kind::embedding:
        for (Index i = 0; i < inputs; ++i) {
          float* const to = y + i * layer.outputs;
          if (has_row(from[i]))
            std::copy_n(layer.kernel.data() + Index(from[i]) * layer.outputs, layer.outputs, to);
          else
            std::fill_n(to, layer.outputs, std::numeric_limits<float>::quiet_NaN());
        }
        break;
      case Kind::power: raise(from, outputs, layer.number, y); break;
      case Kind::log: map(from, outputs, y, [](float a) { return std::log(a); }); break;
      case Kind::erf: map(from, outputs, y, [](float a) { return std::erf(a); }); break;
      case Kind::at_least:
        map(from, outputs, y, [least = float(layer.number)](float a) { return a < least ? least : a; });
        break;
      case Kind::at_most:
        map(from, outputs, y, [most = float(layer.number)](float a) { return a > most ? most : a; });
        break;
      case Kind::layer_normalization: {
        const Index width = Index(layer.scale.size());
        for (Index i = 0; i < outputs; i += width) normalize(layer, from + i, width, y + i);
        break;
      }
      case Kind::dense:
      case Kind::recurrent:
      case Kind::delay:
      case Kind::reverse:
      case Kind::last:
      case Kind::mean:
      case Kind::maximum:
      case Kind::windows:
      case Kind::window_maximum:
      case Kind::window_mean: break;
    }
  }
}

}  // namespace fastrnn
