#include "cuda/run/run.h"

#include <cstdlib>

#include "cuda/run/gradients.h"
#include "cuda/run/run_steps.h"
#include "cuda/shared/kernel_table.h"
#include "cuda/shared/params.h"
#include "cuda/shared/rows.h"

namespace fastrnn::cuda {

namespace {

/// After how many nanoseconds a block that waits for another gives up: FASTRNN_CUDA_TIMEOUT seconds, or ten, far longer
/// than any step.
unsigned long long wait_limit() {
  const char* given = std::getenv("FASTRNN_CUDA_TIMEOUT");
  if (given == nullptr) return 10'000'000'000;
  char* end = nullptr;
  const double seconds = std::strtod(given, &end);
  if (end == given || *end != 0 || !(seconds > 0 && seconds <= 1e9))
    throw Error("FASTRNN_CUDA_TIMEOUT: expected seconds above 0, got '" + std::string(given) + "'");
  return static_cast<unsigned long long>(seconds * 1e9);
}

LaunchShape shape_of(const Plan& plan) {
  return {plan.blocks, plan.geometry.threads, plan.tier == Tier::cluster ? plan.geometry.members : 1,
          plan.tier == Tier::grid, plan.shared_bytes};
}

/// Launches a recurrence kernel with what its tier needs beside its arrays.
template <class Params>
void launch_recurrence(Runtime& runtime, const Problem& problem, const Plan& plan, Params& params) {
  if (plan.tier == Tier::graph) return run_steps(runtime, problem, params);
  const KernelEntry* kernel = find_kernel(plan.tier, problem.kind, problem.type, problem.pass);
  if (kernel == nullptr)
    throw CudaError(0, std::string("no kernel in this build for tier '") + tier_name(plan.tier) + "'");
  const LaunchShape shape = shape_of(plan);
  const int resident = runtime.resident_blocks(kernel->function, shape);
  if (resident < (plan.tier == Tier::grid ? plan.blocks : plan.geometry.members))
    throw CudaError(0, "expected room for " + std::to_string(plan.blocks) + " blocks of tier '" + tier_name(plan.tier) +
                           "' at once, got " + std::to_string(resident));
  const bool grid = plan.tier == Tier::grid;
  const std::size_t exchange = grid ? exchange_bytes(plan.layout, plan.geometry, problem.batch) : 0;
  const std::size_t flags = grid ? std::size_t(plan.blocks) * sizeof(unsigned) : 0;
  const Buffer exchanged(runtime, exchange), flag_words(runtime, flags), status(runtime, grid ? sizeof(unsigned) : 0);
  if (grid) {
    runtime.clear(exchanged.as<void>(), exchange);
    runtime.clear(flag_words.as<void>(), flags);
    runtime.clear(status.as<void>(), sizeof(unsigned));
  }
  params.geometry = plan.geometry;
  params.layout = plan.layout;
  params.exchange = exchanged.as<void>();
  params.flags = flag_words.as<unsigned>();
  params.status = status.as<unsigned>();
  params.wait_limit = wait_limit();
  runtime.launch(kernel->function, shape, &params);
  if (!grid) return;
  unsigned result = 0;
  runtime.copy_out(&result, status.as<void>(), sizeof result);
  runtime.wait();
  if (result == kGaveUp)
    throw CudaError(0, "a block waited for another that never came (FASTRNN_CUDA_TIMEOUT): the launch is lost");
}

void fill(LayerParams& params, const LayerJob& job) {
  const Problem& problem = job.problem;
  params.options = problem.options;
  static_cast<StepTimes<int>&>(params) = job;
  params.hidden = problem.hidden;
  params.order = job.order;
  params.w_hh = job.w_hh;
  params.w_peep = job.w_peep;
  params.h0 = job.h0;
  params.c0 = job.c0;
  params.extension = job.extension;
  params.extension.projection = problem.projection;
  const int forget_gate = cells::describe(problem.kind, problem.options).forget_gate;
  if (forget_gate >= 0) params.extension.gate_bias[forget_gate] = float(problem.forget_bias);
}

/// Rows (t,b) that lie one behind the other.
template <class T>
Rows<T> rows_of(const Problem& problem, T* data, Index row) {
  return {data, problem.batch * row, row};
}

/// W x of all steps, rows (t,b) one behind the other. Where the rows of x lie otherwise, a product for each row of the
/// batch or for each step, whichever are fewer.
void multiply_inputs(Runtime& runtime, const Problem& problem, const ForwardJob& job, int width, float* input) {
  const auto multiply = [&](int rows, const float* x, Index stride, float* out, Index out_stride) {
    runtime.multiply(
        {rows, width, job.inputs, {x, stride}, {job.w_ih, job.inputs, true}, out, out_stride, false, problem.type});
  };
  const int steps = problem.steps, batch = problem.batch;
  if (job.x_row * batch == job.x_step || steps == 1)
    multiply(steps * batch, job.x, job.x_row, input, width);
  else if (batch <= steps)
    for (int b = 0; b < batch; ++b)
      multiply(steps, job.x + b * job.x_row, job.x_step, input + b * width, Index(batch) * width);
  else
    for (int t = 0; t < steps; ++t)
      multiply(batch, job.x + t * job.x_step, job.x_row, input + Index(t) * batch * width, width);
}

}  // namespace

void run_forward(Runtime& runtime, const DeviceSpec& device, const ForwardJob& job, std::optional<Tier> tier) {
  Problem problem = job.problem;
  problem.pass = job.gates != nullptr ? Pass::training : Pass::inference;
  const Plan plan = plan_for(problem, device, tier);
  const int gates = cells::describe(problem.kind, problem.options).gates;
  const int rows = problem.steps * problem.batch, width = gates * problem.hidden;
  const Buffer input(runtime, std::size_t(rows) * std::size_t(width) * sizeof(float));
  multiply_inputs(runtime, problem, job, width, input.as());
  ForwardParams params{};
  fill(params, job);
  params.b_ih = job.b_ih;
  params.b_hh = job.b_hh;
  params.y = {job.y, job.y_step, job.y_row};
  params.gates = job.gates;
  params.c = job.c;
  params.input = input.as();
  params.h_n = job.h_n;
  params.c_n = job.c_n;
  launch_recurrence(runtime, problem, plan, params);
}

void run_backward(Runtime& runtime, const DeviceSpec& device, const BackwardJob& job, std::optional<Tier> tier) {
  Problem problem = job.problem;
  problem.pass = Pass::backward;
  const std::size_t columns = std::size_t(cells::describe(problem.kind, problem.options).dcolumns);
  const std::size_t rows = std::size_t(problem.steps) * std::size_t(problem.batch);
  const Buffer dgates(runtime, rows * columns * std::size_t(problem.hidden) * sizeof(float));
  BackwardParams params{};
  fill(params, job);
  // These are only read here; the structure is shared with the forward pass, which writes them.
  params.y = rows_of(problem, const_cast<float*>(job.y), job.y_row);
  params.gates = const_cast<float*>(job.gates);
  params.c = const_cast<float*>(job.c);
  params.dy = rows_of(problem, job.dy, job.dy_row);
  const Index width = width_of(problem);
  const bool repeats = job.times != nullptr && !problem.zero_output_for_mask && job.dy != nullptr;
  const Buffer folded(runtime, repeats ? rows * std::size_t(width) * sizeof(float) : 0);
  if (repeats) {
    fold_rows(runtime, {params, params.dy, folded.as()});
    params.dy = rows_of(problem, static_cast<const float*>(folded.as()), width);
  }
  params.dh_n = job.dh_n;
  params.dc_n = job.dc_n;
  params.dgates = dgates.as();
  params.dh0 = job.dh0;
  params.dc0 = job.dc0;
  // Without a row there is nothing to plan, but the weights' gradients are zeros.
  if (problem.batch > 0) launch_recurrence(runtime, problem, plan_for(problem, device, tier), params);
  multiply_gradients(runtime, job, params);
}

}  // namespace fastrnn::cuda
