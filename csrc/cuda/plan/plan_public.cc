// The planner in the words of the public interface.
#include "core/backend/options.h"
#include "cuda/plan/devices.h"
#include "cuda/plan/plan.h"
#include "fastrnn/plan.hpp"

namespace fastrnn {

namespace {

using namespace cuda;

const DeviceSpec& find_device(const std::string& name) {
  return name.rfind("cuda", 0) == 0 ? local_device(parse_cuda_device(name)) : device_spec(name);
}

}  // namespace

CudaPlan plan_cuda(const PlanQuery& query, const std::string& device, bool backward, const std::string& tier) {
  Parameters<float> parameters;
  parameters.inputs = query.inputs;
  parameters.hidden = query.hidden;
  check_options(query.cell, parameters, {});
  Problem problem = make_problem(query.cell, parameters, find_type(query.dtype), query.batch, query.steps);
  problem.pass = backward ? Pass::backward : query.training ? Pass::training : Pass::inference;
  const DeviceSpec& spec = find_device(device);
  const Choice choice = choose(problem, spec, find_tier(tier));
  const Plan& plan = choice.plan;
  CudaPlan result;
  result.device = spec.name;
  result.tier = tier_name(plan.tier);
  result.blocks = plan.blocks;
  result.cluster = plan.tier == Tier::cluster ? plan.geometry.members : 1;
  result.threads = plan.geometry.threads;
  result.waves = plan.waves;
  result.units = plan.geometry.units;
  result.rows = plan.geometry.rows;
  result.registers = plan.registers;
  result.shared_memory = plan.shared_bytes;
  result.register_weights = plan.register_weights;
  result.shared_weights = plan.shared_weights;
  result.flops_per_step = plan.flops;
  result.bytes_per_step = plan.bytes;
  result.us_per_step = plan.us_per_step();
  result.terms = {{"publish", plan.us.publish}, {"wait", plan.us.wait},     {"gather", plan.us.gather},
                  {"product", plan.us.product}, {"reduce", plan.us.reduce}, {"cell", plan.us.cell},
                  {"weights", plan.us.weights}, {"launch", plan.us.launch}};
  for (const Candidate& candidate : choice.candidates)
    result.reasons.emplace_back(tier_name(candidate.tier), candidate.reason);
  return result;
}

}  // namespace fastrnn
