#include "core/layer/forward_threads.h"

#include "core/layer/forward_rows.h"
#include "core/layer/forward_units.h"

namespace fastrnn {

Sharing share(const SharedWork& work) {
  if (work.threads == 1) return {Split::none, 1, "one thread was asked for"};
  const double by_row = 2.0 * work.gates * double(work.hidden);
  const double flops = by_row * double(work.inputs + work.hidden) * work.row_steps;
  if (flops < kWorthThreads) return {Split::none, 1, "waking a worker costs more than a call this short"};
  const bool few = work.rows < kFewRows * work.threads;
  const bool worth = by_row * double(work.hidden) * double(work.rows) >= kWorthSharing;
  if (few && work.simple && work.phases == 1 && worth)  // with two phases threads would exchange more than h and c
    return {Split::units, work.threads, "few rows: threads share the units of every step"};
  if (work.rows < 2)
    return {Split::none, 1,
            worth ? "one row, of a cell or run whose steps cannot be shared"
                  : "one row, and its steps are too short to share"};
  const int threads = int(std::min<Index>(work.threads, work.rows));
  if (work.training || !work.simple || flops > kWorthWaiting)
    return {Split::rows_in_place, threads, "rows are independent, and copies would cost more than a stopped worker"};
  return {Split::rows_copied, threads,
          "rows are independent, and the call is so short that a stopped worker would show"};
}

template <class T>
bool run_on_threads(const std::shared_ptr<const PackedData<T>>& packed, const ForwardArguments<T>& arguments,
                    const Layer<T>& layer, const ForwardPlan<T>& plan) {
  const int wanted = arguments.threads > 0 ? arguments.threads : num_threads();
  if (wanted == 1) return false;
  double steps = 0;
  for (Index b = 0; b < layer.batch; ++b) steps += double(layer.length[b]);
  const bool simple = is_simple(layer) && plan.checkpoints == nullptr;
  const Sharing sharing = share({packed->cell.gates, layer.cell.phases, layer.inputs, packed->hidden, layer.rows, steps,
                                 simple, plan.saving, wanted});
  if (sharing.split == Split::none) return false;
  Team team(sharing.threads);
  if (team.threads() == 1) return false;
  if (sharing.split == Split::units) {
    run_units(team, packed, arguments, layer, plan.saving);
    return true;
  }
  const Index slices = std::min(layer.rows, team.threads() * std::max<Index>(1, layer.rows / (6 * kFewRows * wanted)));
  const std::vector<Index> first = cut_rows(layer, slices);
  if (sharing.split == Split::rows_in_place)
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
