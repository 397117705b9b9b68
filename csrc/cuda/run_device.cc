#include "cuda/run_device.h"

#include <algorithm>
#include <numeric>
#include <vector>

namespace fastrnn::cuda {

namespace {

void refuse(bool given, const char* name) {
  if (given) throw Error(std::string(name) + ": expected nothing on a GPU, got a value");
}

}  // namespace

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

namespace {

/// Lengths on the device, and the rows by decreasing length, so that those of a group end together.
class Lengths {
 public:
  Lengths(Runtime& runtime, const ForwardArguments<float>& a)
      : runtime_(runtime),
        length_(runtime, a.lengths != nullptr ? std::size_t(a.batch) * sizeof(int) : 0),
        order_(runtime, a.lengths != nullptr ? std::size_t(a.batch) * sizeof(int) : 0) {
    if (a.lengths == nullptr) return;
    std::vector<int> length(a.lengths, a.lengths + a.batch), order(length.size());
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(),
                     [&](int i, int j) { return length[std::size_t(i)] > length[std::size_t(j)]; });
    // From memory that is not pinned, and so read before the call returns.
    runtime_.copy_in(length_.as<void>(), length.data(), length.size() * sizeof(int));
    runtime_.copy_in(order_.as<void>(), order.data(), order.size() * sizeof(int));
  }
  const int* length() const { return length_.as<int>(); }
  const int* order() const { return order_.as<int>(); }

 private:
  Runtime& runtime_;
  Buffer length_, order_;
};

}  // namespace

void forward_from_device(Runtime& runtime, const DeviceSpec& device, const CellOptions& cell,
                         const Parameters<float>& p, const ForwardArguments<float>& a, Type type,
                         std::optional<Tier> tier) {
  check_call(cell, p, a);
  if (a.x.step != a.batch * p.inputs || a.x.row != p.inputs) throw Error("x: expected a contiguous array on a GPU");
  if (a.y.step != a.batch * p.hidden || a.y.row != p.hidden) throw Error("y: expected a contiguous array on a GPU");
  for (Index b = 0; a.lengths != nullptr && b < a.batch; ++b)
    if (a.lengths[b] < 0 || a.lengths[b] > a.steps)
      throw Error("lengths: expected values in 0.." + std::to_string(a.steps) + ", got " +
                  std::to_string(a.lengths[b]));
  if (a.batch == 0) return;
  const Lengths lengths(runtime, a);
  ForwardJob job;
  job.problem = make_problem(cell, p, type, a.batch, a.steps);
  job.inputs = int(p.inputs);
  job.reverse = a.reverse;
  job.x = a.x.data;
  job.w_ih = p.w_ih;
  job.w_hh = p.w_hh;
  job.b_ih = p.b_ih;
  job.b_hh = p.b_hh;
  job.w_peep = p.w_peep;
  job.h0 = a.h0;
  job.c0 = a.c0;
  job.length = lengths.length();
  job.order = lengths.order();
  job.y = a.y.data;
  job.h_n = a.h_n;
  job.c_n = a.c_n;
  run_forward(runtime, device, job, tier);
}

}  // namespace fastrnn::cuda
