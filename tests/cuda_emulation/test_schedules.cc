// A few recurrence kernels on awkward sizes under many schedules: the small suite that mutants of these kernels
// (mutants.py) meet.
//
// Each size is there for something: units that no block count divides, blocks without a unit, rows that leave a tile
// half empty, rows of no step, one step, weights beyond the registers, more chunks than one.
#include "recurrence.h"

// One cell's kernels alone with FASTRNN_KERNELS_OF=1, 2 or 3: mutants.py compiles no more than it needs.
#ifndef FASTRNN_KERNELS_OF
#define FASTRNN_KERNELS_OF 0
#endif

namespace {

using namespace test;

constexpr bool includes(int cell) { return FASTRNN_KERNELS_OF == 0 || FASTRNN_KERNELS_OF == cell; }

int runs = 0, failures = 0;
bool stop = false;  // at the first failure

struct Case {
  Shape shape;
  Geometry geometry;  // members 1 for the block tier
  std::vector<int> lengths;
  bool reverse, sorted;
};

template <class Cell, class Format>
void check(Tier tier, const Case& c, double tolerance, int seeds, const cells::Options& options = {}) {
  Problem problem(c.shape, Kernels<Cell, Format>::kCell.gates, 17);
  problem.options = options;
  problem.reverse = c.reverse;
  if (!c.lengths.empty()) problem.lengths = c.lengths;
  Kernels<Cell, Format>::round(problem);
  problem.run<Cell>();
  Run run;
  run.tier = tier;
  run.geometry = c.geometry;
  if (tier == Tier::block) run.geometry.members = 1, run.geometry.units = c.shape.hidden;
  if (tier == Tier::cluster)
    run.geometry.units = round_up(run.geometry.units, kPieceBytes / int(sizeof(typename Format::Element)));
  run.sorted = c.sorted;
  for (int seed = 0; seed < seeds; ++seed) {
    const emulation::Order order = seed == 0   ? emulation::Order::ascending
                                   : seed == 1 ? emulation::Order::descending
                                               : emulation::Order::random;
    emulation::set_schedule({order, std::uint64_t(seed)});
    Kernels<Cell, Format> kernels(problem, run);
    ++runs;
    std::string error;
    try {
      const unsigned status = kernels.run();
      const Failure failure = kernels.compare();
      if (status != 0)
        error = "status " + std::to_string(status);
      else if (!(failure.worst <= tolerance))
        error = failure.where;
    } catch (const emulation::Error& e) {
      error = e.what();
    }
    if (error.empty()) continue;
    ++failures;
    std::fprintf(stderr, "FAILED: tier %d, H %d, B %d, T %d, seed %d: %s\n", int(tier), c.shape.hidden, c.shape.batch,
                 c.shape.steps, seed, error.c_str());
    if (stop) std::exit(1);
  }
}

/// A block that never comes must end the launch with an error, not hang it.
void check_lost_block() {
  const Shape shape = {4, 2, 3, 12};
  Problem problem(shape, 4, 1);
  Run run;
  run.tier = Tier::grid;
  run.geometry = {32, 4, 3, 2};
  run.wait_limit = 10'000;  // ten looks at the clock
  run.missing_blocks = 1;
  Kernels<cells::Lstm, Float32> kernels(problem, run);
  ++runs;
  std::string got = "status ";
  try {
    got += std::to_string(kernels.run());
  } catch (const emulation::Error& e) {
    got = e.what();
  }
  if (got == "status " + std::to_string(kGaveUp)) return;
  ++failures;
  std::fprintf(stderr, "FAILED: a block is missing: expected status %u, got %s\n", kGaveUp, got.c_str());
}

/// Nor may one whose bytes never come hang the blocks of its cluster.
void check_lost_bytes() {
  LayerParams params{};
  params.hidden = 8;
  params.geometry = {32, 2, 4, 2};
  params.layout = layout_of(Kernels<cells::Rnn, Float32>::kCell, Pass::inference, Type::float32, Tier::cluster,
                            params.geometry, params.hidden);
  params.wait_limit = 10'000;
  emulation::Launch launch;
  launch.blocks = launch.cluster = 2;
  launch.threads = 32;
  launch.shared = std::size_t(params.layout.total);
  const auto exchange = [&](bool all) {
    emulation::run(launch, [&] {
      Exchange<float, Tier::cluster> exchange(params, shared_memory());
      const RowPlace rows[] = {{0, 2}, {0, 2}};  // the second one is of no block: it is never sent
      exchange.begin();
      if (thread_index() < 4) exchange.publish(exchange.member() * 4 + thread_index(), 1.0f);
      if (all || exchange.member() == 0) {
        exchange.arrive<1>(rows, 1, 0);
        exchange.wait();
      }
      for (int i = 0; i < 8; ++i)
        if (all && exchange.operand()[i] != 1) trap();
      sync_cluster();
    });
  };
  std::string got = "nothing";
  ++runs;
  try {
    exchange(true);
    got = "nothing for the second time";
    exchange(false);
  } catch (const emulation::Error& e) {
    got += ", " + std::string(e.what());
  }
  if (got.rfind("nothing for the second time, trap: block 0", 0) == 0) return;
  ++failures;
  std::fprintf(stderr, "FAILED: bytes are missing: expected a trap of block 0, got %s\n", got.c_str());
}

}  // namespace

int main(int argc, char** argv) {
  const int seeds = argc > 1 ? std::atoi(argv[1]) : 8;
  stop = argc > 2;
  const Case cases[] = {
      {{4, 5, 2, 7}, {64, 3, 3, 4}, {4, 0, 2, 4, 1}, true, true},  // the last block has one unit, the last tile one row
      {{3, 9, 2, 50}, {64, 3, 17, 8}, {}, false, true},            // two tiles of rows, two of the slab
      {{1, 1, 2, 33}, {32, 4, 11, 1}, {}, false, true},            // a block without a unit
      {{3, 3, 2, 9}, {96, 2, 5, 3}, {1, 3, 2}, false, false},      // rows in the order of the batch
      {{3, 2, 1, 300}, {96, 2, 150, 2}, {3, 2}, true, true},       // weights in shared memory, chunks that warps share
  };
  emulation::Device device;
  device.shared_per_block = device.shared_per_processor = 16 << 20;
  emulation::set_device(device);
  cells::Options peepholes;
  peepholes.peephole = cells::Peephole::diagonal;
  for (const Tier tier : {Tier::block, Tier::cluster, Tier::grid})
    for (const Case& c : cases) {
      const int some = c.shape.hidden > 100 ? 1 : seeds;
      if constexpr (includes(1)) check<cells::Lstm, Float32>(tier, c, 3e-6, some, peepholes);
      if constexpr (includes(2)) check<cells::GruBefore, Bfloat16Tensor>(tier, c, 4e-3, some);
      if constexpr (includes(3)) check<cells::GruAfter, Tf32Tensor>(tier, c, 5e-4, some);
    }
  if constexpr (includes(1)) {
    check_lost_block();
    check_lost_bytes();
  }
  std::printf("schedules: %d runs, %d failed\n", runs, failures);
  return failures != 0;
}
