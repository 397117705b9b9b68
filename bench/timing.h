// What the native timing tools share.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <random>
#include <vector>

#include "fastrnn/fastrnn.hpp"

namespace timing {

using fastrnn::Precision;

constexpr struct {
  Precision precision;
  const char* name;
} kPrecisions[] = {{Precision::full, "float32"},
                   {Precision::bfloat16, "bfloat16"},
                   {Precision::bfloat16_weights, "bfloat16_weights"},
                   {Precision::int8, "int8"}};

/// In seconds.
inline double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

inline std::vector<float> random_values(std::size_t count, float bound) {
  static std::mt19937 generator(0);
  std::uniform_real_distribution<float> uniform(-bound, bound);
  std::vector<float> values(count);
  for (float& value : values) value = uniform(generator);
  return values;
}

/// In microseconds.
inline double percentile(std::vector<double>& seconds, double part) {
  const auto place = seconds.begin() + std::ptrdiff_t(part * double(seconds.size() - 1));
  std::nth_element(seconds.begin(), place, seconds.end());
  return *place * 1e6;
}

}  // namespace timing
