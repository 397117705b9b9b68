#include "core/forward_threads.h"

#include "core/forward_rows.h"
#include "core/forward_units.h"

namespace fastrnn {

namespace {

/// Below about 100 us, waking a worker costs more than it gains; above about 10 ms, a stopped worker costs less than
/// copies would.
constexpr double kWorthThreads = 8e6;
constexpr double kWorthWaiting = 8e8;
/// Of a step, that several threads share: some microseconds, against some hundred nanoseconds for the barrier.
constexpr double kWorthSharing = 2e5;
/// Rows that a thread computes nearly as fast, each, as more of them.
constexpr Index kFewRows = 4;

template <class T>
double flops(const PackedData<T>& packed, Index inputs, double rows) {
  return 2.0 * packed.cell.gates * double(packed.hidden) * double(inputs + packed.hidden) * rows;
}

}  // namespace

template <class T>
bool run_on_threads(const std::shared_ptr<const PackedData<T>>& packed, const ForwardArguments<T>& arguments,
                    const Layer<T>& layer, const ForwardPlan<T>& plan) {
  const int wanted = arguments.threads > 0 ? arguments.threads : num_threads();
  if (wanted == 1) return false;
  double steps = 0;
  for (Index b = 0; b < layer.batch; ++b) steps += double(layer.length[b]);
  const double work = flops(*packed, layer.inputs, steps);
  if (work < kWorthThreads) return false;

  const bool few = layer.rows < kFewRows * wanted;
  const bool simple = is_simple(layer) && plan.checkpoints == nullptr;
  const bool one_phase = layer.cell.phases == 1;  // two would hand on more than h and c
  if (few && simple && one_phase && flops(*packed, 0, double(layer.rows)) >= kWorthSharing) {
    Team team(wanted);
    if (team.threads() == 1) return false;
    run_units(team, packed, arguments, layer, plan.saving);
    return true;
  }
  if (layer.rows < 2) return false;
  Team team(int(std::min<Index>(wanted, layer.rows)));
  if (team.threads() == 1) return false;
  const Index slices = std::min(layer.rows, team.threads() * std::max<Index>(1, layer.rows / (6 * kFewRows * wanted)));
  const std::vector<Index> first = cut_rows(layer, slices);
  if (plan.saving || !simple || work > kWorthWaiting)
    team.run(std::make_shared<RowsInPlace<T>>(*packed, arguments, layer, plan, first));
  else
    team.run(std::make_shared<RowsCopied<T>>(packed, arguments, layer, first));
  return true;
}

template bool run_on_threads(const std::shared_ptr<const PackedData<float>>&, const ForwardArguments<float>&,
                             const Layer<float>&, const ForwardPlan<float>&);
template bool run_on_threads(const std::shared_ptr<const PackedData<double>>&, const ForwardArguments<double>&,
                             const Layer<double>&, const ForwardPlan<double>&);

}  // namespace fastrnn
