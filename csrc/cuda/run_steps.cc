#include "cuda/run_steps.h"

#include <memory>
#include <vector>

#include "cuda/kernel_table.h"
#include "cuda/norm.h"

namespace fastrnn::cuda {

namespace {

/// Steps of a graph. Even, so that the clock is at the same one of its two places when the graph begins again.
constexpr int kGraphSteps = 8;

class Steps {
 public:
  Steps(const Steps&) = delete;
  Steps& operator=(const Steps&) = delete;

 protected:
  Steps(Runtime& runtime, const Problem& problem, const LayerParams& layer)
      : runtime_(runtime),
        problem_(problem),
        cell_(cells::describe(problem.kind, problem.options)),
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

  /// Where the next kernel reads the number of its step.
  const int* now() const { return clock_.as<int>() + kernels_ % 2; }

  StepArrays arrays(int phase, bool last, const float* sums) {
    return {tick(last), phase, cell_.columns, cell_.dcolumns, cell_.c_states, sums};
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
      runtime_.repeat(graphs, [&] {
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

  Buffer floats(Index count) { return Buffer(runtime_, std::size_t(count) * sizeof(float)); }

  Runtime& runtime_;
  const Problem& problem_;
  const cells::Description cell_;
  const LayerParams& layer_;
  const KernelEntry* const kernel_;

 private:
  const Buffer clock_;
  int kernels_ = 0;
};

class ForwardSteps : Steps {
 public:
  ForwardSteps(Runtime& runtime, const Problem& problem, const ForwardParams& params)
      : Steps(runtime, problem, params),
        params_(params),
        sums_(floats(batch() * cell_.gates * hidden())),
        kept_(floats(cell_.phases > 1 ? batch() * cell_.columns * hidden() : 0)),
        c_(floats(batch() * cell_.c_states * hidden())) {}

  void run(bool zero_output_for_mask) {
    ForwardStep begin{params_, {}, -1, false, nullptr, nullptr};
    begin.at.c_states = cell_.c_states;
    launch(begin_forward_kernel(), begin);
    for (int p = 0; p < cell_.phases; ++p)
      if (!cell_.norm_of_sum) normalise_input(cell_.phase[p].norm);
    sequence([&] {
      for (int p = 0; p < cell_.phases; ++p) phase(p);
    });
    if (params_.extension.times != nullptr) launch(end_forward_kernel(), ForwardEnd{params_, zero_output_for_mask});
  }

 private:
  void phase(int p) {
    const cells::Phase& phase = cell_.phase[p];
    for (int s = 0; s < phase.sources; ++s) multiply(phase, phase.source[s], s > 0);
    normalise(phase);
    const bool sums = phase.sources > 0 || phase.norm != cells::kNoNorm;
    launch(kernel_->function,
           ForwardStep{params_, arrays(p, p + 1 == cell_.phases, sums ? sums_.as() : nullptr),
                       phase.norm != cells::kNoNorm ? -1 : phase.from, cell_.norm_of_sum, kept_.as(), c_.as()});
  }

  /// W x of the groups in `norm`, all steps, in place: biases are added later.
  void normalise_input(int norm) {
    for (int j = 0; j < 2; ++j) {
      if (!(norm & 1 << j)) continue;
      const cells::NormGroup& group = cell_.group[j];
      const Index at = group.first_gate * hidden(), width = cell_.gates * hidden();
      // The input is this pass's own, though its kernels only read it.
      float* input = const_cast<float*>(params_.input) + at;
      launch_norm({params_, nullptr, input, width, input, width, nullptr, params_.extension.ln_ih + at, nullptr,
                   int(group.gates * hidden())},
                  layer_.steps * layer_.batch);
    }
  }

  /// The sums of a phase in place, or c' to where sums are.
  void normalise(const cells::Phase& phase) {
    const Index h = hidden();
    for (int j = 0; j < 2; ++j) {
      if (!(phase.norm & 1 << j)) continue;
      const cells::NormGroup& group = cell_.group[j];
      float* sums = sums_.as() + (group.first_gate - phase.first_gate) * h;
      launch_norm(
          {params_, now(), sums, phase.gates * h, sums, phase.gates * h, cell_.norm_of_sum ? params_.input : nullptr,
           params_.extension.ln_hh + group.first_gate * h, nullptr, int(group.gates * h)},
          layer_.batch);
    }
    if (!(phase.norm & cells::kCellNorm)) return;
    const float* gain = params_.extension.ln_c;
    launch_norm({params_, now(), kept_.as() + phase.from * h, cell_.columns * h, sums_.as(), h, nullptr, gain, gain + h,
                 int(h)},
                layer_.batch);
  }

  void launch_norm(NormStep norm, int rows) {
    if (rows == 0) return;
    LaunchShape shape{};
    shape.blocks = rows;
    shape.threads = kNormThreads;
    shape.shared = kNormThreads / 32 * sizeof(float);
    runtime_.launch(normalise_kernel(), shape, &norm);
  }

  /// Gates whose blocks follow each other are one product. A first source has all gates of its phase.
  void multiply(const cells::Phase& phase, const cells::Source& source, bool accumulate) {
    for (int g = 0; g < phase.gates;) {
      int count = 1;
      while (g + count < phase.gates && source.block[g + count] == source.block[g] + count) ++count;
      if (source.block[g] >= 0) {
        const Matrix m = matrix(source.matrix, source.block[g]);
        runtime_.multiply({int(batch()),
                           int(count * m.rows),
                           int(m.width),
                           operand(source.operand),
                           {m.data, m.width, true},
                           sums_.as() + g * hidden(),
                           phase.gates * hidden(),
                           accumulate,
                           problem_.type});
      }
      g += count;
    }
  }

  Factor operand(cells::Operand which) const {
    switch (which) {
      case cells::Operand::h_prev: return {params_.h_n, params_.width()};
      case cells::Operand::c_prev: return {params_.c_n, hidden()};
      case cells::Operand::c: return {c_.as(), hidden()};
      default: return {kept_.as() + cells::kOperandColumn * hidden(), cell_.columns * hidden()};
    }
  }

  const ForwardParams& params_;
  const Buffer sums_, kept_, c_;
};

class BackwardSteps : Steps {
 public:
  BackwardSteps(Runtime& runtime, const Problem& problem, const BackwardParams& params)
      : Steps(runtime, problem, params), params_(params), dgates_(floats(batch() * cell_.dcolumns * hidden())) {
    for (int p = 0; p < cell_.back_phases; ++p)
      sums_.push_back(std::make_unique<Buffer>(
          runtime, std::size_t(cell_.back[p].sources > 0 ? batch() * hidden() : 0) * sizeof(float)));
  }

  void run() {
    // Rows that have not begun have no gradients for the step before.
    runtime_.clear(dgates_.as<void>(), std::size_t(batch() * cell_.dcolumns * hidden()) * sizeof(float));
    BackwardStep begin{params_, {}, nullptr};
    begin.at.dcolumns = cell_.dcolumns;
    begin.at.c_states = cell_.c_states;
    launch(begin_backward_kernel(), begin);
    sequence([&] {
      // What the next step gave is multiplied first: the phases put this step's gradients in its place.
      for (int p = 0; p < cell_.back_phases; ++p) multiply(p, true);
      for (int p = 0; p < cell_.back_phases; ++p) phase(p);
    });
    BackwardEnd end{params_, nullptr, nullptr};
    for (int p = 0; p < cell_.back_phases; ++p) {
      if (cell_.back[p].target == cells::Target::kept || !multiply(p, true)) continue;
      (cell_.back[p].target == cells::Target::h ? end.h_sums : end.c_sums) = sums_[p]->as();
    }
    launch(end_backward_kernel(), end);
  }

 private:
  void phase(int p) {
    multiply(p, false);
    launch(kernel_->function,
           BackwardStep{params_, arrays(p, p + 1 == cell_.back_phases, sums_[p]->as()), dgates_.as()});
  }

  /// The sources of a phase that are `next`, or those that are not. Columns and blocks that follow each other are one
  /// product. False if there are none.
  bool multiply(int p, bool next) {
    const cells::BackPhase& phase = cell_.back[p];
    bool any = false, before = false;
    for (int s = 0; s < phase.sources;) {
      const cells::BackSource& first = phase.source[s];
      int count = 1;
      const auto follows = [&](const cells::BackSource& source) {
        return source.next == first.next && source.matrix == first.matrix && source.column == first.column + count &&
               source.block == first.block + count;
      };
      while (s + count < phase.sources && follows(phase.source[s + count])) ++count;
      s += count;
      if (first.next != next) {
        before = before || first.next;
        continue;
      }
      const Matrix m = matrix(first.matrix, first.block);
      runtime_.multiply({int(batch()),
                         int(m.width),
                         int(count * m.rows),
                         {dgates_.as() + first.column * hidden(), cell_.dcolumns * hidden()},
                         {m.data, m.width},
                         sums_[std::size_t(p)]->as(),
                         hidden(),
                         any || before,
                         problem_.type});
      any = true;
    }
    return any;
  }

  const BackwardParams& params_;
  const Buffer dgates_;
  std::vector<std::unique_ptr<Buffer>> sums_;  // by phase
};

}  // namespace

void run_steps(Runtime& runtime, const Problem& problem, const ForwardParams& params) {
  if (params.batch > 0) ForwardSteps(runtime, problem, params).run(problem.zero_output_for_mask);
}

void run_steps(Runtime& runtime, const Problem& problem, const BackwardParams& params) {
  if (params.batch > 0) BackwardSteps(runtime, problem, params).run();
}

}  // namespace fastrnn::cuda
