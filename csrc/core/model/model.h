// A model's layers as sessions and pools run them.
#pragma once

#include <algorithm>

#include "core/weights/pack.h"
#include "fastrnn/model.hpp"

namespace fastrnn {

/// One layer with the sizes of its values, and with what its kernels need. Weights are packed: of `layer` itself, the
/// vectors that were packed are empty.
struct Stage {
  using Kind = ModelLayer::Kind;
  ModelLayer layer;
  Index inputs, outputs;      // of a step: of the first value that it reads, and of its own
  std::vector<Index> widths;  // of the values that it reads
  std::unique_ptr<const Matrix<float>> matrix;
  cells::ActivationSpec activation;
  const KernelTable<float>* kernels = nullptr;

  bool is_recurrent() const { return layer.kind == Kind::recurrent; }
  bool is_delay() const { return layer.kind == Kind::delay; }
  bool has_state() const { return is_recurrent() || is_delay(); }
  /// Pointers that `apply` wants for each step, to work in.
  Index pointers() const { return layer.kind == Kind::dense ? layer.rows : 0; }

  /// What has no state, for n steps that lie anywhere: x[s][r] is step r of the s-th value that it reads. y is
  /// contiguous, and overlaps none of them. The watch may end it early.
  void apply(const float* const* const* x, Index n, float* y, const float** pointers, bool fast,
             Watch* watch) const noexcept;
};

/// Which buffer each layer's value takes, so that one serves again as soon as nobody reads what is in it.
struct Buffers {
  std::vector<int> of;        // the buffer of each layer's value
  std::vector<Index> widths;  // elements of a step that each must hold
};
/// `width(stage)` is what the layer writes there: 0 where its value lies elsewhere.
template <class Width>
Buffers assign_buffers(const Model& model, const Width& width) {
  const std::vector<std::unique_ptr<Stage>>& stages = model.stages();
  std::vector<std::size_t> last_reader(stages.size() + 1, 0);
  for (std::size_t i = 0; i < stages.size(); ++i)
    for (const Index value : stages[i]->layer.from) last_reader[std::size_t(value)] = i;
  Buffers buffers;
  std::vector<std::size_t> read_until;  // of each buffer, the last layer that reads what is in it
  for (std::size_t i = 0; i < stages.size(); ++i) {
    std::size_t buffer = 0;
    while (buffer < read_until.size() && read_until[buffer] >= i) ++buffer;
    if (buffer == read_until.size()) {
      read_until.push_back(0);
      buffers.widths.push_back(0);
    }
    buffers.of.push_back(int(buffer));
    buffers.widths[buffer] = std::max(buffers.widths[buffer], width(*stages[i]));
    read_until[buffer] = std::max(last_reader[i + 1], i);  // one that nobody reads is written all the same
  }
  return buffers;
}

}  // namespace fastrnn
