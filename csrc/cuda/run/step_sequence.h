// What both passes of Tier::graph share on the host: the clock, launches, and the graph of a few steps that is recorded
// once and launched again and again.
#pragma once

#include "cuda/plan/plan.h"
#include "cuda/shared/kernel_table.h"
#include "cuda/shared/norm.h"
#include "cuda/shared/runtime.h"

namespace fastrnn::cuda {

/// Steps of a graph. Even, so that the clock is in the same one of its two places whenever the graph begins.
constexpr int kGraphSteps = 8;

class StepSequence {
 public:
  StepSequence(const StepSequence&) = delete;
  StepSequence& operator=(const StepSequence&) = delete;

 protected:
  StepSequence(Runtime& runtime, const Problem& problem, const LayerParams& layer)
      : runtime_(runtime),
        problem_(problem),
        cell_(cells::describe(problem.kind, problem.options)),
        columns_(saved_columns(cell_, problem.options)),
        layer_(layer),
        kernel_(find_kernel(Tier::graph, problem.kind, problem.type, problem.pass)),
        clock_(runtime, 2 * sizeof(int)) {
    if (kernel_ == nullptr) throw CudaError(0, "no kernel in this build for tier 'graph'");
    runtime.clear(clock_.as<void>(), 2 * sizeof(int));
  }

  Index batch() const { return layer_.batch; }
  Index hidden() const { return layer_.hidden; }

  Clock tick(bool last) {
    int* places = clock_.as<int>();
    const int now = kernels_++ % 2;
    return {places + now, places + 1 - now, last};
  }

  /// The place from which the next kernel reads the number of its step.
  const int* now() const { return clock_.as<int>() + kernels_ % 2; }

  StepArrays arrays(int phase, bool last, const float* sums) {
    return {tick(last), phase, columns_, cell_.dcolumns, cell_.c_states, sums};
  }

  /// A thread for each row and unit.
  template <class Params>
  void launch(const void* kernel, Params params) {
    LaunchShape shape{};
    shape.blocks = int((batch() * hidden() + kStepThreads - 1) / kStepThreads);
    shape.threads = kStepThreads;
    runtime_.launch(kernel, shape, &params);
  }

  template <class Step>
  void sequence(const Step& step) {
    const int graphs = layer_.steps / kGraphSteps;
    if (graphs > 0)
      runtime_.repeat(key_of(problem_), graphs, [&] {
        for (int i = 0; i < kGraphSteps; ++i) step();
      });
    for (int i = graphs * kGraphSteps; i < layer_.steps; ++i) step();
  }

  struct Matrix {
    const float* data;
    Index rows, width;  // of a block
  };
  Matrix matrix(cells::Matrix which, int block) const {
    const Index h = hidden(), p = layer_.width();
    switch (which) {
      case cells::Matrix::w_hh: return {layer_.w_hh + block * h * p, h, p};
      case cells::Matrix::w_peep: return {layer_.w_peep + block * h * h, h, h};
      case cells::Matrix::w_hr: break;
    }
    return {layer_.extension.w_hr, p, h};
  }

  /// A block for each row.
  template <class Params>
  void launch_norm(const void* kernel, Params params, int rows) {
    if (rows == 0) return;
    LaunchShape shape{};
    shape.blocks = rows;
    shape.threads = kNormThreads;
    shape.shared = kNormThreads / 32 * sizeof(float);
    runtime_.launch(kernel, shape, &params);
  }

  Buffer floats(Index count) { return Buffer(runtime_, std::size_t(count) * sizeof(float)); }

  Runtime& runtime_;
  const Problem& problem_;
  const cells::Description cell_;
  const int columns_;
  const LayerParams& layer_;
  const KernelEntry* const kernel_;

 private:
  const Buffer clock_;
  int kernels_ = 0;
};

}  // namespace fastrnn::cuda
