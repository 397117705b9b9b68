// Calls that are interrupted at their first, second, third, ... look end with Interrupted, leave sessions and pools as
// they were, and leave weights, saved states and threads usable: what follows has the bits of calls that never were
// interrupted.
#include "core/base/interrupt.h"

#include <algorithm>
#include <thread>

#include "fastrnn/pool.hpp"
#include "fastrnn/stack.hpp"
#include "models.h"

namespace {

using fastrnn::Interrupted;
using fastrnn::Watch;
using test::Index;

/// Looks each time it can, and stops at a look of the test's choice.
class Countdown : public Watch {
 public:
  explicit Countdown(int looks) : Watch{0, false, look_once}, looks_(looks), outer_(fastrnn::exchange_watch(this)) {}
  ~Countdown() { fastrnn::exchange_watch(outer_); }

 private:
  static void look_once(Watch& watch) noexcept {
    auto& self = static_cast<Countdown&>(watch);
    self.left = 0;
    if (self.looks_-- <= 0) self.stopped = true;
  }
  int looks_;
  Watch* const outer_;
};

/// Calls work() with watches that stop it later and later, until one does not; after each, check(). With threads,
/// others may do all the work before the caller looks.
template <class Work, class Check>
void interrupt_everywhere(const std::string& what, int threads, const Work& work, const Check& check) {
  int interruptions = 0;
  for (int looks = 0;; looks += 1 + looks / 2) {
    bool threw = false, stopped;
    {
      const Countdown watch(looks);
      try {
        work();
      } catch (const Interrupted&) {
        threw = true;
      }
      stopped = watch.stopped;
    }
    test::check(!threw || stopped, what + ": Interrupted without a reason");
    check(stopped, threw);
    if (!stopped) break;
    ++interruptions;
  }
  test::check(interruptions > 0 || threads > 1, what + ": was never asked whether to go on");
}

/// For work that throws when it is interrupted.
template <class Work>
void interrupt_call(const std::string& what, int threads, const Work& work) {
  interrupt_everywhere(what, threads, work, [&](bool stopped, bool threw) {
    test::check(stopped == threw, what + ": returned as if nothing were missing");
  });
}

void check_layer(const std::string& what, test::Problem<float> problem) {
  test::Problem<float> expected = problem;
  expected.threads = 1;
  expected.train();
  const bool random = problem.options.random();
  if (!random) expected.forward(*expected.pack());

  interrupt_call(what + ": pack", 1, [&] { problem.pack(); });
  const auto weights = problem.pack();
  if (!random) interrupt_call(what + ": forward", problem.threads, [&] { problem.forward(*weights); });
  if (!random) test::check(problem.y == expected.y && problem.h_n == expected.h_n, what + ": other bits after forward");
  interrupt_call(what + ": training", problem.threads, [&] { fastrnn::Saved<float>(weights, problem.arguments()); });
  const fastrnn::Saved<float> saved(weights, problem.arguments());
  interrupt_call(what + ": backward", problem.threads,
                 [&] { problem.backward(saved); });  // which transposes the weights first
  test::check(problem.dx == expected.dx && problem.dw_hh == expected.dw_hh && problem.dw_ih == expected.dw_ih &&
                  problem.db_hh == expected.db_hh && problem.dh0 == expected.dh0,
              what + ": other bits after backward");
}

void check_layers() {
  for (const auto& [name, variant] : test::variants()) check_layer(name, {variant, 5, 3, 4, 19, 3});
  for (const int threads : {2, 3}) {
    const std::string with = ", " + std::to_string(threads) + " threads";
    const auto check = [&](const char* name, Index steps, Index batch, Index checkpoint_every) {
      test::Problem<float> problem({}, steps, batch, 8, 96, 4);
      problem.threads = threads;
      problem.checkpoint_every = checkpoint_every;
      check_layer(name + with, problem);
    };
    check("rows", 12, 24, 0);
    check("rows, checkpoints", 12, 24, 5);
    check("units", 120, 2, 0);
  }
}

void check_stacks() {
  for (const int directions : {1, 2})
    for (const int threads : {1, 2})
      for (const fastrnn::Merge merge : {fastrnn::Merge::concat, fastrnn::Merge::mul}) {
        if (directions == 1 && merge == fastrnn::Merge::mul) continue;
        constexpr Index kSteps = 60, kBatch = 2, kInputs = 5, kHidden = 64;
        const Index width = merge == fastrnn::Merge::concat ? directions * kHidden : kHidden;
        const std::string what = "stack of " + std::to_string(directions) + " directions, " + std::to_string(threads) +
                                 " threads" + (merge == fastrnn::Merge::mul ? ", mul" : "");
        fastrnn::Stack<float> stack;
        stack.directions = directions;
        stack.merge = merge;
        stack.dropout = 0.25;
        for (int i = 0; i < 2 * directions; ++i)
          stack.weights.push_back(
              test::Problem<float>({}, 1, 1, i < directions ? kInputs : width, kHidden, unsigned(i)).pack());
        std::mt19937 generator(7);
        const auto x = test::random_vector<float>(generator, kSteps * kBatch * kInputs, 1.0);
        std::vector<float> y(kSteps * kBatch * width), h_n(2 * directions * kBatch * kHidden), c_n(h_n.size());
        std::vector<float> dx(x.size()), dh0(h_n.size()), dc0(h_n.size());
        std::vector<std::vector<float>> gradients;
        fastrnn::ForwardArguments<float> a;
        a.steps = kSteps;
        a.batch = kBatch;
        a.x = {x.data(), kBatch * kInputs, kInputs};
        a.y = {y.data(), kBatch * width, width};
        a.h_n = h_n.data();
        a.c_n = c_n.data();
        fastrnn::StackBackwardArguments<float> b;
        b.dy = {x.data(), 0, 0};  // the same few numbers at every row
        b.dx = {dx.data(), kBatch * kInputs, kInputs};
        b.dh0 = dh0.data();
        b.dc0 = dc0.data();
        for (const auto& weights : stack.weights) {
          fastrnn::BackwardArguments<float>& one = b.parameters.emplace_back();
          one.dw_ih = gradients.emplace_back(4 * kHidden * weights->inputs()).data();
          one.dw_hh = gradients.emplace_back(4 * kHidden * kHidden).data();
        }
        const auto train = [&](int n) {
          a.threads = b.threads = n;
          const fastrnn::StackSaved<float> saved(stack, a);
          fastrnn::backward(saved, b);
        };
        train(1);
        const auto expected_gradients = gradients;
        const auto expected_dx = dx;
        fastrnn::forward(stack, a);
        const auto expected_y = y;
        a.threads = b.threads = threads;
        interrupt_call(what + ": forward", threads, [&] { fastrnn::forward(stack, a); });
        test::check(y == expected_y, what + ": other bits after forward");
        interrupt_call(what + ": training", threads, [&] { fastrnn::StackSaved<float>(stack, a); });
        const fastrnn::StackSaved<float> saved(stack, a);
        interrupt_call(what + ": backward", threads, [&] { fastrnn::backward(saved, b); });
        test::check(gradients == expected_gradients && dx == expected_dx, what + ": other bits after backward");
      }
}

void check_sessions() {
  constexpr Index kInputs = 4, kSteps = 40, kBatch = 3;
  std::mt19937 generator(6);
  const auto x = test::random_vector<float>(generator, 2 * kSteps * kBatch * kInputs, 1.0);
  const float* const second = x.data() + kSteps * kBatch * kInputs;
  for (const fastrnn::PackOptions& options : test::pack_options()) {
    const std::shared_ptr<const fastrnn::Model> model = test::load(test::stack_text(kInputs, 17), options);
    const Index outputs = model->outputs();
    std::vector<float> expected(kSteps * kBatch * outputs), y(expected.size());
    fastrnn::ModelSession session(model, kBatch), never(model, kBatch);
    std::vector<char> before(session.state_bytes()), now(before.size());
    never.run(x.data(), kSteps, expected.data());
    session.run(x.data(), kSteps, y.data());
    session.get_state(before.data());
    never.run(second, kSteps, expected.data());
    interrupt_everywhere(
        "session of a model", 1, [&] { session.run(second, kSteps, y.data()); },
        [&](bool stopped, bool) {
          session.get_state(now.data());
          test::check((now == before) == stopped, "session of a model: not the states from before");
        });
    test::check(y == expected, "session of a model: other bits after an interruption");
    const Countdown watch(0);
    session.step(x.data(), y.data());
    test::check(!watch.stopped, "session of a model: step() looks at watches");
  }
  test::Problem<float> problem({}, kSteps, kBatch, kInputs, 33, 5);
  const auto weights = problem.pack();
  problem.forward(*weights);
  const std::vector<float> expected = problem.y;
  fastrnn::Session<float> session(weights, kBatch);
  session.set_state(problem.h0.data(), problem.c0.data());
  const fastrnn::ForwardArguments<float> a = problem.arguments();
  interrupt_everywhere(
      "session", 1, [&] { session.run(a.x, kSteps, a.y); },
      [&](bool stopped, bool) {
        std::vector<float> h(problem.h0.size()), c(problem.c0.size());
        session.get_state(h.data(), c.data());
        test::check((h == problem.h0 && c == problem.c0) == stopped, "session: not the states before");
      });
  test::check(problem.y == expected, "session: other bits after an interruption");
}

void check_pool() {
  constexpr Index kInputs = 4, kStreams = 5, kQueue = 4;
  const std::shared_ptr<const fastrnn::Model> model = test::load(test::stack_text(kInputs, 17), {});
  const Index outputs = model->outputs();
  std::mt19937 generator(6);
  const auto x = test::random_vector<float>(generator, kStreams * kQueue * kInputs, 1.0);
  const auto results = [&](bool interrupted) {
    fastrnn::StreamPool pool(model, kStreams, kQueue);
    std::vector<fastrnn::StreamPool::Stream> streams;
    for (Index i = 0; i < kStreams; ++i) {
      streams.push_back(pool.open());
      pool.push(streams.back(), x.data() + i * kQueue * kInputs, kQueue);
    }
    for (Index t = 0; t < kQueue; ++t) {
      constexpr Index kMost = 3;  // of the five: the turns are kept, too
      if (interrupted)
        interrupt_everywhere(
            "pool", 1, [&] { pool.advance(kMost); },
            [&](bool stopped, bool) {
              Index ready = 0;
              for (const auto stream : streams) ready += pool.ready(stream);
              test::check(ready == kMost * (t + (stopped ? 0 : 1)), "pool: half a step was made");
            });
      else
        pool.advance(kMost);
    }
    std::vector<float> y(kStreams * kQueue * outputs, -1.0f);
    for (Index i = 0; i < kStreams; ++i) pool.pull(streams[i], y.data() + i * kQueue * outputs, kQueue);
    test::check(pool.drop_waiting(streams[0]) == fastrnn::StreamPool::Result::ok && pool.waiting(streams[0]) == 0 &&
                    pool.waiting(streams[4]) > 0,
                "pool: drop_waiting");
    return y;
  };
  test::check(results(true) == results(false), "pool: other bits after interruptions");
}

void check_products() {
  constexpr Index kRows = 9, kInner = 140, kColumns = 300;
  std::mt19937 generator(6);
  const auto a = test::random_vector<double>(generator, kRows * kInner, 1.0);
  const auto b = test::random_vector<double>(generator, kInner * kColumns, 1.0);
  std::vector<double> expected(kRows * kColumns), out(expected.size());
  fastrnn::matmul(a.data(), b.data(), expected.data(), kRows, kInner, kColumns);
  interrupt_call("matmul", 1, [&] { fastrnn::matmul(a.data(), b.data(), out.data(), kRows, kInner, kColumns); });
  test::check(out == expected, "matmul: other bits after an interruption");
  const auto x = test::random_vector<double>(generator, 2'000'003, 1.0);
  std::vector<double> whole(x.size()), parts(x.size());
  interrupt_call("activate", 1, [&] {
    fastrnn::activate<double>(fastrnn::Activation::tanh, x.data(), whole.data(), Index(x.size()));
  });
  for (std::size_t first = 0; first < x.size(); first += 1000) {
    const Index n = Index(std::min<std::size_t>(1000, x.size() - first));
    fastrnn::activate<double>(fastrnn::Activation::tanh, x.data() + first, parts.data() + first, n);
  }
  test::check(whole == parts, "activate: other bits in pieces");
}

/// The public way: a poll that runs as the caller's code does, in the caller's thread.
void check_poll() {
  struct Asked {
    std::thread::id thread;
    bool keeps_denormals = false;
    int times = 0;
  } asked;
  const auto poll = [](void* context) noexcept {
    auto& asked = *static_cast<Asked*>(context);
    volatile float denormal = 1e-39f;
    asked.keeps_denormals = denormal * 1.0f != 0.0f;
    asked.thread = std::this_thread::get_id();
    return ++asked.times == 2;
  };
  test::Problem<float> problem({}, 12, 24, 8, 96, 4);
  problem.threads = 2;
  const auto weights = problem.pack();
  const fastrnn::Interruption unused([](void*) noexcept { return true; }, nullptr);  // an inner one is asked instead
  fastrnn::Interruption interruption(poll, &asked);
  bool threw = false;
  while (!threw) {
    try {
      problem.forward(*weights);
    } catch (const Interrupted&) {
      threw = true;
    }
  }
  test::check(interruption.requested() && !unused.requested(), "poll: the wrong one ended the call");
  test::check(asked.times == 2, "poll: asked again");
  test::check(asked.thread == std::this_thread::get_id(), "poll: in another thread");
  test::check(asked.keeps_denormals, "poll: in another floating-point mode than the caller's");
}

}  // namespace

int main() {
  check_layers();
  check_stacks();
  check_sessions();
  check_pool();
  check_products();
  check_poll();
  return test::finish("interrupt");
}
