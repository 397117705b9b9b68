// Steps of a model's values: which layers need later ones, and how many there are.
#include <algorithm>
#include <string>

#include "core/model/model.h"
#include "core/model/refuse.h"

namespace fastrnn {

namespace {

using Kind = ModelLayer::Kind;

Index timing_of(const Model& model, Index value) {
  return value == 0 ? 0 : model.stages()[std::size_t(value - 1)]->timing;
}

/// The first value whose steps are as many as those of a new layer, which reads a value of the given timing.
Index find_timing(const Model& model, const Stage& stage, Index read) {
  const ModelLayer::Windows& own = stage.layer.windows;
  if (!stage.has_windows() || (own.stride == 1 && own.added() == 0)) return read;
  for (const auto& one : model.stages())
    if (one->has_windows() && timing_of(model, one->layer.from[0]) == read && one->layer.windows.stride == own.stride &&
        one->layer.windows.added() == own.added())
      return one->timing;
  return Index(model.stages().size()) + 1;
}

/// Steps of a value for so many of the input. Windows are counted in the order in which they were put one over another.
Index steps_of(const Model& model, Index value, Index steps) noexcept {
  const Index timing = timing_of(model, value);
  if (timing == 0) return steps;
  const ModelLayer& layer = model.stages()[std::size_t(timing - 1)]->layer;
  return layer.windows.count(steps_of(model, layer.from[0], steps));
}

/// What of a sequence a layer needs beyond the steps so far.
std::string needs(const Stage& stage) {
  if (stage.layer.kind == Kind::reverse) return "begins at the end of the sequence";
  if (stage.has_windows()) return "gives a step for each window of steps";
  if (stage.is_delay()) return "reads " + plural(std::size_t(stage.layer.ahead), "later step");
  return "makes one value of all steps";
}

}  // namespace

void check_time(const Model& model, Stage& stage) {
  const auto sequence = [&](Index value) { return value == 0 || model.stages()[std::size_t(value - 1)]->sequence; };
  const bool first = sequence(stage.layer.from[0]);
  for (const Index value : stage.layer.from)
    if (sequence(value) != first)
      refuse("from", "values that all have every step, or none",
             "value " + std::to_string(first ? value : stage.layer.from[0]) + ", which is one for the whole sequence");
  if (!first && (stage.has_state() || stage.looks_ahead()))
    refuse("from", "a value with every step", "one for the whole sequence");
  const Index read = timing_of(model, stage.layer.from[0]);
  for (const Index value : stage.layer.from)
    if (first && timing_of(model, value) != read)
      refuse("from", "values of as many steps",
             "values " + std::to_string(stage.layer.from[0]) + " and " + std::to_string(value) +
                 ", which windows give different numbers of");
  stage.timing = std::int32_t(find_timing(model, stage, read));
  stage.sequence = first && !stage.reduces();
}

bool Model::stepwise() const noexcept {
  return std::none_of(stages_.begin(), stages_.end(), [](const auto& stage) { return stage->looks_ahead(); });
}
bool Model::sequences() const noexcept { return stages_.empty() || stages_.back()->sequence; }
Index Model::output_steps(Index steps) const noexcept {
  return sequences() ? steps_of(*this, Index(stages_.size()), steps) : 1;
}

void check_stepwise(const Model& model) {
  for (std::size_t i = 0; i < model.stages().size(); ++i)
    if (model.stages()[i]->looks_ahead())
      refuse("model", "one that runs step by step",
             "layer " + std::to_string(i) + ", which " + needs(*model.stages()[i]) +
                 "; forward() runs it on whole sequences");
}

}  // namespace fastrnn
