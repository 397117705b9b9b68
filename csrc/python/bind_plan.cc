// fastrnn.plan: which kernel a call would take, as dicts.
#include "fastrnn/plan.hpp"
#include "python/bindings.h"

namespace fastrnn::python {

namespace {

constexpr long long kLargest = 1 << 24;

PlanQuery make_query(const std::string& cell, py::handle inputs, py::handle hidden, py::handle batch, py::handle steps,
                     const std::string& dtype, bool training, const std::string& peephole, const py::dict& options) {
  PlanQuery query;
  query.cell = parse_cell_options(cell, options);
  query.cell.peephole = Peephole(find_choice("peephole", peephole, kPeepholeNames));
  query.hidden = Index(integer("hidden", hidden, 1, kLargest));
  query.inputs = Index(integer("inputs", inputs, 0, kLargest));
  query.batch = Index(integer("batch", batch, 1, kLargest));
  query.steps = Index(integer("steps", steps, 1, 1LL << 40));
  query.dtype = dtype;
  query.training = training;
  return query;
}

py::dict cpu(const PlanQuery& query, py::handle threads) {
  const CpuPlan plan = plan_cpu(query, thread_count(threads));
  py::dict result;
  result["kernel"] = plan.kernel;
  result["split"] = plan.split;
  result["reason"] = plan.reason;
  result["threads"] = plan.threads;
  result["chunk"] = plan.chunk;
  result["weight_bytes"] = plan.weight_bytes;
  result["flops_per_step"] = plan.flops_per_step;
  return result;
}

py::dict gpu(const PlanQuery& query, const std::string& device, bool backward, const std::string& tier) {
  const CudaPlan plan = plan_cuda(query, device, backward, tier);
  py::dict result, terms, reasons;
  for (const auto& [name, us] : plan.terms) terms[name.c_str()] = us;
  for (const auto& [name, reason] : plan.reasons) reasons[name.c_str()] = reason;
  result["device"] = plan.device;
  result["tier"] = plan.tier;
  result["blocks"] = plan.blocks;
  result["cluster"] = plan.cluster;
  result["threads"] = plan.threads;
  result["waves"] = plan.waves;
  result["units"] = plan.units;
  result["rows"] = plan.rows;
  result["registers"] = plan.registers;
  result["shared_memory"] = plan.shared_memory;
  result["register_weights"] = plan.register_weights;
  result["shared_weights"] = plan.shared_weights;
  result["flops_per_step"] = plan.flops_per_step;
  result["bytes_per_step"] = plan.bytes_per_step;
  result["us_per_step"] = plan.us_per_step;
  result["terms"] = terms;
  result["reasons"] = reasons;
  return result;
}

}  // namespace

void bind_plan(py::module_& module) {
  module.def("plan_cpu", [](const std::string& cell, const py::object& inputs, const py::object& hidden,
                            const py::object& batch, const py::object& steps, const std::string& dtype, bool training,
                            const std::string& peephole, const py::dict& options, const py::object& threads) {
    return cpu(make_query(cell, inputs, hidden, batch, steps, dtype, training, peephole, options), threads);
  });
  module.def("plan_cuda",
             [](const std::string& cell, const py::object& inputs, const py::object& hidden, const py::object& batch,
                const py::object& steps, const std::string& dtype, bool training, const std::string& peephole,
                const py::dict& options, const std::string& device, bool backward, const std::string& tier) {
               return gpu(make_query(cell, inputs, hidden, batch, steps, dtype, training, peephole, options), device,
                          backward, tier);
             });
}

}  // namespace fastrnn::python
