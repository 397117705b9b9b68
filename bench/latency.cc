// Single steps of stacked LSTMs from C++, each timed alone: the twin of `python -m fastrnn latency`, which can run it.
//
// usage: fastrnn-latency DTYPE LAYERS HIDDEN INPUTS THREADS CALLS WARM_UP [--times]
//   e.g. fastrnn-latency int8 2 128 128 1 100000 10000
// Prints the cold first call, p50, p99, p99.9 and max in microseconds; with --times, all times in nanoseconds, the cold
// first call's before the others. One thread is ModelSession::step; more are forward() of layer after layer. Reading
// the clock is part of each time, some 0.03 us.

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>

#include "fastrnn/model.hpp"
#include "timing.h"

namespace {

using fastrnn::Index;
using Weights = std::shared_ptr<const fastrnn::Weights<float>>;

constexpr std::size_t kInputs = 16;            // different ones, in turn
constexpr std::size_t kFlushBytes = 64 << 20;  // more than the last cache of most machines

std::vector<Weights> make_layers(Index layers, Index hidden, Index inputs, fastrnn::Precision precision) {
  const float bound = 1 / std::sqrt(float(hidden));
  fastrnn::PackOptions options;
  options.precision = precision;
  std::vector<Weights> made;
  for (Index l = 0; l < layers; ++l) {
    const Index width = l == 0 ? inputs : hidden;
    const auto w_ih = timing::random_values(std::size_t(4 * hidden * width), bound);
    const auto w_hh = timing::random_values(std::size_t(4 * hidden * hidden), bound);
    const auto bias = timing::random_values(std::size_t(4 * hidden), bound);
    fastrnn::Parameters<float> parameters;
    parameters.inputs = width;
    parameters.hidden = hidden;
    parameters.w_ih = w_ih.data();
    parameters.w_hh = w_hh.data();
    parameters.b_ih = parameters.b_hh = bias.data();
    made.push_back(std::make_shared<const fastrnn::Weights<float>>(fastrnn::CellOptions{}, parameters, options));
  }
  return made;
}

/// One layer with a state, stepped by the function that knows threads, which a session does not.
struct Layer {
  Weights weights;
  std::vector<float> h, c, next_h, next_c, y;

  explicit Layer(Weights given) : weights(std::move(given)) {
    for (std::vector<float>* vector : {&h, &c, &next_h, &next_c, &y}) vector->resize(std::size_t(weights->outputs()));
  }
  const float* step(const float* x, int threads) {
    fastrnn::ForwardArguments<float> arguments;
    arguments.steps = arguments.batch = 1;
    arguments.x = {x, weights->inputs(), weights->inputs(), nullptr};
    arguments.y = {y.data(), weights->outputs(), weights->outputs(), nullptr};
    arguments.h0 = h.data();
    arguments.c0 = c.data();
    arguments.h_n = next_h.data();
    arguments.c_n = next_c.data();
    arguments.threads = threads;
    forward(*weights, arguments);
    h.swap(next_h);
    c.swap(next_c);
    return y.data();
  }
};

int usage() {
  std::fprintf(stderr,
               "usage: fastrnn-latency DTYPE LAYERS HIDDEN INPUTS THREADS CALLS WARM_UP [--times]\n"
               "       DTYPE: float32, bfloat16, bfloat16_weights, int8\n");
  return 2;
}

int run(fastrnn::Precision precision, const Index* numbers, bool times) {
  const Index layers = numbers[0], hidden = numbers[1], inputs = numbers[2], calls = numbers[4], warm_up = numbers[5];
  const std::vector<float> x = timing::random_values(kInputs * std::size_t(inputs), 1);
  std::vector<float> y(std::size_t(hidden), 0.0f);
  const int threads = int(numbers[3]);
  auto model = std::make_shared<fastrnn::Model>();
  std::vector<Layer> stack;
  for (const Weights& weights : make_layers(layers, hidden, inputs, precision)) {
    model->add_recurrent(weights);
    stack.emplace_back(weights);
  }
  fastrnn::ModelSession session(model);
  const auto timed = [&](Index k) {
    const float* from = x.data() + std::size_t(k) % kInputs * std::size_t(inputs);
    const double start = timing::now();
    if (threads == 1)
      session.step(from, y.data());
    else
      for (Layer& layer : stack) from = layer.step(from, threads);
    return timing::now() - start;
  };
  std::vector<double> seconds(std::size_t(calls), 0.0);
  std::vector<char> flush(kFlushBytes);
  std::memset(flush.data(), 1, flush.size());
  const double cold = timed(flush[kFlushBytes / 2] - 1);
  for (Index k = 0; k < warm_up; ++k) timed(k);
  for (Index k = 0; k < calls; ++k) seconds[std::size_t(k)] = timed(k);
  if (times) {
    std::printf("%.0f\n", cold * 1e9);
    for (const double one : seconds) std::printf("%.0f\n", one * 1e9);
    return 0;
  }
  std::printf("cold %.2f  p50 %.2f  p99 %.2f  p99.9 %.2f  max %.2f us\n", cold * 1e6, timing::percentile(seconds, 0.5),
              timing::percentile(seconds, 0.99), timing::percentile(seconds, 0.999), timing::percentile(seconds, 1));
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const bool times = argc == 9 && std::strcmp(argv[8], "--times") == 0;
  if (argc != 8 && !times) return usage();
  Index numbers[6];
  for (int i = 0; i < 6; ++i) {
    char* end;
    numbers[i] = std::strtol(argv[i + 2], &end, 10);
    if (*end != '\0' || numbers[i] < (i == 5 ? 0 : 1) || numbers[i] > 1'000'000'000) return usage();
  }
  for (const auto& known : timing::kPrecisions)
    if (std::strcmp(argv[1], known.name) == 0) try {
        return run(known.precision, numbers, times);
      } catch (const std::exception& error) {
        std::fprintf(stderr, "fastrnn-latency: %s\n", error.what());
        return 1;
      }
  return usage();
}
