// What forward() would do with a call, answered by the functions that forward() itself asks.
#include "core/backend/dispatch.h"
#include "core/backend/options.h"
#include "core/base/choice.h"
#include "core/layer/forward_threads.h"
#include "fastrnn/plan.hpp"

namespace fastrnn {

namespace {

template <class T>
CpuPlan plan(const PlanQuery& query, Precision precision, int threads) {
  Parameters<T> none;
  none.inputs = query.inputs;
  none.hidden = query.hidden;
  PackOptions pack_options;
  pack_options.precision = precision;
  check_options(query.cell, none, pack_options);
  const Backend& backend = current_backend();
  const KernelTable<T>& kernels = backend.table<T>();
  PackedData<T> packed{};
  packed.options = query.cell;
  packed.pack_options = pack_options;
  packed.cell_options = cell_options(query.cell, none, pack_options, kernels);
  packed.cell_options.peephole = query.cell.peephole;
  packed.kind = cells::kind_of(query.cell.cell, packed.cell_options);
  packed.cell = cells::describe(packed.kind, packed.cell_options);
  packed.backend = &backend;
  packed.inputs = query.inputs;
  packed.hidden = packed.state = query.hidden;
  packed.padded = (query.hidden + kernels.lanes - 1) / kernels.lanes * kernels.lanes;
  const bool general = cells::needs_general(packed.cell_options, packed.kind);
  const bool simple = packed.cell.c_states <= 1 && !packed.cell_options.layer_norm;
  const Sharing sharing =
      share({packed.cell.gates, packed.cell.phases, query.inputs, query.hidden, query.batch,
             double(query.batch) * double(query.steps), simple, query.training, threads > 0 ? threads : num_threads()});
  static const char* const splits[] = {"one thread", "units", "rows, copied", "rows in place"};
  CpuPlan result;
  result.kernel = std::string(backend.name) + " " + query.dtype + (query.training ? ", training" : ", inference") +
                  (general ? ", general form" : "");
  result.split = splits[int(sharing.split)];
  result.reason = sharing.reason;
  result.threads = sharing.threads;
  result.chunk = query.steps == 0                   ? 0
                 : joins_input(packed, query.batch) ? 1
                                                    : chunk_steps(packed, query.steps, query.batch);
  double matrices = 0;
  for (int p = 0; p < packed.cell.phases; ++p)
    for (int s = 0; s < packed.cell.phase[p].sources; ++s)
      for (int g = 0; g < packed.cell.phase[p].gates; ++g) matrices += packed.cell.phase[p].source[s].block[g] >= 0;
  const double element = double(sizeof(T)) / kernels.forward[int(precision)]->terms;
  result.weight_bytes = std::size_t(matrices * double(query.hidden) * double(packed.padded) * element);
  result.flops_per_step = 2.0 * double(query.batch) * double(query.hidden) *
                          (matrices * double(query.hidden) + packed.cell.gates * double(query.inputs));
  return result;
}

}  // namespace

CpuPlan plan_cpu(const PlanQuery& query, int threads) {
  const std::size_t index =
      find_choice("dtype", query.dtype, kWeightsDtypes, [](const WeightsDtype& one) { return one.name; });
  const WeightsDtype& dtype = kWeightsDtypes[index];
  if (query.training && dtype.precision != Precision::full)
    throw Error("dtype: expected 'float32' or 'float64' for training, got '" + query.dtype + "'");
  return dtype.is_double ? plan<double>(query, dtype.precision, threads) : plan<float>(query, dtype.precision, threads);
}

}  // namespace fastrnn
