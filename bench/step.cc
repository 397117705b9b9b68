// Single steps from C++: what fastrnn::Session::step takes without Python around it, for an LSTM with B = 1.
//
// usage: step SECONDS     how long each size and precision runs, in all rounds together
// Prints one JSON object. Half of the time the clock is read around each single call: median and 99th percentile in
// microseconds, of which reading the clock, "clock_us", is a part. The other half it is read around blocks of calls,
// too long for the clock to count: "rounds_us" are the quickest block of each round, by call.

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <vector>

#include "fastrnn/fastrnn.hpp"
#include "timing.h"

namespace {

using fastrnn::Index;
using fastrnn::Precision;
using timing::kPrecisions;
using timing::now;
using timing::percentile;
using timing::random_values;

constexpr struct {
  Index inputs, hidden;
} kSizes[] = {{1, 8}, {1, 16}, {1, 32}, {32, 32}, {64, 64}, {128, 128}, {256, 256}, {480, 480}};
constexpr double kBlockSeconds = 20e-6;
constexpr int kRounds = 5;
constexpr int kWarmUp = 200;  // steps, until weights and state are back in the caches
constexpr int kInputs = 16;   // different ones, in turn

/// Calls `work` until `limit` seconds have passed and appends the time of each call.
template <class Work>
void time_calls(double limit, std::vector<double>& seconds, Work work) {
  const double end = now() + limit;
  double start = now();
  while (start < end) {
    work();
    const double stop = now();
    seconds.push_back(stop - start);
    start = now();
  }
}

/// Calls `work` in blocks until `limit` seconds have passed; the time of a call in the quickest block.
template <class Work>
double best_of_blocks(double limit, double seconds_per_call, Work work) {
  const int calls = std::max(1, int(kBlockSeconds / seconds_per_call));
  const double end = now() + limit;
  double best = limit;
  double start = now();
  while (start < end) {
    for (int i = 0; i < calls; ++i) work();
    const double stop = now();
    best = std::min(best, (stop - start) / calls);
    start = stop;
  }
  return best;
}

struct Stream {
  const char* name;
  fastrnn::Session<float> session;
  std::vector<double> seconds, rounds;
};

void measure(Index inputs, Index hidden, double limit, const char* separator) {
  const std::size_t n = std::size_t(hidden), width = std::size_t(inputs);
  const float bound = 1 / std::sqrt(float(hidden));
  const std::vector<float> w_ih = random_values(4 * n * width, bound), w_hh = random_values(4 * n * n, bound);
  const std::vector<float> b_ih = random_values(4 * n, bound), b_hh = random_values(4 * n, bound);
  const std::vector<float> x = random_values(kInputs * width, 1);
  std::vector<float> y(n);
  fastrnn::Parameters<float> parameters;
  parameters.inputs = inputs;
  parameters.hidden = hidden;
  parameters.w_ih = w_ih.data();
  parameters.w_hh = w_hh.data();
  parameters.b_ih = b_ih.data();
  parameters.b_hh = b_hh.data();
  std::vector<Stream> streams;
  for (const auto& kind : kPrecisions) {
    fastrnn::PackOptions options;
    options.precision = kind.precision;
    auto weights = std::make_shared<const fastrnn::Weights<float>>(fastrnn::CellOptions{}, parameters, options);
    streams.push_back({kind.name, fastrnn::Session<float>(std::move(weights)), {}, {}});
  }
  int input = 0;
  for (int round = 0; round < kRounds; ++round) {
    for (Stream& stream : streams) {
      const auto step = [&] { stream.session.step(x.data() + std::size_t(input++ % kInputs) * width, y.data()); };
      for (int i = 0; i < kWarmUp; ++i) step();
      time_calls(limit / kRounds / 2, stream.seconds, step);
      const double quickest = *std::min_element(stream.seconds.begin(), stream.seconds.end());
      stream.rounds.push_back(best_of_blocks(limit / kRounds / 2, quickest, step));
    }
  }
  for (Stream& stream : streams) {
    std::printf("%s\n{\"I\": %td, \"H\": %td, \"dtype\": \"%s\", \"calls\": %zu, ", separator, inputs, hidden,
                stream.name, stream.seconds.size());
    std::printf("\"median_us\": %.3f, \"p99_us\": %.3f, \"rounds_us\": [", percentile(stream.seconds, 0.5),
                percentile(stream.seconds, 0.99));
    for (int round = 0; round < kRounds; ++round)
      std::printf("%s%.4f", round == 0 ? "" : ", ", stream.rounds[std::size_t(round)] * 1e6);
    std::printf("]}");
    separator = ",";
  }
}

}  // namespace

int main(int argc, char** argv) {
  const double limit = argc == 2 ? std::atof(argv[1]) : 0;
  if (!(limit > 0)) {
    std::fprintf(stderr, "step: expected SECONDS > 0\n");
    return 2;
  }
  std::vector<double> clock;
  time_calls(0.01, clock, [] {});
  std::printf("{\"isa\": \"%s\", \"clock_us\": %.3f, \"steps\": [", fastrnn::current_isa().c_str(),
              percentile(clock, 0.5));
  const char* separator = "";
  for (const auto& size : kSizes) {
    measure(size.inputs, size.hidden, limit, separator);
    separator = ",";
  }
  std::printf("]}\n");
  return 0;
}
