// Stacks on several threads, by several callers at once: the bits of layer by layer, and nothing for ThreadSanitizer to
// report in wavefronts, in directions side by side, and in what a call leaves behind when a worker was overtaken.
#include <algorithm>
#include <atomic>
#include <thread>

#include "fastrnn/stack.hpp"
#include "problem.h"

namespace {

using test::Index;

struct Case {
  std::string name;
  fastrnn::CellType cell;
  int layers, directions;
  fastrnn::Merge merge;
  Index steps, batch, hidden;
  bool ragged;
};

/// A stack with the arrays of its calls.
struct Problem {
  static constexpr Index kInputs = 5;
  fastrnn::Stack<float> stack;
  Index steps, batch, hidden, width, count, states;
  std::vector<float> x, h0, c0, dy;
  std::vector<Index> lengths;
  std::vector<float> y, h_n, c_n;
  std::vector<std::vector<float>> gradients;

  explicit Problem(const Case& c) : steps(c.steps), batch(c.batch), hidden(c.hidden) {
    fastrnn::CellOptions options;
    options.cell = c.cell;
    stack.directions = c.directions;
    stack.merge = c.merge;
    stack.dropout = 0.25;
    width = c.merge == fastrnn::Merge::concat ? c.directions * hidden : hidden;
    count = c.layers * c.directions;
    states = c.cell == fastrnn::CellType::lstm ? 1 : 0;
    for (Index i = 0; i < count; ++i)
      stack.weights.push_back(
          test::Problem<float>(options, 1, 1, i < c.directions ? kInputs : width, hidden, unsigned(i)).pack());
    std::mt19937 generator(7);
    x = test::random_vector<float>(generator, steps * batch * kInputs, 1.0);
    h0 = test::random_vector<float>(generator, count * batch * hidden, 0.5);
    c0 = test::random_vector<float>(generator, count * states * batch * hidden, 0.5);
    dy = test::random_vector<float>(generator, steps * batch * width, 1.0);
    if (c.ragged)
      for (Index b = 0; b < batch; ++b) lengths.push_back(steps - b * steps / (batch + 1));
  }

  fastrnn::ForwardArguments<float> arguments(int threads) {
    y.assign(steps * batch * width, NAN);
    h_n.assign(h0.size(), NAN);
    c_n.assign(c0.size(), NAN);
    fastrnn::ForwardArguments<float> a;
    a.steps = steps;
    a.batch = batch;
    a.x = {x.data(), batch * kInputs, kInputs};
    a.h0 = h0.data();
    a.c0 = c0.data();
    a.lengths = lengths.empty() ? nullptr : lengths.data();
    a.y = {y.data(), batch * width, width};
    a.h_n = h_n.data();
    a.c_n = c_n.data();
    a.threads = threads;
    return a;
  }

  /// Forward and backward with dropout; every gradient in `gradients`.
  void train(int threads) {
    const fastrnn::StackSaved<float> saved(stack, arguments(threads));
    fastrnn::StackBackwardArguments<float> a;
    gradients.clear();
    gradients.reserve(3 + 4 * count);
    const auto take = [&](Index n) { return gradients.emplace_back(n, NAN).data(); };
    a.dy = {dy.data(), batch * width, width};
    a.dx = {take(Index(x.size())), batch * kInputs, kInputs};
    a.dh0 = take(Index(h0.size()));
    a.dc0 = take(Index(c0.size()));
    a.threads = threads;
    for (const auto& weights : stack.weights) {
      const Index rows = fastrnn::gate_count(weights->options().cell) * hidden;
      fastrnn::BackwardArguments<float>& one = a.parameters.emplace_back();
      one.dw_ih = take(rows * weights->inputs());
      one.dw_hh = take(rows * hidden);
      one.db_ih = take(rows);
      one.db_hh = take(rows);
    }
    fastrnn::backward(saved, a);
  }

  bool same_outputs(const Problem& other) const { return y == other.y && h_n == other.h_n && c_n == other.c_n; }
};

/// The loop over layers and directions.
void run_loop(Problem& p) {
  fastrnn::ForwardArguments<float> whole = p.arguments(1);
  std::vector<float> input = p.x, own[2];
  Index inputs = Problem::kInputs;
  for (int layer = 0; layer < p.stack.layers(); ++layer) {
    std::vector<float> output(p.steps * p.batch * p.width);
    for (int d = 0; d < p.stack.directions; ++d) {
      const Index index = layer * p.stack.directions + d, state = p.batch * p.hidden;
      fastrnn::ForwardArguments<float> a = whole;
      own[d].assign(p.steps * p.batch * p.hidden, NAN);
      a.x = {input.data(), p.batch * inputs, inputs};
      a.y = {own[d].data(), p.batch * p.hidden, p.hidden};
      a.h0 += index * state;
      a.h_n += index * state;
      a.c0 += p.states * index * state;
      a.c_n += p.states * index * state;
      a.reverse = d == 1;
      fastrnn::forward(*p.stack.weights[index], a);
    }
    const bool concat = p.width > p.hidden;
    for (Index row = 0; row < p.steps * p.batch; ++row)
      for (Index k = 0; k < p.width; ++k) {
        const Index d = concat ? k / p.hidden : 0, place = row * p.hidden + k % p.hidden;
        const float first = own[d][place];
        const bool both = p.stack.directions == 2 && !concat;
        float& to = output[row * p.width + k];
        to = !both                                   ? first
             : p.stack.merge == fastrnn::Merge::sum  ? first + own[1][place]
             : p.stack.merge == fastrnn::Merge::mean ? (first + own[1][place]) * 0.5f
                                                     : first * own[1][place];
      }
    input = output;
    inputs = p.width;
  }
  p.y = input;
}

void check_case(const Case& c) {
  Problem expected(c), trained(c);
  run_loop(expected);
  trained.train(1);
  std::vector<std::thread> callers;
  std::atomic<int> wrong{0};
  for (int caller = 0; caller < 3; ++caller)
    callers.emplace_back([&, caller] {
      Problem own(c);
      for (int round = 0; round < 4; ++round) {
        // The weights of a caller may go while an overtaken worker still reads them.
        Problem brief(c);
        fastrnn::forward(brief.stack, brief.arguments(1 + (caller + round) % 4));
        wrong += !brief.same_outputs(expected);
        own.train(1 + (caller + round) % 3);
        wrong += !own.same_outputs(trained) || own.gradients != trained.gradients;
      }
    });
  for (auto& caller : callers) caller.join();
  test::check(wrong == 0, c.name + ": a concurrent caller got another result");
}

}  // namespace

int main() {
  using fastrnn::CellType;
  using fastrnn::Merge;
  check_case({"wavefront", CellType::lstm, 3, 1, Merge::concat, 60, 1, 64, false});
  check_case({"ragged wavefront", CellType::gru, 2, 1, Merge::concat, 120, 3, 40, true});
  check_case({"concat", CellType::lstm, 2, 2, Merge::concat, 40, 2, 50, true});
  check_case({"mul", CellType::gru, 3, 2, Merge::mul, 40, 3, 50, false});
  check_case({"mean by rows", CellType::rnn, 2, 2, Merge::mean, 60, 19, 40, true});
  return test::finish("stack");
}
