// Several callers share one Weights and one Saved: same bits, and nothing for ThreadSanitizer to report.
#include <thread>

#include "problem.h"

int main() {
  for (const auto& [name, options] : test::variants()) {
    test::Problem<float> problem(options, 6, 5, 4, 19, 5);
    const auto weights = problem.pack();
    problem.forward(*weights);
    const fastrnn::Saved<float> saved(weights, problem.arguments());
    problem.backward(saved);
    std::vector<test::Problem<float>> twins(3, problem);
    std::vector<std::thread> threads;
    for (auto& twin : twins)
      threads.emplace_back([&twin, &weights = *weights, &saved] {
        for (int round = 0; round < 3; ++round) {
          twin.backward(saved);
          twin.forward(weights);
        }
      });
    for (auto& thread : threads) thread.join();
    for (const auto& twin : twins)
      test::check(twin.y == problem.y && twin.dw_hh == problem.dw_hh && twin.dx == problem.dx,
                  name + ": a concurrent caller got another result");
  }
  return test::finish("threads");
}
