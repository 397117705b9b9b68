// Several callers share one Weights and one Saved, each with threads of its own or a session: same bits, and nothing
// for ThreadSanitizer to report.
#include <thread>

#include "fastrnn/pool.hpp"
#include "models.h"

namespace {

using test::Index;

/// Three callers, each with a twin of the problem.
template <class Work>
void check_callers(const std::string& what, const test::Problem<float>& problem, const Work& work) {
  std::vector<test::Problem<float>> twins(3, problem);
  std::vector<std::thread> callers;
  for (auto& twin : twins)
    callers.emplace_back([&twin, &work] {
      for (int round = 0; round < 3; ++round) work(twin);
    });
  for (auto& caller : callers) caller.join();
  for (const auto& twin : twins)
    test::check(twin.y == problem.y && twin.dw_hh == problem.dw_hh && twin.dx == problem.dx,
                what + ": a concurrent caller got another result");
}

/// `threads` for each call: small problems never ask for them.
void check_forward_and_backward(const std::string& what, const test::Variant& options, Index steps, Index batch,
                                Index hidden, int threads) {
  test::Problem<float> problem(options, steps, batch, 4, hidden, 5);
  const auto weights = problem.pack();
  problem.forward(*weights);
  const fastrnn::Saved<float> saved(weights, problem.arguments());
  problem.backward(saved);
  problem.threads = threads;
  check_callers(what, problem, [&](test::Problem<float>& twin) {
    twin.backward(saved);
    if (!options.random()) twin.forward(*weights);  // else y is that of training
  });
}

void check_sessions(fastrnn::Precision precision) {
  test::Problem<float> problem({}, 40, 2, 4, 33, 5);
  fastrnn::PackOptions pack_options;
  pack_options.precision = precision;
  const auto weights = problem.pack(pack_options);
  problem.forward(*weights);
  check_callers("sessions", problem, [&](test::Problem<float>& twin) {
    fastrnn::Session<float> session(weights, twin.batch);
    session.set_state(twin.h0.data(), twin.c0.data());
    const fastrnn::ForwardArguments<float> a = twin.arguments();
    for (Index t = 0; t < twin.steps; ++t) session.step(a.x.at(t, 0), a.y.at(t, 0));
  });
}

/// Threads that share a model of several layers, each with a session, a copy of it, and a pool.
void check_models(const fastrnn::PackOptions& options) {
  constexpr Index kSteps = 40, kInputs = 4;
  const std::shared_ptr<const fastrnn::Model> model = test::load(test::stack_text(kInputs, 17), options);
  const Index outputs = model->outputs();
  std::mt19937 generator(6);
  const auto x = test::random_vector<float>(generator, kSteps * kInputs, 1.0);
  std::vector<float> expected(kSteps * outputs);
  fastrnn::ModelSession(model).run(x.data(), kSteps, expected.data());
  const auto work = [&](std::vector<float>& y) {
    fastrnn::ModelSession session(model);
    fastrnn::StreamPool pool(model, 3, kSteps);
    const auto stream = pool.open();
    for (Index t = 0; t < kSteps / 2; ++t) session.step(x.data() + t * kInputs, y.data() + t * outputs);
    fastrnn::ModelSession copy = session.clone();
    session.run(x.data(), kSteps, y.data() + kSteps * outputs);  // the copy goes on where it was made
    copy.run(x.data() + kSteps / 2 * kInputs, kSteps / 2, y.data() + kSteps / 2 * outputs);
    pool.push(stream, x.data(), kSteps);
    while (pool.advance() > 0) {
    }
    pool.pull(stream, y.data() + kSteps * outputs, kSteps);
  };
  std::vector<std::vector<float>> results(4, std::vector<float>(2 * expected.size()));
  std::vector<std::thread> threads;
  for (auto& y : results) threads.emplace_back([&] { work(y); });
  for (auto& thread : threads) thread.join();
  expected.insert(expected.end(), expected.begin(), expected.end());
  for (const auto& y : results) test::check(y == expected, "models: a thread got another result");
}

}  // namespace

int main() {
  for (const auto& [name, options] : test::variants()) check_forward_and_backward(name, options, 6, 5, 19, 1);
  test::Variant gru;
  gru.cell = fastrnn::CellType::gru;
  check_forward_and_backward("lstm by units", {}, 60, 1, 160, 2);
  check_forward_and_backward("lstm by rows", {}, 30, 16, 50, 3);
  check_forward_and_backward("gru by rows", gru, 40, 16, 50, 2);
  for (const fastrnn::Precision precision : {fastrnn::Precision::full, fastrnn::Precision::int8})
    check_sessions(precision);
  for (const fastrnn::PackOptions& options : test::pack_options()) check_models(options);
  return test::finish("threads");
}
