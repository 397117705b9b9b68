#include "cuda/run/run_steps.h"

#include "cuda/run/step_sequence.h"

namespace fastrnn::cuda {

namespace {

class ForwardSteps : StepSequence {
 public:
  ForwardSteps(Runtime& runtime, const Problem& problem, const ForwardParams& params)
      : StepSequence(runtime, problem, params),
        params_(params),
        sums_(floats(batch() * cell_.gates * hidden())),
        kept_(floats(cell_.phases > 1 ? batch() * columns_ * hidden() : 0)),
        c_(floats(batch() * cell_.c_states * hidden())),
        h_operand_(floats(params.extension.recurrent.threshold > 0 ? batch() * params.width() : 0)) {}

  void run(bool zero_output_for_mask) {
    ForwardStep begin{params_, {}, -1, false, nullptr, nullptr, h_operand_.as()};
    begin.at.c_states = cell_.c_states;
    launch(begin_forward_kernel(), begin);
    for (int p = 0; p < cell_.phases; ++p)
      if (!cell_.norm_of_sum) normalise_input(cell_.phase[p].norm);
    sequence([&] {
      for (int p = 0; p < cell_.phases; ++p) phase(p);
    });
    if (params_.times != nullptr) launch(end_forward_kernel(), ForwardEnd{params_, zero_output_for_mask});
  }

 private:
  void phase(int p) {
    const cells::Phase& phase = cell_.phase[p];
    for (int s = 0; s < phase.sources; ++s) multiply(phase, phase.source[s], s > 0);
    normalise(phase);
    const bool sums = phase.sources > 0 || phase.norm != cells::kNoNorm;
    launch(kernel_->function, ForwardStep{params_, arrays(p, p + 1 == cell_.phases, sums ? sums_.as() : nullptr),
                                          phase.norm != cells::kNoNorm ? -1 : phase.from, cell_.norm_of_sum, kept_.as(),
                                          c_.as(), h_operand_.as()});
  }

  /// Normalises W x of all steps in place, for the groups of gates in `norm`. Biases are added later.
  void normalise_input(int norm) {
    for (int j = 0; j < 2; ++j) {
      if (!(norm & 1 << j)) continue;
      const cells::NormGroup& group = cell_.group[j];
      const Index at = group.first_gate * hidden(), width = cell_.gates * hidden();
      // The input is this pass's own, though its kernels only read it.
      float* input = const_cast<float*>(params_.input) + at;
      launch_norm(normalise_kernel(),
                  NormStep{params_, nullptr, input, width, input, width, nullptr, params_.extension.ln_ih + at, nullptr,
                           int(group.gates * hidden()), columns_, cell_.columns + cell_.gates + group.first_gate,
                           Statistic(kInputScale + j)},
                  layer_.steps * layer_.batch);
    }
  }

  /// Normalises the sums of a phase in place, or c' into the array of sums.
  void normalise(const cells::Phase& phase) {
    const Index h = hidden();
    for (int j = 0; j < 2; ++j) {
      if (!(phase.norm & 1 << j)) continue;
      const cells::NormGroup& group = cell_.group[j];
      float* sums = sums_.as() + (group.first_gate - phase.first_gate) * h;
      launch_norm(
          normalise_kernel(),
          NormStep{params_, now(), sums, phase.gates * h, sums, phase.gates * h,
                   cell_.norm_of_sum ? params_.input : nullptr, params_.extension.ln_hh + group.first_gate * h, nullptr,
                   int(group.gates * h), columns_, cell_.columns + group.first_gate, Statistic(kRecurrentScale + j)},
          layer_.batch);
    }
    if (!(phase.norm & cells::kCellNorm)) return;
    const float* gain = params_.extension.ln_c;
    launch_norm(normalise_kernel(),
                NormStep{params_, now(), kept_.as() + phase.from * h, columns_ * h, sums_.as(), h, nullptr, gain,
                         gain + h, int(h), columns_, cell_.columns + 2 * cell_.gates, kCellScale},
                layer_.batch);
  }

  /// Multiplies one source. Neighbouring gates with neighbouring blocks are one product. The first source has a block
  /// for every gate of its phase, so that it can assign where later ones add.
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

  DeviceMatrix operand(cells::Operand which) const {
    switch (which) {
      case cells::Operand::h_prev: return {h_operand_.as() != nullptr ? h_operand_.as() : params_.h_n, params_.width()};
      case cells::Operand::c_prev: return {params_.c_n, hidden()};
      case cells::Operand::c: return {c_.as(), hidden()};
      default: return {kept_.as() + cells::kOperandColumn * hidden(), columns_ * hidden()};
    }
  }

  const ForwardParams& params_;
  const Buffer sums_, kept_, c_, h_operand_;
};

}  // namespace

void run_steps(Runtime& runtime, const Problem& problem, const ForwardParams& params) {
  if (params.batch > 0) ForwardSteps(runtime, problem, params).run(problem.zero_output_for_mask);
}

}  // namespace fastrnn::cuda
