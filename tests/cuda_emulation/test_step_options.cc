// Every cell and option by Tier::graph, from the host's arrays to the host's arrays, against the CPU backend in
// float64, which is itself held to finite differences.
#include <cstdio>

#include "emulated_runtime.h"
#include "host_layer.h"
#include "option_layer.h"

namespace {

using namespace fastrnn;

int checks = 0, failures = 0;

/// Sums of some ten terms of about 1 in float32, carried on through T steps; relu and the like let them grow. An
/// exponential or a normalised sum of small spread magnifies what came before.
double tolerance(const test::OptionLayer& layer, cuda::Type type) {
  const double float32 = 2e-6 * double(4 + layer.steps);
  return type == cuda::Type::float32 ? float32 : 0.1;  // each of T steps rounds h to 2^-9
}

void check(const test::OptionLayer& layer, cuda::Type type) {
  const auto doubles = layer.copy<double>();
  const auto floats = layer.copy<float>();
  std::map<std::string, std::vector<double>> want;
  std::map<std::string, std::vector<float>> got;
  forward(Weights<double>(layer.options, layer.parameters(doubles)), layer.arguments(doubles, want));
  cuda::EmulatedRuntime runtime(cuda::device_spec("H100"));
  cuda::emulation::set_schedule(test::schedule(unsigned(checks)));
  std::string error;
  try {
    cuda::HostLayer(runtime, cuda::device_spec("H100"), layer.options, layer.parameters(floats),
                    layer.arguments(floats, got), type, cuda::Tier::graph);
  } catch (const std::exception& e) {
    error = e.what();
  }
  for (const auto& [key, v] : want)
    for (std::size_t i = 0; i < v.size() && error.empty(); ++i)
      if (!(std::abs(got[key][i] - v[i]) <= tolerance(layer, type) * std::max(1.0, std::abs(v[i]))))
        error = key + "[" + std::to_string(i) + "] is " + std::to_string(got[key][i]) + ", expected " +
                std::to_string(v[i]);
  if (error.empty() && runtime.live() != 0) error = "memory was left behind";
  ++checks;
  if (error.empty()) return;
  ++failures;
  std::fprintf(stderr, "FAILED: %s %s, H %d B %d T %d, %s: %s\n", kCellNames[int(layer.options.cell)].data(),
               layer.name, int(layer.hidden), int(layer.batch), int(layer.steps), cuda::type_name(type), error.c_str());
}

}  // namespace

int main() {
  unsigned seed = 0;
  for (const test::OptionLayer& one : test::option_layers()) {
    test::OptionLayer layer = one;
    layer.draw(++seed);
    check(layer, cuda::Type::float32);
    if (seed % 4 == 0) check(layer, cuda::Type::bfloat16);
    // Awkward sizes, and more steps than a graph has.
    layer = one;
    constexpr Index sizes[] = {17, 33, 5};
    layer.hidden = layer.gate_norm ? 33 : sizes[seed % 3];  // four gates of 33: more than a block has threads
    layer.batch = seed % 2 ? 1 : 9;
    layer.steps = seed % 5 == 0 ? 1 : seed % 4 == 0 ? 19 : 9;
    layer.draw(++seed);
    check(layer, cuda::Type::float32);
  }
  std::printf("options of steps: %d checks, %d failed\n", checks, failures);
  return failures == 0 && checks > 0 ? 0 : 1;
}
