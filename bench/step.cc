// Single steps from C++: what fastrnn::Session::step takes without Python around it, for an LSTM with I = H, B = 1.
//
// usage: step SECONDS     how long each size and precision runs, in all rounds together
// Prints one JSON object: median and 99th percentile in microseconds. The clock is read around each single call; what
// reading it takes is in "clock_us", and part of every figure.

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

constexpr int kHidden[] = {32, 64, 128, 256, 480};
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

struct Stream {
  const char* name;
  fastrnn::Session<float> session;
  std::vector<double> seconds;
};

void measure(Index hidden, double limit, const char* separator) {
  const std::size_t n = std::size_t(hidden);
  const float bound = 1 / std::sqrt(float(hidden));
  const std::vector<float> w_ih = random_values(4 * n * n, bound), w_hh = random_values(4 * n * n, bound);
  const std::vector<float> b_ih = random_values(4 * n, bound), b_hh = random_values(4 * n, bound);
  const std::vector<float> x = random_values(kInputs * n, 1);
  std::vector<float> y(n);
  fastrnn::Parameters<float> parameters;
  parameters.inputs = parameters.hidden = hidden;
  parameters.w_ih = w_ih.data();
  parameters.w_hh = w_hh.data();
  parameters.b_ih = b_ih.data();
  parameters.b_hh = b_hh.data();
  std::vector<Stream> streams;
  for (const auto& kind : kPrecisions) {
    fastrnn::PackOptions options;
    options.precision = kind.precision;
    auto weights = std::make_shared<const fastrnn::Weights<float>>(fastrnn::CellOptions{}, parameters, options);
    streams.push_back({kind.name, fastrnn::Session<float>(std::move(weights)), {}});
  }
  int input = 0;
  for (int round = 0; round < kRounds; ++round) {
    for (Stream& stream : streams) {
      const auto step = [&] { stream.session.step(x.data() + std::size_t(input++ % kInputs) * n, y.data()); };
      for (int i = 0; i < kWarmUp; ++i) step();
      time_calls(limit / kRounds, stream.seconds, step);
    }
  }
  for (Stream& stream : streams) {
    std::printf("%s\n{\"H\": %td, \"dtype\": \"%s\", \"calls\": %zu, \"median_us\": %.3f, \"p99_us\": %.3f}", separator,
                hidden, stream.name, stream.seconds.size(), percentile(stream.seconds, 0.5),
                percentile(stream.seconds, 0.99));
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
  for (const int hidden : kHidden) {
    measure(hidden, limit, separator);
    separator = ",";
  }
  std::printf("]}\n");
  return 0;
}
