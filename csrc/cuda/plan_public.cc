// The planner in the words of the public interface.
#include <array>

#include "core/options.h"
#include "cuda/plan.h"
#include "fastrnn/plan.hpp"

namespace fastrnn {

namespace {

using namespace cuda;

constexpr std::array<std::pair<const char*, Type>, 4> kTypes = {
    {{"float32", Type::float32}, {"tf32", Type::tf32}, {"bfloat16", Type::bfloat16}, {"float16", Type::float16}}};

Type find_type(const std::string& dtype) {
  std::string names;
  for (const auto& [name, type] : kTypes) {
    if (dtype == name) return type;
    names += (names.empty() ? "'" : ", '") + std::string(name) + "'";
  }
  throw Error("dtype: expected one of " + names + " on a GPU, got '" + dtype + "'");
}

std::optional<Tier> find_tier(const std::string& tier) {
  if (tier.empty()) return {};
  std::string names;
  for (int t = 0; t < kTiers; ++t) {
    if (tier == tier_name(Tier(t))) return Tier(t);
    names += (names.empty() ? "'" : ", '") + std::string(tier_name(Tier(t))) + "'";
  }
  throw Error("tier: expected one of " + names + ", got '" + tier + "'");
}

DeviceSpec find_device(const std::string& name) {
  if (name.rfind("cuda", 0) != 0) return device_spec(name);
  const int ordinal = parse_cuda_device(name);
  require_cuda_device(ordinal);
  return device_spec(cuda_status().devices[std::size_t(ordinal)]);
}

}  // namespace

CudaPlan plan_cuda(const PlanQuery& query, const std::string& device, bool backward, const std::string& tier) {
  Problem problem;
  problem.options.peephole = static_cast<cells::Peephole>(query.cell.peephole);
  problem.options.peephole_current = query.cell.peephole_current;
  problem.options.coupled = query.cell.coupled;
  problem.kind = kind_of(query.cell, problem.options);
  problem.type = find_type(query.dtype);
  problem.pass = backward ? Pass::backward : query.training ? Pass::training : Pass::inference;
  problem.hidden = int(query.hidden);
  problem.batch = int(query.batch);
  problem.steps = int(query.steps);
  const DeviceSpec spec = find_device(device);
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
