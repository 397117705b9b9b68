// Every recurrence kernel against the float64 reference. The tier is the argument; `full` runs every size.
#include <cstring>

#include "recurrence.h"

namespace {

using namespace test;
namespace emulation = fastrnn::cuda::emulation;

int runs = 0, failures = 0;

/// A result's error comes from T steps of sums of H products. On tensor cores an operand may round the other way
/// where float32 and float64 differ: one place, 2^-7 or 2^-10, of an element of 1 or 2, met by a weight of some tenths.
double tolerance(Type type, const Shape& shape) {
  const double float32 = 2e-7 * (8 + shape.steps);
  return type == Type::float32 ? float32 : float32 + (type == Type::bfloat16 ? 4e-3 : 5e-4);
}

const char* name(Type type) {
  static const char* const names[] = {"float32", "tf32", "bfloat16", "float16"};
  return names[int(type)];
}

template <class Cell, class Format>
void check(const char* cell, Problem& problem, const Run& run, const std::string& what) {
  Kernels<Cell, Format> kernels(problem, run);
  ++runs;
  std::string error;
  try {
    const unsigned status = kernels.run();
    const Failure failure = kernels.compare();
    if (status != 0)
      error = "status " + std::to_string(status);
    else if (!(failure.worst <= tolerance(Format::kType, problem.shape)))
      error = failure.where;
  } catch (const emulation::Error& e) {
    error = e.what();
  }
  if (error.empty()) return;
  ++failures;
  std::fprintf(stderr, "FAILED: %s %s %s, %d members of %d units, %d rows: %s\n", cell, name(Format::kType),
               what.c_str(), run.geometry.members, run.geometry.units, run.geometry.rows, error.c_str());
}

/// How units and rows are shared. Blocks without a unit and rows that do not fill a tile are among them.
template <class Format>
std::vector<Run> runs_of(Tier tier, Shape shape, unsigned choice) {
  const int members = tier == Tier::block ? 1 : int(choice % 3) + 2;
  const int threads = choice % 2 ? 64 : 96;
  Run run;
  run.tier = tier;
  run.geometry = {threads, members, divide_up(shape.hidden, members), std::min(shape.batch, choice % 4 < 2 ? 8 : 5)};
  if (tier == Tier::cluster)
    run.geometry.units = round_up(run.geometry.units, kPieceBytes / int(sizeof(typename Format::Element)));
  run.sorted = choice % 5 != 0;
  return {run};
}

template <class Cell, class Format>
void check_cell(const char* cell, Tier tier, bool full, const cells::Options& options = {}) {
  const int gates = Cell::describe(cells::Options{}).gates;
  unsigned choice = unsigned(gates) + unsigned(Format::kType);
  for (const int hidden : {1, 7, 33, 50, 100, 130})
    for (const int batch : {1, 3, 9, 17})
      for (const bool reverse : {false, true}) {
        ++choice;
        const bool large = hidden > 50 || batch > 9;
        if (!full && choice % (large ? 7 : 3) != 0) continue;
        const Shape shape = {choice % 6 == 0 ? 1 : large ? 3 : 5, batch, 3, hidden};
        Problem problem(shape, gates, choice);
        problem.options = options;
        problem.reverse = reverse;
        if (choice % 2 == 0)
          for (int b = 0; b < batch; ++b) problem.lengths[b] = (b * 7 + int(choice)) % (shape.steps + 1);
        Kernels<Cell, Format>::round(problem);
        problem.run<Cell>();
        const emulation::Order orders[] = {emulation::Order::ascending, emulation::Order::descending,
                                           emulation::Order::random};
        emulation::set_schedule({orders[choice / 2 % 3], choice});
        for (const Run& run : runs_of<Format>(tier, shape, choice))
          check<Cell, Format>(cell, problem, run,
                              "T " + std::to_string(shape.steps) + " B " + std::to_string(batch) + " H " +
                                  std::to_string(hidden) + (reverse ? " reversed" : "") +
                                  (choice % 2 == 0 ? " ragged" : ""));
      }
}

template <class Format>
void check_format(Tier tier, bool full) {
  check_cell<cells::Rnn, Format>("rnn", tier, full);
  check_cell<cells::Lstm, Format>("lstm", tier, full);
  cells::Options options;
  options.peephole = cells::Peephole::diagonal;
  check_cell<cells::Lstm, Format>("lstm with peepholes", tier, full, options);
  options.peephole_current = false;
  options.coupled = true;
  check_cell<cells::Lstm, Format>("lstm coupled", tier, full, options);
  check_cell<cells::GruAfter, Format>("gru after", tier, full);
  check_cell<cells::GruBefore, Format>("gru before", tier, full);
  check_cell<cells::GruOutput, Format>("gru output", tier, full);
}

}  // namespace

int main(int argc, char** argv) {
  const std::string tier_name = argc > 1 ? argv[1] : "";
  const Tier tier = tier_name == "block" ? Tier::block : tier_name == "cluster" ? Tier::cluster : Tier::grid;
  const bool full = argc > 2 && std::strcmp(argv[2], "full") == 0;
  emulation::Device device;
  device.shared_per_block = device.shared_per_processor = 4 << 20;  // sizes beyond a real block's are right, too
  emulation::set_device(device);
  check_format<Float32>(tier, full);
  check_format<Tf32Tensor>(tier, full);
  check_format<Bfloat16Tensor>(tier, full);
  check_format<Float16Tensor>(tier, full);
  std::printf("recurrence, %s: %d runs, %d failed\n", tier_name.c_str(), runs, failures);
  return failures == 0 && runs > 0 ? 0 : 1;
}
