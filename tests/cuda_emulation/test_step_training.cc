// Training by Tier::graph with every cell and option, from the host's arrays to the host's arrays: results and all
// gradients against the CPU backend in float64.
#include <cstdio>
#include <stdexcept>

#include "emulated_runtime.h"
#include "host_layer.h"
#include "option_layer.h"

namespace {

using namespace fastrnn;
using Doubles = std::map<std::string, std::vector<double>>;
using Floats = std::map<std::string, std::vector<float>>;

int checks = 0, failures = 0;

/// A gradient, its array, and where the results of a backward pass go.
template <class T>
BackwardArguments<T> gradients(const test::OptionLayer& layer, const std::map<std::string, std::vector<T>>& a,
                               const ForwardArguments<T>& f, std::map<std::string, std::vector<T>>& results) {
  const auto room = [&](const char* like) -> T* {
    const auto found = a.find(like);
    if (found == a.end()) return nullptr;
    std::vector<T>& v = results[std::string("d") + like];
    v.assign(found->second.size(), T(NAN));
    return v.data();
  };
  BackwardArguments<T> g;
  g.dy = {layer.find(a, "dy"), f.y.step, f.y.row};
  g.dh_n = layer.find(a, "dh_n");
  g.dc_n = layer.find(a, "dc_n");
  g.dx = {room("x"), f.x.step, f.x.row};
  g.dh0 = room("h0");
  g.dc0 = room("c0");
  g.dw_ih = room("w_ih");
  g.dw_hh = room("w_hh");
  g.db_ih = room("b_ih");
  g.db_hh = room("b_hh");
  g.dw_peep = room("w_peep");
  g.dw_hr = room("w_hr");
  g.dln_ih = room("ln_ih");
  g.dln_hh = room("ln_hh");
  g.dln_c = room("ln_c");
  return g;
}

Doubles on_cpu(const test::OptionLayer& layer) {
  const Doubles a = layer.copy<double>();
  Doubles results;
  const ForwardArguments<double> f = layer.arguments(a, results);
  const Saved<double> saved(std::make_shared<const Weights<double>>(layer.options, layer.parameters(a)), f);
  backward(saved, gradients(layer, a, f, results));
  return results;
}

Floats on_device(const test::OptionLayer& layer) {
  const Floats a = layer.copy<float>();
  Floats results;
  const ForwardArguments<float> f = layer.arguments(a, results);
  const cuda::DeviceSpec& spec = cuda::device_spec("H100");
  cuda::EmulatedRuntime runtime(spec);
  cuda::emulation::set_schedule(test::schedule(unsigned(checks)));
  {
    cuda::HostLayer device(runtime, spec, layer.options, layer.parameters(a), f, cuda::Type::float32, cuda::Tier::graph,
                           true);
    device.backward(gradients(layer, a, f, results));
  }
  if (runtime.live() != 0) throw std::runtime_error("memory was left behind");
  return results;
}

void check(const test::OptionLayer& layer) {
  Doubles want = on_cpu(layer);
  std::string error;
  Floats got;
  try {
    got = on_device(layer);
  } catch (const std::exception& e) {
    error = e.what();
  }
  // As in test_step_options.cc, and as much again for the way back; relative to the largest element of a tensor.
  const double tolerance = 4e-6 * double(4 + layer.steps);
  for (const auto& [key, v] : want) {
    double largest = 1;
    for (const double x : v) largest = std::max(largest, std::abs(x));
    for (std::size_t i = 0; i < v.size() && error.empty(); ++i)
      if (!(std::abs(double(got[key][i]) - v[i]) <= tolerance * largest))
        error = key + "[" + std::to_string(i) + "] is " + std::to_string(got[key][i]) + ", expected " +
                std::to_string(v[i]);
  }
  ++checks;
  if (error.empty()) return;
  ++failures;
  std::fprintf(stderr, "FAILED: %s %s, H %d B %d T %d, truncate %d, dropout of x %g, h %g, g %g, w_hh %g: %s\n",
               kCellNames[int(layer.options.cell)].data(), layer.name, int(layer.hidden), int(layer.batch),
               int(layer.steps), int(layer.truncate), layer.dropout.inputs, layer.dropout.recurrent,
               layer.dropout.candidate, layer.options.weight_dropout, error.c_str());
}

}  // namespace

int main() {
  unsigned seed = 100;
  for (const test::OptionLayer& one : test::option_layers()) {
    test::OptionLayer layer = one;
    ++seed;
    layer.dropout.seed = seed * 0x100000001ull;
    layer.dropout.stream = seed % 3;
    const CellType cell = layer.options.cell;
    if (seed % 2 == 0 && (cell == CellType::lstm || cell == CellType::gru || cell == CellType::mgu))
      layer.dropout.candidate = 0.3;
    if (seed % 3 == 0) layer.dropout.recurrent = 0.4;
    if (seed % 5 == 1) layer.dropout.inputs = 0.4;
    if (seed % 5 == 2 && cell != CellType::indrnn) {
      layer.options.weight_dropout = 0.3;
      layer.options.seed = seed * 0x300000001ull;
    }
    layer.truncate = seed % (layer.gate_norm ? 2 : 4) == 0 ? 2 : 0;
    layer.batch = 3 + seed % 2;
    layer.hidden = layer.gate_norm ? 33 : seed % 3 == 0 ? 17 : 6;                         // as in test_step_options.cc
    const bool bounded = layer.options.recurrent_activation.kind == Activation::sigmoid;  // others grow without end
    layer.steps = seed % 5 == 0 && bounded ? 18 : 6;
    layer.draw(seed);
    check(layer);
  }
  std::printf("training of steps: %d checks, %d failed\n", checks, failures);
  return failures == 0 && checks > 0 ? 0 : 1;
}
