#include "cuda/plan/plan.h"

#include "cuda/plan/counts.h"
#include "cuda/shared/kernel_table.h"

#include <algorithm>
#include <cmath>
#include <iterator>

#include "cuda/shared/product.h"
#include "cuda/shared/steps.h"

namespace fastrnn::cuda {

namespace {

// Constants of all devices in the table. Rates are bytes, or results, per clock and multiprocessor. Clocks of a step
// come from counts.h.
constexpr int kBlockThreads = 256;   // with so many threads in a block each may have 255 registers, the most there are
constexpr int kRegisters = 255;      // CUDA C++ Programming Guide
constexpr double kSharedRate = 128;  // 32 banks of 4 bytes (the same)
constexpr double kSpecialRate = 16;  // exponentials and reciprocals (CUDA C++ Programming Guide, throughput)
constexpr double kSpecialsPerGate = 2;  // an activation is an exponential and a reciprocal
constexpr double kMostBytes = 1 << 20;  // more than the weights that any block could hold
// Assumed, not measured.
constexpr double kGraphNode = 1.5;  // microseconds between two kernels of a graph
constexpr double kGemmShare =
    0.5;  // the share of the peak that the project's own product reaches, whose tiles a small batch does not fill

Products products_of(const cells::Description& cell, Pass pass) {
  return pass == Pass::backward ? backward_products(cell) : forward_products(cell);
}

std::string kibibytes(double bytes) { return std::to_string(std::llround(bytes / 1024)) + " KB"; }

std::string microseconds(double us) {
  std::string text = std::to_string(us);
  return text.substr(0, text.find('.') + 3) + " us";
}

/// Elements of the recurrent matrices, which have to fit on the chip.
double matrix_elements(const Products& products, int hidden) {
  double elements = 0;
  for (int p = 0; p < products.phases; ++p)
    elements += double(products.slab_rows[p]) * products.sources[p] * double(hidden) * double(hidden);
  return elements;
}

/// What Tier::graph multiplies at a step, and the kernels that it launches.
struct StepProducts {
  double elements = 0;  // elements of the matrices
  int nodes = 0;
};

StepProducts step_products(const Problem& problem, const cells::Description& cell) {
  const bool backward = problem.pass == Pass::backward;
  const double h = problem.hidden, p = problem.projection > 0 ? problem.projection : h;
  StepProducts products;
  const auto add = [&](cells::Matrix matrix) { products.elements += matrix == cells::Matrix::w_peep ? h * h : h * p; };
  for (int i = 0; i < (backward ? cell.back_phases : cell.phases); ++i) {
    const int sources = backward ? cell.back[i].sources : cell.phase[i].sources;
    products.nodes += 1 + (backward && sources > 0 ? 1 : sources);
    for (int s = 0; s < sources; ++s) {
      if (backward) {
        add(cell.back[i].source[s].matrix);
        continue;
      }
      for (int g = 0; g < cell.phase[i].gates; ++g)
        if (cell.phase[i].source[s].block[g] >= 0) add(cell.phase[i].source[s].matrix);
    }
  }
  return products;
}

/// Slices of the operand that all warps multiply, those of empty tasks among them.
struct Slices {
  int registers = 0, shared = 0, chain = 0;  // chain: slices that one warp has one after the other
};

CountedTerm cell_clocks(cells::Kind kind, Pass pass) {
#define FASTRNN_KIND(name) cells::Kind::name,
  constexpr cells::Kind kKinds[] = {FASTRNN_RESIDENT_CELLS(FASTRNN_KIND)};
#undef FASTRNN_KIND
  static_assert(sizeof kKinds / sizeof *kKinds == sizeof kCellClocks / sizeof *kCellClocks);
  const auto* found = std::find(std::begin(kKinds), std::end(kKinds), kind);  // Tier::graph never asks for the others
  return kCellClocks[found - kKinds].pass[int(pass)];
}

Slices slices_of(const Layout& layout, int phases, int warps) {
  Slices slices;
  for (int p = 0; p < phases; ++p) {
    slices.registers += warps * layout.cut[p].register_slices;
    slices.shared += warps * layout.cut[p].shared_slices;
    slices.chain += layout.cut[p].register_slices + layout.cut[p].shared_slices;
  }
  return slices;
}

class Planner {
 public:
  Planner(const Problem& problem, const DeviceSpec& device)
      : problem_(problem),
        device_(device),
        cell_(cells::describe(problem.kind, problem.options)),
        products_(products_of(cell_, problem.pass)),
        shape_(task_shape(problem.type)) {}

  Candidate candidate(Tier tier) const {
    Candidate found{tier, {}, {}};
    const std::string beyond = beyond_plain(problem_);
    if (tier <= Tier::grid && !beyond.empty()) {
      found.reason = "of the kernels that keep weights on the chip none has " + beyond;
    } else if (!is_written(tier, problem_.kind, problem_.type, problem_.pass)) {
      found.reason = "there is no such kernel";
    } else if (tier == Tier::graph) {
      found.plan = graph();
    } else if (tier == Tier::cluster && device_.cluster == 1 && device_.major >= 9) {
      found.reason = "expected kernels for compute_90 or later in this build, got those for compute_" +
                     std::to_string(device_.image) + " (the CMake variable FASTRNN_CUDA_TARGETS)";
    } else if (tier == Tier::cluster && device_.cluster == 1) {
      found.reason = "expected a device with clusters (sm_90 or later), got sm_" + std::to_string(device_.major) +
                     std::to_string(device_.minor);
    } else {
      search(tier, found);
    }
    return found;
  }

 private:
  /// Tries every way to share the units and the batch; keeps the fastest that fits.
  void search(Tier tier, Candidate& found) const {
    const double matrix = matrix_elements(products_, problem_.hidden) * shape_.element;
    const int most = std::min(most_members(tier), problem_.hidden);
    for (int rows = 1; matrix / most < kMostBytes; rows *= 2) {
      rows = std::min(rows, problem_.batch);
      if (double(rows) * problem_.hidden * shape_.element > device_.shared) break;
      for (const int wanted : members(tier, divide_up(problem_.batch, rows))) {
        int units = divide_up(problem_.hidden, wanted);
        if (tier == Tier::cluster) units = round_up(units, kPieceBytes / shape_.element);
        // A cluster has the size it has, with idle blocks at its end; a grid has no more blocks than work.
        const int count = tier == Tier::grid ? divide_up(problem_.hidden, units) : wanted;
        const Plan plan = plan_of(tier, {kBlockThreads, count, units, rows});
        if (plan.shared_bytes > std::size_t(device_.shared)) continue;
        if (!found.plan || plan.us_per_step() < found.plan->us_per_step()) found.plan = plan;
      }
      if (rows == problem_.batch) break;
    }
    if (!found.plan)
      found.reason = "weights of " + kibibytes(matrix) + " in " + std::to_string(most) +
                     (most == 1 ? " block do" : " blocks do") + " not fit into their registers and " +
                     kibibytes(device_.shared) + " of shared memory each, beside the rows of a step";
  }

  int most_members(Tier tier) const {
    return tier == Tier::block ? 1 : tier == Tier::cluster ? device_.cluster : device_.processors;
  }

  std::vector<int> members(Tier tier, int groups) const {
    if (tier == Tier::block) return {1};
    if (tier == Tier::grid) {
      const int each = device_.processors / groups;  // all blocks must be resident at once
      return each > 0 ? std::vector<int>{each} : std::vector<int>{};
    }
    std::vector<int> sizes;
    for (int size = 2; size <= device_.cluster; size *= 2) sizes.push_back(size);
    return sizes;
  }

  Plan plan_of(Tier tier, const Geometry& geometry) const {
    const Layout layout = layout_of(cell_, problem_.pass, problem_.type, tier, geometry, problem_.hidden);
    const int warps = geometry.threads / 32;
    const Slices slices = slices_of(layout, products_.phases, warps);
    Plan plan;
    plan.tier = tier;
    plan.geometry = geometry;
    plan.layout = layout;
    plan.blocks = geometry.blocks(problem_.batch);
    plan.waves = divide_up(plan.blocks, device_.processors / geometry.members * geometry.members);
    plan.registers = kRegisters;
    plan.shared_bytes = std::size_t(layout.total);
    const double slice_bytes = shape_.words * 32 * 4;
    plan.register_weights = std::size_t(slices.registers * slice_bytes);
    plan.shared_weights = std::size_t(slices.shared * slice_bytes);
    plan.flops = 2 * matrix_elements(products_, problem_.hidden) * problem_.batch;
    exchange(plan, layout);
    multiply(plan, layout, slices);
    finish(plan, layout);
    return plan;
  }

  double us(double clocks) const { return clocks / (device_.clock * 1e3); }

  void exchange(Plan& plan, const Layout& layout) const {
    const Geometry& geometry = plan.geometry;
    const int phases = products_.phases;
    // Backward, a unit publishes the gradient of every gate.
    const double published =
        double(layout.gathered) * geometry.units / problem_.hidden * geometry.rows * shape_.element;
    const double gathered = double(layout.gathered) * geometry.rows * shape_.element;
    plan.us.wait = us(phases * kExchangeClocks[int(plan.tier)]);
    if (plan.tier == Tier::block) {
      plan.us.publish = us(published / kSharedRate);
    } else if (plan.tier == Tier::cluster) {
      plan.us.publish = us(published * geometry.members / device_.cluster_rate);
    } else {
      plan.us.gather = us(gathered / device_.l2_rate);  // its latency is part of plan.us.wait
      plan.bytes += plan.blocks * (published + gathered);
    }
    plan.bytes += double(problem_.batch) * problem_.hidden * 4 * per_unit_floats();
  }

  /// Elements of the cell that a thread computes.
  static int each_thread(const Plan& plan, const Layout& layout) {
    return divide_up(layout.elements, plan.geometry.threads);
  }

  /// Floats that a step reads or writes for each unit and row, beside the exchange.
  double per_unit_floats() const {
    if (problem_.pass == Pass::backward) return cell_.columns + 2 * cell_.c_states + 2 + cell_.dcolumns;
    const double kept = problem_.pass == Pass::training ? cell_.columns + cell_.c_states : 0;
    return cell_.gates + 1 + kept;
  }

  void multiply(Plan& plan, const Layout& layout, const Slices& slices) const {
    const int tiles = layout.batch_rows / shape_.batch_rows;
    const double all = double(slices.registers + slices.shared) * tiles;
    const double work = all * shape_.slab_rows * shape_.batch_rows * shape_.depth;
    const double operand = all * shape_.batch_rows * shape_.depth * shape_.element;
    const double weights = double(slices.shared) * tiles * shape_.words * 32 * 4;
    const bool tensor = problem_.type != Type::float32;
    const double rate = !tensor                       ? device_.fma_rate
                        : problem_.type == Type::tf32 ? device_.tensor_rate / 2
                                                      : device_.tensor_rate;
    const CountedTerm& counted = kProductClocks[int(problem_.type)];
    const double chain = products_.phases * counted.first + double(slices.chain) * tiles * counted.each;
    plan.us.product = us(std::max({work / rate, (operand + weights) / kSharedRate, chain}));
  }

  void finish(Plan& plan, const Layout& layout) const {
    double sums = 0;
    int chunks = 0;
    for (int p = 0; p < products_.phases; ++p) {
      sums += double(layout.cut[p].chunks) * layout.batch_rows * layout.cut[p].tiles * shape_.slab_rows * 4;
      chunks += layout.cut[p].chunks;
    }
    const CountedTerm counted = cell_clocks(problem_.kind, problem_.pass);
    const double turns = each_thread(plan, layout);
    plan.us.reduce = us(std::max(2 * sums / kSharedRate, turns * chunks * counted.each));
    const double specials = double(layout.elements) * (cell_.gates + cell_.c_states) * kSpecialsPerGate;
    plan.us.cell = us(std::max(specials / kSpecialRate, turns * counted.first));
  }

  /// The products and the cell kernel of each phase of each step.
  Plan graph() const {
    Plan plan;
    plan.tier = Tier::graph;
    plan.geometry = {kStepThreads, 1, problem_.hidden, problem_.batch};
    plan.blocks = divide_up(problem_.hidden * problem_.batch, kStepThreads);
    plan.registers = kRegisters;
    const StepProducts products = step_products(problem_, cell_);
    const double weights = products.elements * 4;  // float32 in memory, rounded as they are read
    const double l2 = device_.l2_rate * device_.processors * device_.clock * 1e3;  // bytes a microsecond
    const bool resident = weights <= device_.l2_bytes / 2;  // the other half of L2 is for data that is read once
    plan.flops = 2 * products.elements * problem_.batch;
    plan.bytes = weights + double(problem_.batch) * problem_.hidden * 4 * (per_unit_floats() + 2 * cell_.gates);
    plan.us.weights = weights / (resident ? l2 : device_.memory_rate * 1e3);
    const double columns = round_up(problem_.batch, kProductTile);
    plan.us.product = us(products.elements * columns / (device_.fma_rate * device_.processors * kGemmShare));
    plan.us.launch = products.nodes * kGraphNode;
    return plan;
  }

  const Problem& problem_;
  const DeviceSpec& device_;
  cells::Description cell_;
  Products products_;
  TaskShape shape_;
};

}  // namespace

bool is_written(Tier tier, cells::Kind kind, Type, Pass) {
  if (tier == Tier::graph) return true;
  return is_resident(kind) && tier <= Tier::grid;
}

Choice choose(const Problem& problem, const DeviceSpec& device, std::optional<Tier> forced) {
  const Planner planner(problem, device);
  Choice choice;
  const Candidate* best = nullptr;
  for (int t = 0; t < kTiers; ++t) choice.candidates.push_back(planner.candidate(Tier(t)));
  for (const Candidate& candidate : choice.candidates) {
    if (!candidate.plan || (forced && candidate.tier != *forced)) continue;
    if (best == nullptr || candidate.plan->us_per_step() < best->plan->us_per_step()) best = &candidate;
  }
  if (best == nullptr) {
    if (forced)
      throw Error("tier: expected one that can run this, got '" + std::string(tier_name(*forced)) +
                  "': " + choice.candidates[int(*forced)].reason);
    std::string reasons;
    for (const Candidate& candidate : choice.candidates)
      reasons += std::string(reasons.empty() ? "" : "; ") + tier_name(candidate.tier) + ": " + candidate.reason;
    throw CudaError(0, "no CUDA kernel can run this: " + reasons);
  }
  for (Candidate& candidate : choice.candidates)
    if (candidate.plan && &candidate != best)
      candidate.reason = "predicted " + microseconds(candidate.plan->us_per_step()) + " a step, against " +
                         microseconds(best->plan->us_per_step()) + (forced ? ", which was asked for" : "");
  choice.plan = *best->plan;
  return choice;
}

}  // namespace fastrnn::cuda
