// What a launch would be given: the planner's choice for a problem, and the bytes of the kernel's parameters. Pointers
// are to nowhere. Only bench/sass runs this.
//
// Usage: case CELL DTYPE H B T DEVICE PASS TIER      PASS: inference, training, backward; TIER: one, or "" for the
// choice prints a line of JSON.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include "cuda/plan/plan.h"
#include "cuda/shared/kernel_table.h"
#include "cuda/shared/params.h"

using namespace fastrnn;
using namespace fastrnn::cuda;

namespace {

/// An address that is not null, another for each array.
template <class T>
T* nowhere() {
  static std::uintptr_t next = 0x700000000000;
  return reinterpret_cast<T*>(next += std::uintptr_t(1) << 32);
}

cells::Kind find_kind(const std::string& name) {
#define FASTRNN_NAMED(kind) \
  if (name == #kind) return cells::Kind::kind;
  FASTRNN_RESIDENT_CELLS(FASTRNN_NAMED)
  std::fprintf(stderr, "cell: got %s\n", name.c_str());
  std::exit(2);
}

void print(const Problem& problem, const Plan& plan, const void* params, std::size_t bytes) {
  const cells::Description cell = cells::describe(problem.kind, problem.options);
  const int phases = problem.pass == Pass::backward ? cell.back_phases : cell.phases;
  int slices = 0, chunks = 0;  // of a warp, of all phases
  for (int p = 0; p < phases; ++p) {
    slices += plan.layout.cut[p].register_slices + plan.layout.cut[p].shared_slices;
    chunks += plan.layout.cut[p].chunks;
  }
  const int tiles = plan.layout.batch_rows / task_shape(problem.type).batch_rows;
  const Terms& us = plan.us;
  std::printf("{\"tier\": \"%s\", \"threads\": %d, \"members\": %d, \"units\": %d, \"rows\": %d, \"blocks\": %d, ",
              tier_name(plan.tier), plan.geometry.threads, plan.geometry.members, plan.geometry.units,
              plan.geometry.rows, plan.blocks);
  std::printf("\"elements\": %d, \"phases\": %d, \"slices\": %d, \"chunks\": %d, \"tiles\": %d, \"waves\": %d, ",
              plan.layout.elements, phases, slices, chunks, tiles, plan.waves);
  std::printf(
      "\"us\": {\"publish\": %f, \"wait\": %f, \"gather\": %f, \"product\": %f, \"reduce\": %f, \"cell\": %f}, ",
      us.publish, us.wait, us.gather, us.product, us.reduce, us.cell);
  std::printf("\"params\": \"");
  for (std::size_t i = 0; i < bytes; ++i) std::printf("%02x", static_cast<const unsigned char*>(params)[i]);
  std::printf("\"}\n");
}

template <class Params>
Params common(const Problem& problem, const Plan& plan) {
  Params p{};
  p.steps = problem.steps;
  p.batch = problem.batch;
  p.hidden = problem.hidden;
  p.options = problem.options;
  p.geometry = plan.geometry;
  p.layout = plan.layout;
  p.w_hh = nowhere<const float>();
  p.h0 = nowhere<const float>();
  p.c0 = nowhere<const float>();
  p.y = {nowhere<float>(), Index(problem.batch) * problem.hidden, problem.hidden};
  if (problem.pass != Pass::inference) {
    p.gates = nowhere<float>();
    p.c = nowhere<float>();
  }
  p.exchange = nowhere<void>();
  p.flags = nowhere<unsigned>();
  p.status = nowhere<unsigned>();
  return p;
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 9) return 2;
  Problem problem{};
  problem.kind = find_kind(arguments[1]);
  if (problem.kind == cells::Kind::gru_before) problem.options.reset = cells::Reset::before;
  if (problem.kind == cells::Kind::gru_output) problem.options.reset = cells::Reset::output;
  problem.type = find_type(arguments[2]);
  problem.hidden = std::atoi(arguments[3]);
  problem.batch = std::atoi(arguments[4]);
  problem.steps = std::atoi(arguments[5]);
  const std::string pass = arguments[7];
  problem.pass = pass == "backward" ? Pass::backward : pass == "training" ? Pass::training : Pass::inference;
  const Plan plan = choose(problem, device_spec(arguments[6]), find_tier(arguments[8])).plan;
  if (problem.pass == Pass::backward) {
    auto p = common<BackwardParams>(problem, plan);
    p.dy = {nowhere<const float>(), Index(problem.batch) * problem.hidden, problem.hidden};
    p.dh_n = nowhere<const float>();
    p.dgates = nowhere<float>();
    p.dh0 = nowhere<float>();
    p.dc0 = nowhere<float>();
    print(problem, plan, &p, sizeof p);
  } else {
    auto p = common<ForwardParams>(problem, plan);
    p.b_ih = nowhere<const float>();
    p.b_hh = nowhere<const float>();
    p.input = nowhere<const float>();
    p.h_n = nowhere<float>();
    p.c_n = nowhere<float>();
    print(problem, plan, &p, sizeof p);
  }
  return 0;
}
