#include <memory>
#include <vector>

#include "cuda/run/run_steps.h"
#include "cuda/run/step_sequence.h"

namespace fastrnn::cuda {

namespace {

class BackwardSteps : StepSequence {
 public:
  BackwardSteps(Runtime& runtime, const Problem& problem, const BackwardParams& params)
      : StepSequence(runtime, problem, params), params_(params), dgates_(floats(batch() * cell_.dcolumns * hidden())) {
    for (int p = 0; p < cell_.back_phases; ++p)
      sums_.push_back(std::make_unique<Buffer>(
          runtime, std::size_t(cell_.back[p].sources > 0 ? batch() * hidden() : 0) * sizeof(float)));
  }

  void run() {
    // Rows that have not begun have no gradients for the step before.
    runtime_.clear(dgates_.as<void>(), std::size_t(batch() * cell_.dcolumns * hidden()) * sizeof(float));
    BackwardStep begin{params_, {}, nullptr, 0};
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
    const int* step = now();
    const bool last = p + 1 == cell_.back_phases;
    launch(kernel_->function,
           BackwardStep{params_, arrays(p, last, sums_[p]->as()), dgates_.as(), cell_.columns + 2 * cell_.gates});
    normalise_back(cell_.back[p].norm, step, last);
    if (last && problem_.options.layer_norm && !cell_.norm_of_sum) normalise_input_back(step);
  }

  /// Backward through the normalisation of R h (or W x + R h) and of c'. `step` is the clock that the kernel before it
  /// read.
  void normalise_back(int norm, const int* step, bool last) {
    const Extension& e = params_.extension;
    for (int j = 0; j < 2; ++j) {
      if (!(norm & 1 << j)) continue;
      const cells::NormGroup& group = cell_.group[j];
      NormBackStep back = norm_of(step, last, group.gates, cell_.recurrent_norm_column + group.first_gate,
                                  e.ln_hh + group.first_gate * hidden(), cell_.columns + group.first_gate,
                                  Statistic(kRecurrentScale + j));
      for (int g = 0; g < group.gates; ++g) back.d[g] = cell_.recurrent_column[group.first_gate + g];
      launch_norm(normalise_back_kernel(), back, layer_.batch);
    }
    if (!(norm & cells::kCellNorm)) return;
    NormBackStep back = norm_of(step, last, 1, cell_.cell_norm_to, e.ln_c, cell_.columns + 2 * cell_.gates, kCellScale);
    back.d[0] = cell_.cell_norm_from;
    launch_norm(normalise_back_kernel(), back, layer_.batch);
  }
  /// Backward through the normalisation of W x.
  void normalise_input_back(const int* step) {
    for (int j = 0; j < 2; ++j) {
      const cells::NormGroup& group = cell_.group[j];
      if (group.gates == 0) continue;
      NormBackStep back = norm_of(step, true, group.gates, cell_.input_column + group.first_gate,
                                  params_.extension.ln_ih + group.first_gate * hidden(),
                                  cell_.columns + cell_.gates + group.first_gate, Statistic(kInputScale + j));
      for (int g = 0; g < group.gates; ++g) back.d[g] = group.first_gate + g;
      launch_norm(normalise_back_kernel(), back, layer_.batch);
    }
  }
  NormBackStep norm_of(const int* step, bool last, int gates, int to, const float* gain, int hat,
                       Statistic statistic) const {
    return {params_, step, last, gates, {}, to, dgates_.as(), columns_, cell_.dcolumns, gain, hat, statistic};
  }

  /// Multiplies the sources of a phase that are `next`, or those that are not; false if there are none. Neighbouring
  /// columns with neighbouring blocks are one product.
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

void run_steps(Runtime& runtime, const Problem& problem, const BackwardParams& params) {
  if (params.batch > 0) BackwardSteps(runtime, problem, params).run();
}

}  // namespace fastrnn::cuda
