#include "cuda/run_host.h"

#include <algorithm>
#include <memory>
#include <numeric>

#include "core/options.h"

namespace fastrnn::cuda {

namespace {

/// Buffers of a call, and their contents.
class Upload {
 public:
  explicit Upload(Runtime& runtime) : runtime_(runtime) {}

  template <class T = float>
  T* room(std::size_t count) {
    buffers_.push_back(std::make_unique<Buffer>(runtime_, count * sizeof(T)));
    return buffers_.back()->as<T>();
  }
  /// Null stays null.
  template <class T>
  const T* send(const T* host, std::size_t count) {
    if (host == nullptr || count == 0) return nullptr;
    T* device = room<T>(count);
    runtime_.copy_in(device, host, count * sizeof(T));
    return device;
  }

 private:
  Runtime& runtime_;
  std::vector<std::unique_ptr<Buffer>> buffers_;
};

void refuse(bool given, const char* name) {
  if (given) throw Error(std::string(name) + ": expected nothing on a GPU, got a value");
}

void check_call(const CellOptions& cell, const Parameters<float>& p, const ForwardArguments<float>& a) {
  refuse(p.w_hr != nullptr, "w_hr");
  refuse(p.ln_ih != nullptr || p.ln_hh != nullptr, "ln_hh");
  refuse(p.ln_c != nullptr, "ln_c");
  refuse(a.mask != nullptr, "mask");
  refuse(a.reset_mask != nullptr, "reset_mask");
  refuse(a.batch_sizes != nullptr, "batch_sizes");
  refuse(cell.clip > 0, "clip");
  refuse(cell.cell_clip > 0, "cell_clip");
  refuse(cell.forget_bias != 0, "forget_bias");
  refuse(cell.zoneout_h > 0, "zoneout_h");
  refuse(cell.zoneout_c > 0, "zoneout_c");
  refuse(cell.weight_dropout > 0, "weight_dropout");
  const bool rnn = cell.cell == CellType::rnn;
  refuse(!rnn && cell.activation.kind != Activation::tanh, "activation");
  refuse(rnn && cell.activation.kind > Activation::identity, "activation");
  refuse(cell.recurrent_activation.kind != Activation::sigmoid, "recurrent_activation");
  refuse(!rnn && cell.output_activation.kind != Activation::tanh, "output_activation");
}

}  // namespace

void forward_from_host(Runtime& runtime, const DeviceSpec& device, const CellOptions& cell, const Parameters<float>& p,
                       const ForwardArguments<float>& a, Type type, std::optional<Tier> tier) {
  check_call(cell, p, a);
  if (a.batch == 0) return;
  const Index gates = gate_count(cell.cell), hidden = p.hidden, states = a.batch * hidden;
  const std::size_t outputs = std::size_t(a.steps * states);
  std::vector<float> x(std::size_t(a.steps * a.batch * p.inputs)), y(outputs);
  for (Index t = 0; t < a.steps; ++t)
    for (Index b = 0; b < a.batch; ++b) std::copy_n(a.x.at(t, b), p.inputs, x.data() + (t * a.batch + b) * p.inputs);
  std::vector<int> length, order;
  if (a.lengths != nullptr) {
    length.assign(a.lengths, a.lengths + a.batch);
    order.resize(length.size());
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(),
                     [&](int i, int j) { return length[std::size_t(i)] > length[std::size_t(j)]; });
  }

  Upload upload(runtime);
  ForwardJob job;
  job.problem = make_problem(cell, type, hidden, a.batch, a.steps);
  job.inputs = int(p.inputs);
  job.reverse = a.reverse;
  job.x = upload.send(x.data(), x.size());
  job.w_ih = upload.send(p.w_ih, std::size_t(gates * hidden * p.inputs));
  job.w_hh = upload.send(p.w_hh, std::size_t(gates * hidden * hidden));
  job.b_ih = upload.send(p.b_ih, std::size_t(gates * hidden));
  job.b_hh = upload.send(p.b_hh, std::size_t(gates * hidden));
  job.w_peep = upload.send(p.w_peep, std::size_t(3 * hidden));
  job.h0 = upload.send(a.h0, std::size_t(states));
  job.c0 = upload.send(a.c0, std::size_t(states));
  job.length = upload.send(length.data(), length.size());
  job.order = upload.send(order.data(), order.size());
  job.y = upload.room(outputs);
  job.h_n = upload.room(std::size_t(states));
  if (a.c_n != nullptr) job.c_n = upload.room(std::size_t(states));
  run_forward(runtime, device, job, tier);
  runtime.copy_out(y.data(), job.y, outputs * sizeof(float));
  runtime.copy_out(a.h_n, job.h_n, std::size_t(states) * sizeof(float));
  if (a.c_n != nullptr) runtime.copy_out(a.c_n, job.c_n, std::size_t(states) * sizeof(float));
  runtime.wait();
  for (Index t = 0; t < a.steps; ++t)
    for (Index b = 0; b < a.batch; ++b) std::copy_n(y.data() + (t * a.batch + b) * hidden, hidden, a.y.at(t, b));
}

}  // namespace fastrnn::cuda
