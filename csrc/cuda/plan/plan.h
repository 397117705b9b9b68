// Which tier computes a layer, with what geometry, and how long a step should take. The launcher runs what this says.
//
// The time is predicted, from the constants in devices.cc and plan.cc; nothing of it has been measured by this project.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "cuda/plan/devices.h"
#include "cuda/plan/problem.h"

namespace fastrnn::cuda {

/// The parts of a step in microseconds; they follow each other.
struct Terms {
  double publish = 0;  // h leaves the block that computed it
  double wait = 0;     // fences, flags and barriers, until what all blocks have published can be read
  double gather = 0;   // all of it arrives
  double product = 0;  // R h: tensor cores, shared memory or the instructions of a warp, whichever takes longest
  double reduce = 0;   // partial sums
  double cell = 0;     // activations, what is fetched and stored for them, and the loop
  double weights = 0;  // Tier::stream, Tier::graph: from L2 or memory
  double launch = 0;   // Tier::graph
  double sum() const { return publish + wait + gather + product + reduce + cell + weights + launch; }
};

struct Plan {
  Tier tier = Tier::graph;
  Geometry geometry{};
  Layout layout{};  // of the tiers whose weights stay on the chip
  int blocks = 0;
  int waves = 1;      // how often the device is filled: blocks that do not fit at once run one after the other
  int registers = 0;  // of a thread, at most
  std::size_t shared_bytes = 0;      // of a block
  std::size_t register_weights = 0;  // bytes of a block
  std::size_t shared_weights = 0;    // bytes of a block
  double flops = 0;                  // of a step, in R h
  double bytes = 0;                  // of a step, between the device's memories and the multiprocessors
  Terms us;                          // of a wave
  double us_per_step() const { return waves * us.sum(); }
};

/// What became of a tier: its best plan, or the reason why there is none.
struct Candidate {
  Tier tier;
  std::optional<Plan> plan;
  std::string reason;  // why it cannot be, or is not the choice; empty for the choice
};

struct Choice {
  Plan plan;
  std::vector<Candidate> candidates;  // all tiers, in the order of Tier
};

constexpr int kTiers = 5;
const char* tier_name(Tier tier);
const char* type_name(Type type);
const char* kind_name(cells::Kind kind);
/// The inverse; throw Error, which lists the names, for any other. An empty tier means the fastest.
Type find_type(const std::string& dtype);
std::optional<Tier> find_tier(const std::string& tier);

/// Whether a kernel exists for this in the project, built or not.
bool is_written(Tier tier, cells::Kind kind, Type type, Pass pass);

/// The fastest tier by prediction, or `forced`. Throws Error if that one cannot be, and CudaError if none can.
Choice choose(const Problem& problem, const DeviceSpec& device, std::optional<Tier> forced = {});

/// The plan of choose(), which is made once for each problem and device.
Plan plan_for(const Problem& problem, const DeviceSpec& device, std::optional<Tier> forced = {});

}  // namespace fastrnn::cuda
