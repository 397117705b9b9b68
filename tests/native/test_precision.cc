// bfloat16 and int8 across instruction sets: against the portable kernels, and, between those of AVX-512 and between
// those of NEON, bit for bit: dot-product instructions compute what the kernels without them do.
#include <algorithm>
#include <cmath>

#include "problem.h"

namespace {

using fastrnn::Precision;
using test::Index;

std::vector<float> run(const std::string& isa, const test::Variant& options, Precision precision, Index inputs,
                       Index hidden, Index batch) {
  fastrnn::set_isa(isa);
  test::Problem<float> problem(options, 3, batch, inputs, hidden, 5);
  problem.forward(*problem.pack({precision, false}));
  return problem.y;
}

void check_sizes(const std::vector<std::string>& isas, const std::string& name, const test::Variant& options,
                 Precision precision, Index inputs, Index hidden, Index batch) {
  const std::string what = name + " precision " + std::to_string(int(precision)) + " H " + std::to_string(hidden) +
                           " B " + std::to_string(batch);
  const std::vector<float> portable = run("portable", options, precision, inputs, hidden, batch);
  std::vector<float> family;
  for (const std::string& isa : isas) {
    const std::vector<float> y = run(isa, options, precision, inputs, hidden, batch);
    double worst = 0;
    for (std::size_t k = 0; k < y.size(); ++k) worst = std::max(worst, std::abs(double(y[k]) - portable[k]));
    // Another order of sums can round one h to the neighbouring value, 2^-8 or 1/127 of it away, and three steps carry
    // it on; what is wrong is off by a tenth and more.
    test::check(worst < 2e-2, isa + " " + what + ": off by " + std::to_string(worst));
    if (isa.rfind("avx512", 0) != 0 && isa.rfind("neon", 0) != 0) continue;
    if (family.empty()) family = y;
    test::check(y == family, isa + " " + what + ": not the bits of the first kernels of as many lanes");
  }
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> isas = test::isas(argc, argv);
  for (const auto& [name, options] : test::variants())
    for (const Precision precision : {Precision::bfloat16, Precision::bfloat16_weights, Precision::int8}) {
      for (const Index hidden : {1, 17, 70})
        for (const Index batch : {1, 7}) check_sizes(isas, name, options, precision, 3, hidden, batch);
      check_sizes(isas, name, options, precision, 530, 33, 2);  // more than one block of int8
    }
  return test::finish("precision");
}
