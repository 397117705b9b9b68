// Plans that have been made, for the next call.
#include <map>
#include <mutex>
#include <tuple>

#include "cuda/plan/plan.h"

namespace fastrnn::cuda {

Plan plan_for(const Problem& problem, const DeviceSpec& d, std::optional<Tier> forced) {
  constexpr std::size_t kMost = 4096;
  using Key = std::tuple<std::string, std::string, int, int, int, int, int, int>;
  static std::mutex mutex;
  static std::map<Key, Plan> plans;
  const Key key = {key_of(problem), d.name,   d.major,   d.minor,
                   d.processors,    d.shared, d.cluster, forced ? int(*forced) : -1};
  const std::lock_guard<std::mutex> lock(mutex);
  const auto known = plans.find(key);
  if (known != plans.end()) return known->second;
  if (plans.size() >= kMost) plans.clear();
  return plans.emplace(key, choose(problem, d, forced).plan).first->second;
}

}  // namespace fastrnn::cuda
