#include "cuda/run/run_device.h"

#include "cells/options.h"

#include <algorithm>
#include <numeric>
#include <vector>

namespace fastrnn::cuda {

namespace {

/// Lists the times that a mask keeps, in the order of computation; returns how many.
int list_times(const ForwardArguments<float>& a, std::size_t b, int* times) {
  int n = 0;
  for (Index i = 0; i < a.steps; ++i) {
    const Index t = a.reverse ? a.steps - 1 - i : i;
    if (a.mask[t * a.batch + Index(b)] != 0) times[n++] = int(t);
  }
  return n;
}

}  // namespace

RowSteps::RowSteps(Runtime& runtime, const ForwardArguments<float>& a)
    : ragged_(a.lengths != nullptr || a.mask != nullptr),
      length_(runtime, ragged_ ? std::size_t(a.batch) * sizeof(int) : 0),
      order_(runtime, ragged_ ? std::size_t(a.batch) * sizeof(int) : 0),
      times_(runtime, a.mask != nullptr ? std::size_t(a.batch * a.steps) * sizeof(int) : 0),
      reset_(runtime, a.reset_mask != nullptr ? std::size_t(a.batch * a.steps) : 0) {
  const std::size_t batch = std::size_t(a.batch), all = batch * std::size_t(a.steps);
  // The host's memory is not pinned, so the copies have read it when they return.
  if (a.reset_mask != nullptr && a.steps > 0) runtime.copy_in(reset_.as<void>(), a.reset_mask, all);
  if (!ragged_) return;
  std::vector<int> length(batch, 0), order(batch), times(a.mask != nullptr ? all : 0);
  for (std::size_t b = 0; b < batch; ++b)
    length[b] = a.lengths != nullptr ? int(a.lengths[b]) : list_times(a, b, times.data() + b * std::size_t(a.steps));
  // By decreasing length, so that the rows of a group end together.
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](int i, int j) { return length[std::size_t(i)] > length[std::size_t(j)]; });
  runtime.copy_in(length_.as<void>(), length.data(), length.size() * sizeof(int));
  runtime.copy_in(order_.as<void>(), order.data(), order.size() * sizeof(int));
  if (!times.empty()) runtime.copy_in(times_.as<void>(), times.data(), times.size() * sizeof(int));
}

ForwardJob make_job(const CellOptions& cell, const Parameters<float>& p, const ForwardArguments<float>& a, Type type,
                    const RowSteps& steps, bool training) {
  ForwardJob job;
  job.problem = make_problem(cell, p, type, a.batch, a.steps);
  job.problem.call_option = a.mask != nullptr                     ? "mask"
                            : a.reset_mask != nullptr             ? "reset_mask"
                            : training && a.truncate > 0          ? "truncate"
                            : training && a.dropout.candidate > 0 ? "candidate_dropout"
                            : training && a.dropout.recurrent > 0 ? "recurrent_dropout"
                                                                  : "";
  job.problem.zero_output_for_mask = a.zero_output_for_mask;
  job.inputs = int(p.inputs);
  static_cast<StepTimes<int>&>(job) = {int(a.steps),
                                       int(a.batch),
                                       steps.length(),
                                       a.reverse,
                                       steps.times(),
                                       steps.reset(),
                                       training ? int(a.truncate) : 0};
  job.x = a.x.data;
  job.x_step = a.x.step;
  job.x_row = a.x.row;
  job.w_ih = p.w_ih;
  job.w_hh = p.w_hh;
  job.b_ih = p.b_ih;
  job.b_hh = p.b_hh;
  job.w_peep = cells::describe(cell.cell).vector_recurrence ? p.w_hh : p.w_peep;
  job.h0 = a.h0;
  job.c0 = a.c0;
  job.order = steps.order();
  job.y = a.y.data;
  job.y_step = a.y.step;
  job.y_row = a.y.row;
  job.h_n = a.h_n;
  job.c_n = a.c_n;
  job.extension.w_hr = p.w_hr;
  job.extension.ln_ih = p.ln_ih;
  job.extension.ln_hh = p.ln_hh;
  job.extension.ln_c = p.ln_c;
  job.extension.norm_epsilon = float(cell.norm_epsilon);
  if (!training) return job;
  set_masks(job.problem.options, a.dropout, job.extension);
  return job;
}

}  // namespace fastrnn::cuda
