// What tiers, types and cells are called.
#include "core/base/choice.h"
#include "cuda/plan/plan.h"

namespace fastrnn::cuda {

namespace {

constexpr const char* kTierNames[kTiers] = {"block", "cluster", "grid", "stream", "graph"};
constexpr const char* kTypeNames[] = {"float32", "tf32", "bfloat16", "float16"};

}  // namespace

const char* tier_name(Tier tier) { return kTierNames[int(tier)]; }
const char* type_name(Type type) { return kTypeNames[int(type)]; }

Type find_type(const std::string& dtype) { return Type(find_choice("dtype", dtype, kTypeNames, " on a GPU")); }

std::optional<Tier> find_tier(const std::string& tier) {
  if (tier.empty()) return {};
  return Tier(find_choice("tier", tier, kTierNames));
}

const char* kind_name(cells::Kind kind) {
  static const char* const names[] = {
#define FASTRNN_NAME(name, type) #name,
      FASTRNN_CELL_LIST(FASTRNN_NAME)
#undef FASTRNN_NAME
  };
  return names[int(kind)];
}

}  // namespace fastrnn::cuda
