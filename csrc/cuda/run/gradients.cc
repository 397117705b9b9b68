#include "cuda/run/gradients.h"

#include <memory>

#include "cuda/shared/rows.h"
#include "cuda/shared/steps.h"

namespace fastrnn::cuda {

namespace {

constexpr int kOperands = int(cells::Operand::c_new) + 1;

class Gradients {
 public:
  Gradients(Runtime& runtime, const BackwardJob& job, const BackwardParams& params)
      : runtime_(runtime),
        job_(job),
        params_(params),
        cell_(cells::describe(job.problem.kind, job.problem.options)),
        hidden_(params.hidden),
        state_(params.width()),
        columns_(saved_columns(cell_, job.problem.options)),
        width_(cell_.dcolumns * params.hidden),
        rows_(params.steps * params.batch) {}

  void run() {
    inputs();
    for (int p = 0; p < cell_.back_phases; ++p) matrices(cell_.back[p]);
    biases();
    for (int row = 0; row < cell_.params; ++row) parameter(row);
    if (job_.problem.options.layer_norm) gains();
  }

 private:
  /// Gate gradients from a column on, of all rows.
  const float* column(int first) const { return params_.dgates + Index(first) * hidden_; }

  /// Whether some rows end before T. What lies in x and y behind such an end is unknown and may be NaN, so that even
  /// multiplying it by the zeros in dgates would spoil a sum: such operands are copied first, with zeros there.
  bool ragged() const { return params_.length != nullptr; }

  Buffer& gathered(std::unique_ptr<Buffer>& place, GatherParams gather) {
    const std::size_t bytes = std::size_t(rows_) * std::size_t(gather.width) * sizeof(float);
    place = std::make_unique<Buffer>(runtime_, bytes);
    if (bytes > 0 && ragged()) runtime_.clear(place->as<void>(), bytes);
    gather.layer = params_;
    gather.to = place->as();
    gather_rows(runtime_, gather);
    return *place;
  }

  DeviceMatrix x() {
    if (!ragged()) return {job_.x, job_.x_row};
    if (x_ == nullptr) gathered(x_, {{}, job_.x, job_.x_row, false, nullptr, nullptr, job_.inputs, {}});
    return {x_->as(), job_.inputs};
  }

  /// What a recurrent matrix or a parameter multiplied at each step, (T,B,width).
  DeviceMatrix operand(cells::Operand which) {
    GatherParams gather{};
    gather.width = hidden_;
    switch (which) {
      case cells::Operand::h_prev:
        gather.width = state_;
        gather.from = params_.y.data;
        gather.stride = params_.y.row;
        gather.initial = params_.h0;
        gather.mask = params_.extension.recurrent;
        break;
      case cells::Operand::c_prev: gather.initial = params_.c0; [[fallthrough]];
      case cells::Operand::c:
        gather.from = params_.c;
        gather.stride = cell_.c_states * hidden_;
        break;
      default:
        gather.from =
            params_.gates + Index(which == cells::Operand::c_new ? cell_.c_new : cells::kOperandColumn) * hidden_;
        gather.stride = columns_ * hidden_;
    }
    gather.before = which == cells::Operand::h_prev || which == cells::Operand::c_prev;
    if (!gather.before && !ragged()) return {gather.from, gather.stride};
    std::unique_ptr<Buffer>& place = operands_[int(which)];
    if (place == nullptr) gathered(place, gather);
    return {place->as(), gather.width};
  }

  void multiply(int m, int n, int k, DeviceMatrix a, DeviceMatrix b, float* c) {
    if (c != nullptr) runtime_.multiply({m, n, k, a, b, c, n, false, job_.problem.type});
  }

  void inputs() {
    const int gates = cell_.gates * hidden_;
    const DeviceMatrix dgates = {column(cell_.input_column), width_}, turned = {dgates.data, width_, true};
    if (job_.parameters.dw_ih != nullptr) multiply(gates, job_.inputs, rows_, turned, x(), job_.parameters.dw_ih);
    if (job_.dx == nullptr) return;
    runtime_.multiply({rows_,
                       job_.inputs,
                       gates,
                       dgates,
                       {job_.w_ih, job_.inputs},
                       job_.dx,
                       job_.dx_row,
                       job_.add_dx,
                       job_.problem.type});
  }

  /// dR, and the gradients of full peepholes and projections. Neighbouring columns with neighbouring blocks are one
  /// product.
  void matrices(const cells::BackPhase& phase) {
    for (int s = 0; s < phase.sources;) {
      const cells::BackSource& first = phase.source[s];
      const cells::Operand met = operand_of(cell_, first.matrix, first.block);
      int count = 1;
      while (s + count < phase.sources && follows(phase.source[s + count], first, count)) ++count;
      s += count;
      const bool projection = first.matrix == cells::Matrix::w_hr;
      float* out = projection                            ? job_.parameters.dw_hr
                   : first.matrix == cells::Matrix::w_hh ? job_.parameters.dw_hh
                                                         : job_.parameters.dw_peep;
      if (out == nullptr) continue;
      const int columns = met == cells::Operand::h_prev ? state_ : hidden_;
      multiply(count * (projection ? state_ : hidden_), columns, rows_, {column(first.column), width_, true},
               operand(met), out + Index(first.block) * hidden_ * columns);
    }
  }
  bool follows(const cells::BackSource& source, const cells::BackSource& first, int distance) const {
    return source.matrix == first.matrix && source.column == first.column + distance &&
           source.block == first.block + distance &&
           operand_of(cell_, source.matrix, source.block) == operand_of(cell_, first.matrix, first.block);
  }

  void sum(int first, int columns, float* to, float* also) {
    sum_rows(runtime_, {rows_, columns * hidden_, column(first), width_, nullptr, 0, to, also});
  }
  /// Sums of the gate gradients. Most gates have the same gradient for W x + b_ih and for R h + b_hh: it is summed
  /// once.
  void biases() {
    const auto place = [&](float* array, int gate) { return array ? array + Index(gate) * hidden_ : nullptr; };
    for (int g = 0; g < cell_.gates;) {
      const int shift = cell_.recurrent_column[g] - g;
      int count = 1;
      while (g + count < cell_.gates && g + count < 4 && cell_.recurrent_column[g + count] - g - count == shift)
        ++count;
      float *ih = place(job_.parameters.db_ih, g), *hh = place(job_.parameters.db_hh, g);
      sum(g, count, ih, shift == 0 ? hh : nullptr);
      if (shift != 0) sum(g + shift, count, hh, nullptr);
      g += count;
    }
  }

  void parameter(int row) {
    float* out = cell_.vector_recurrence ? job_.parameters.dw_hh : job_.parameters.dw_peep;
    if (out == nullptr) return;
    const cells::DiagonalGradient& gradient = cell_.param_gradient[row];
    const DeviceMatrix met = operand(gradient.operand);
    sum_rows(runtime_, {rows_, hidden_, column(gradient.column), width_, met.data, met.stride,
                        out + Index(row) * hidden_, nullptr});
  }

  /// Gradients of the gains of layer normalisation: sums of gate gradients times the saved normalised values.
  void gains() {
    const auto gain = [&](float* array, int row, int first, int hat) {
      if (array == nullptr) return;
      const float* from = params_.gates + Index(cell_.columns + hat) * hidden_;
      std::unique_ptr<Buffer> place;
      Index stride = columns_ * hidden_;
      if (ragged()) {
        from = gathered(place, {{}, from, stride, false, nullptr, nullptr, hidden_, {}}).as();
        stride = hidden_;
      }
      sum_rows(runtime_, {rows_, hidden_, column(first), width_, from, stride, array + Index(row) * hidden_, nullptr});
    };
    for (int g = 0; g < cell_.gates; ++g) {
      gain(job_.parameters.dln_hh, g, cell_.recurrent_column[g], g);
      if (!cell_.norm_of_sum) gain(job_.parameters.dln_ih, g, g, cell_.gates + g);
    }
    if (!job_.problem.options.cell_norm || job_.parameters.dln_c == nullptr) return;
    gain(job_.parameters.dln_c, 0, cell_.cell_norm_from, 2 * cell_.gates);
    sum(cell_.cell_norm_from, 1, job_.parameters.dln_c + hidden_, nullptr);
  }

  Runtime& runtime_;
  const BackwardJob& job_;
  const BackwardParams& params_;
  const cells::Description cell_;
  const int hidden_, state_, columns_, width_, rows_;
  std::unique_ptr<Buffer> x_, operands_[kOperands];
};

}  // namespace

void multiply_gradients(Runtime& runtime, const BackwardJob& job, const BackwardParams& params) {
  Gradients(runtime, job, params).run();
}

}  // namespace fastrnn::cuda
