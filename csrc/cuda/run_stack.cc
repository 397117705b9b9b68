#include "cuda/run_host.h"

#include <algorithm>

#include "core/options.h"
#include "cuda/norm.h"

namespace fastrnn::cuda {

namespace {

void refuse(bool given, const char* name) {
  if (given) throw Error(std::string(name) + ": expected nothing in training on a GPU, got a value");
}

/// What the backward pass does not know yet.
void check_training(const ForwardArguments<float>& a) {
  refuse(a.mask != nullptr && !a.zero_output_for_mask, "mask");
  refuse(a.checkpoint_every > 0, "checkpoint_every");
  refuse(a.dropout.inputs > 0, "dropout");
  refuse(a.dropout.recurrent > 0, "recurrent_dropout");
}

const ForwardArguments<float>& checked(const CellOptions& cell, const Parameters<float>& p,
                                       const ForwardArguments<float>& a, bool training) {
  check_call(cell, p, a);
  if (training) check_training(a);
  return a;
}

}  // namespace

const float* Upload::send(const Sequence<const float>& host, Index steps, Index batch, Index width) {
  if (host.data == nullptr || there_) return host.data;
  std::vector<float> together(std::size_t(steps * batch * width));
  for (Index t = 0; t < steps; ++t)
    for (Index b = 0; b < batch; ++b) std::copy_n(host.at(t, b), width, together.data() + (t * batch + b) * width);
  return send(together.data(), Index(together.size()));
}

HostLayer::HostLayer(Runtime& runtime, const DeviceSpec& device, const CellOptions& cell, const Parameters<float>& p,
                     const ForwardArguments<float>& a, Type type, std::optional<Tier> tier, bool training, bool there)
    : runtime_(runtime),
      device_(device),
      cell_(cell),
      tier_(tier),
      there_(there),
      arguments_(checked(cell, p, a, training)),
      upload_(runtime, there),
      steps_(runtime, a),
      inputs_(p.inputs),
      hidden_(p.hidden),
      width_(p.w_hr != nullptr ? p.projection : p.hidden),
      gates_(gate_count(cell.cell)),
      c_states_(cell_state_count(cell.cell)) {
  const Index rows = a.steps * a.batch, units = gates_ * hidden_;
  const bool full = cell.peephole == Peephole::full, diagonal = cell.cell == CellType::indrnn;
  Parameters<float> parameters = p;
  parameters.w_ih = upload_.send(p.w_ih, units * p.inputs);
  parameters.w_hh = upload_.send(p.w_hh, diagonal ? hidden_ : units * width_);
  parameters.b_ih = upload_.send(p.b_ih, units);
  parameters.b_hh = upload_.send(p.b_hh, units);
  parameters.w_peep = upload_.send(p.w_peep, full ? 3 * hidden_ * hidden_ : 3 * hidden_);
  parameters.w_hr = upload_.send(p.w_hr, width_ * hidden_);
  parameters.ln_ih = upload_.send(p.ln_ih, units);
  parameters.ln_hh = upload_.send(p.ln_hh, units);
  parameters.ln_c = upload_.send(p.ln_c, 2 * hidden_);
  ForwardArguments<float> arguments = a;
  arguments.x = {upload_.send(a.x, a.steps, a.batch, p.inputs), a.batch * p.inputs, p.inputs};
  arguments.h0 = upload_.send(a.h0, a.batch * width_);
  arguments.c0 = upload_.send(a.c0, c_states_ * a.batch * hidden_);
  arguments.y = {there ? a.y.data : upload_.room(rows * width_), a.batch * width_, width_};
  arguments.h_n = there ? a.h_n : upload_.room(a.batch * width_);
  if (c_states_ > 0) arguments.c_n = there ? a.c_n : upload_.room(c_states_ * a.batch * hidden_);
  job_ = make_job(cell, parameters, arguments, type, steps_, training);
  if (!training) return;
  const cells::Description description = cells::describe(job_.problem.kind, job_.problem.options);
  const int columns = saved_columns(description, job_.problem.options);
  job_.gates = upload_.room(std::max<Index>(rows * columns * hidden_, 1));
  if (p.ln_hh != nullptr) job_.extension.statistics = upload_.room(rows * kStatistics);
  job_.c = upload_.room(rows * c_states_ * hidden_);
}

void HostLayer::receive(float* host, const float* device, Index count) const {
  if (!there_ && host != nullptr && count > 0) runtime_.copy_out(host, device, std::size_t(count) * sizeof(float));
}

void HostLayer::receive(const Sequence<float>& host, const float* device, Index width) const {
  if (there_) return;
  std::vector<float> together(std::size_t(arguments_.steps * arguments_.batch * width));
  receive(together.data(), device, Index(together.size()));
  runtime_.wait();
  const float* row = together.data();
  for (Index t = 0; t < arguments_.steps; ++t)
    for (Index b = 0; b < arguments_.batch; ++b, row += width) std::copy_n(row, width, host.at(t, b));
}

void HostLayer::forward() {
  if (arguments_.batch == 0) return;
  run_forward(runtime_, device_, job_, tier_);
  receive(arguments_.h_n, job_.h_n, arguments_.batch * width_);
  receive(arguments_.c_n, job_.c_n, c_states_ * arguments_.batch * hidden_);
  receive(arguments_.y, job_.y, width_);
}

void HostLayer::backward(const BackwardArguments<float>& gradients) const {
  const Index batch = arguments_.batch, states = batch * width_, cells = c_states_ * batch * hidden_,
              units = gates_ * hidden_;
  const bool full = cell_.peephole == Peephole::full, diagonal = cell_.cell == CellType::indrnn;
  Upload upload(runtime_, there_);
  const auto room = [&](float* host, Index count) { return upload.place(host, count); };
  BackwardJob job;
  static_cast<LayerJob&>(job) = job_;
  job.y = job_.y;
  job.gates = job_.gates;
  job.c = job_.c;
  job.dy = upload.send(gradients.dy, arguments_.steps, batch, width_);
  job.dh_n = upload.send(gradients.dh_n, states);
  job.dc_n = upload.send(gradients.dc_n, cells);
  job.dx = room(gradients.dx.data, arguments_.steps * batch * inputs_);
  // Kernels write both, wanted or not.
  job.dh0 = gradients.dh0 != nullptr ? room(gradients.dh0, states) : upload.room(states);
  job.dc0 = gradients.dc0 != nullptr ? room(gradients.dc0, cells) : upload.room(cells);
  job.dw_ih = room(gradients.dw_ih, units * inputs_);
  job.dw_hh = room(gradients.dw_hh, diagonal ? hidden_ : units * width_);
  job.db_ih = room(gradients.db_ih, units);
  job.db_hh = room(gradients.db_hh, units);
  job.dw_peep = room(gradients.dw_peep, full ? 3 * hidden_ * hidden_ : 3 * hidden_);
  job.dw_hr = room(gradients.dw_hr, width_ * hidden_);
  job.dln_ih = room(gradients.dln_ih, units);
  job.dln_hh = room(gradients.dln_hh, units);
  job.dln_c = room(gradients.dln_c, 2 * hidden_);
  run_backward(runtime_, device_, job, tier_);
  receive(gradients.dh0, job.dh0, states);
  receive(gradients.dc0, job.dc0, cells);
  receive(gradients.dw_ih, job.dw_ih, units * inputs_);
  receive(gradients.dw_hh, job.dw_hh, diagonal ? hidden_ : units * width_);
  receive(gradients.db_ih, job.db_ih, units);
  receive(gradients.db_hh, job.db_hh, units);
  receive(gradients.dw_peep, job.dw_peep, full ? 3 * hidden_ * hidden_ : 3 * hidden_);
  receive(gradients.dw_hr, job.dw_hr, width_ * hidden_);
  receive(gradients.dln_ih, job.dln_ih, units);
  receive(gradients.dln_hh, job.dln_hh, units);
  receive(gradients.dln_c, job.dln_c, 2 * hidden_);
  if (gradients.dx.data != nullptr) receive(gradients.dx, job.dx, inputs_);
  if (!there_) runtime_.wait();
}

}  // namespace fastrnn::cuda
