// A model's layers as sessions and pools run them.
#pragma once

#include <algorithm>

#include "core/weights/pack.h"
#include "fastrnn/model.hpp"

namespace fastrnn {

/// One layer, the widths of the values it reads and writes, and its packed weights. Vectors of `layer` that were packed
/// are emptied.
struct Stage {
  using Kind = ModelLayer::Kind;
  ModelLayer layer;
  Index inputs, outputs;                // elements of a step: of the first value that it reads, and of its output
  std::vector<Index> widths;            // elements of a step of each value that it reads
  bool kept = false;                    // whether a later layer than the next one reads what it gives
  bool sequence = true;                 // whether it gives a value for every step
  std::int32_t timing = 0;              // the first value that has as many steps as its own, whatever the sequence
  std::vector<Matrix<float>> matrices;  // dense: of each group; none where the groups are too narrow for tiles
  cells::ActivationSpec activation;
  const KernelTable<float>* kernels = nullptr;

  bool is_recurrent() const { return layer.kind == Kind::recurrent; }
  bool is_delay() const { return layer.kind == Kind::delay; }
  bool has_state() const { return is_recurrent() || is_delay(); }
  /// Whether it makes one value of all steps.
  bool reduces() const { return layer.kind == Kind::last || layer.kind == Kind::mean || layer.kind == Kind::maximum; }
  /// Whether it has a step for each window over the steps that it reads.
  bool has_windows() const {
    return layer.kind == Kind::windows || layer.kind == Kind::window_maximum || layer.kind == Kind::window_mean;
  }
  bool looks_ahead() const {
    return reduces() || has_windows() || layer.kind == Kind::reverse || (is_delay() && layer.ahead > 0);
  }
  /// Whether an embedding's table has a row for a number.
  bool has_row(float number) const {
    return number >= 0 && number < float(Index(1) << 30) && number == float(Index(number)) &&
           Index(number) < Index(layer.kernel.size()) / layer.outputs;
  }
  /// How many pointers of working space `apply` needs for each step.
  Index pointers() const { return layer.kind == Kind::dense ? layer.rows : 0; }

  /// What has no state, for n steps that lie anywhere: x[s][r] is step r of the s-th value that it reads. y is
  /// contiguous, and overlaps none of them. The watch may end it early.
  void apply(const float* const* const* x, Index n, float* y, const float** pointers, bool fast,
             Watch* watch) const noexcept;

 private:
  /// One row of a dense layer of several groups, without its bias.
  void apply_groups(const float* x, float* y, Watch* watch) const noexcept;
};

/// Checks that the values which a new layer reads have as many steps as each other, or are all one for the whole
/// sequence; notes when it has its own.
void check_time(const Model& model, Stage& stage);

/// Throws Error, with the layer that needs later steps, unless sessions and pools can run the model.
void check_stepwise(const Model& model);

/// Places in the arena for what layers give, `rows` rows of each: two in turn for values that the next layer alone
/// reads, and one for each that is kept. `own(stage)` says whether the value lies there at all, and place(i, memory)
/// takes it.
template <class Own, class Place>
void place_values(const Model& model, Index rows, Arena& arena, const Own& own, const Place& place) {
  const auto& stages = model.stages();
  Index widest = 0;
  for (const auto& stage : stages)
    if (own(*stage) && !stage->kept) widest = std::max(widest, stage->outputs);
  float* turns[2];
  for (float*& turn : turns) arena.take(turn, rows * widest);
  for (std::size_t i = 0; i < stages.size(); ++i) {
    float* memory = turns[i % 2];
    if (own(*stages[i]) && stages[i]->kept) arena.take(memory, rows * stages[i]->outputs);
    place(i, memory);
  }
}

}  // namespace fastrnn
