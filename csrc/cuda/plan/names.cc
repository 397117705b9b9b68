// What tiers, types and cells are called.
#include "cuda/plan/plan.h"

namespace fastrnn::cuda {

const char* tier_name(Tier tier) {
  static const char* const names[kTiers] = {"block", "cluster", "grid", "stream", "graph"};
  return names[int(tier)];
}

const char* type_name(Type type) {
  static const char* const names[] = {"float32", "tf32", "bfloat16", "float16"};
  return names[int(type)];
}

Type find_type(const std::string& dtype) {
  std::string names;
  for (const Type type : {Type::float32, Type::tf32, Type::bfloat16, Type::float16}) {
    if (dtype == type_name(type)) return type;
    names += (names.empty() ? "'" : ", '") + std::string(type_name(type)) + "'";
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

const char* kind_name(cells::Kind kind) {
  static const char* const names[] = {
#define FASTRNN_NAME(name, type) #name,
      FASTRNN_CELL_LIST(FASTRNN_NAME)
#undef FASTRNN_NAME
  };
  return names[int(kind)];
}

}  // namespace fastrnn::cuda
