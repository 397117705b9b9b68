// Central finite differences, in float64, of every input and parameter of every variant on every instruction set; and
// the float32 kernels against the float64 ones. Sizes are small and odd: tails, single rows, ragged and reversed rows.
#include "problem.h"

namespace {

using test::Index;

void check_tensor(const std::string& what, test::Problem<double>& problem, std::vector<double>& values,
                  const std::vector<double>& gradient) {
  const double step = 1e-6;
  double worst = 0, norm = 0;
  for (std::size_t k = 0; k < values.size(); ++k) {
    const double kept = values[k];
    values[k] = kept + step;
    const double above = problem.loss();
    values[k] = kept - step;
    const double below = problem.loss();
    values[k] = kept;
    const double numeric = (above - below) / (2 * step);
    worst = std::max(worst, std::abs(numeric - gradient[k]));
    norm = std::max(norm, std::abs(numeric));
  }
  // 1e-6 relative to the largest element; differences of sums of ~100 terms carry about 1e-9 of rounding.
  test::check(worst <= 1e-6 * std::max(norm, 1e-2), what + ": worst " + std::to_string(worst / norm));
}

/// How a sequence is run.
struct Run {
  const char* name;
  std::vector<Index> lengths;
  bool reverse = false;
  bool resets = false;
  Index checkpoint_every = 0;
};

void check_variant(const std::string& name, const test::Variant& options, const Run& run) {
  test::Problem<double> problem(options, 3, 2, 2, 3, 7);
  problem.lengths = run.lengths;
  problem.reverse = run.reverse;
  problem.checkpoint_every = run.checkpoint_every;
  if (run.resets) problem.reset_mask = {0, 1, 1, 0, 0, 0};
  problem.train();
  const test::Problem<double> g = problem;
  const auto check = [&](const char* tensor, std::vector<double>& values, const std::vector<double>& gradient) {
    check_tensor(name + " " + run.name + " " + tensor, problem, values, gradient);
  };
  check("x", problem.x, g.dx);
  check("h0", problem.h0, g.dh0);
  check("c0", problem.c0, g.dc0);
  check("w_ih", problem.w_ih, g.dw_ih);
  check("w_hh", problem.w_hh, g.dw_hh);
  check("b_ih", problem.b_ih, g.db_ih);
  check("b_hh", problem.b_hh, g.db_hh);
  check("w_peep", problem.w_peep, g.dw_peep);
  check("w_hr", problem.w_hr, g.dw_hr);
  check("ln_ih", problem.ln_ih, g.dln_ih);
  check("ln_hh", problem.ln_hh, g.dln_hh);
  check("ln_c", problem.ln_c, g.dln_c);
}

/// float32 against float64 on sizes with every kind of tail.
void check_sizes(const std::string& name, const test::Variant& options) {
  for (const Index hidden : {1, 5, 17, 33})
    for (const Index batch : {1, 2, 7, 13}) {
      test::Problem<float> single(options, 4, batch, 3, hidden, 11);
      test::Problem<double> twin(options, 4, batch, 3, hidden, 11);
      single.train();
      twin.train();
      double worst = 0;
      for (std::size_t k = 0; k < twin.y.size(); ++k)
        worst = std::max(worst, std::abs(double(single.y[k]) - twin.y[k]));
      for (std::size_t k = 0; k < twin.dx.size(); ++k)
        worst = std::max(worst, std::abs(double(single.dx[k]) - twin.dx[k]) / 8);
      test::check(worst < 5e-6, name + " float32, H " + std::to_string(hidden) + " B " + std::to_string(batch) +
                                    ": worst " + std::to_string(worst));
    }
}

}  // namespace

int main(int argc, char** argv) {
  for (const std::string& isa : test::isas(argc, argv)) {
    fastrnn::set_isa(isa);
    for (const auto& [name, options] : test::variants()) {
      const std::vector<Index> ragged = {1, 3};
      for (const Run& run : {Run{"", {}}, Run{"ragged", ragged}, Run{"ragged reversed", ragged, true},
                             Run{"resets", {}, false, true}, Run{"checkpoints", ragged, false, false, 2}})
        check_variant(isa + " " + name, options, run);
      check_sizes(isa + " " + name, options);
    }
  }
  return test::finish("gradients");
}
