// The host side of the CUDA backend over the emulation: plan, buffers, W x, launch and results, without CUDA.
#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <random>
#include <vector>

#include "emulated_runtime.h"
#include "expect.h"
#include "host_layer.h"

namespace {

using namespace fastrnn;
using cuda::EmulatedRuntime;
using cuda::Tier;
using cuda::Type;
using cuda::emulation::expect;
using Floats = std::vector<float>;

/// A layer on the CPU, whose results the device must give as well.
struct Layer {
  cells::Kind kind;
  int steps, batch, inputs, hidden, gates;
  Floats x, w_ih, w_hh, b_ih, b_hh, h0, c0, y, h_n, c_n;
  std::vector<Index> lengths;
  bool reverse = false;

  Layer(cells::Kind kind, int steps, int batch, int inputs, int hidden, unsigned seed)
      : kind(kind),
        steps(steps),
        batch(batch),
        inputs(inputs),
        hidden(hidden),
        gates(kind == cells::Kind::lstm ? 4 : 3) {
    std::mt19937 random(seed);
    const auto fill = [&](Floats& v, int n, float scale) {
      std::uniform_real_distribution<float> draw(-scale, scale);
      v.resize(std::size_t(n));
      for (float& f : v) f = draw(random);
    };
    const float scale = 1 / std::sqrt(float(hidden));
    fill(x, steps * batch * inputs, 1);
    fill(w_ih, gates * hidden * inputs, scale);
    fill(w_hh, gates * hidden * hidden, scale);
    fill(b_ih, gates * hidden, scale);
    fill(b_hh, gates * hidden, scale);
    fill(h0, batch * hidden, 1);
    fill(c0, batch * hidden, 1);
    y.resize(std::size_t(steps) * batch * hidden);
    h_n = h0;
    c_n = c0;
  }

  void ragged() {
    for (int b = 0; b < batch; ++b) lengths.push_back((b * 5 + 3) % (steps + 1));
  }

  CellOptions options() const {
    CellOptions options;
    options.cell = kind == cells::Kind::lstm ? CellType::lstm : CellType::gru;
    options.reset = Reset::before;
    return options;
  }
  Parameters<float> parameters() const {
    Parameters<float> p;
    p.inputs = inputs;
    p.hidden = hidden;
    p.w_ih = w_ih.data();
    p.w_hh = w_hh.data();
    p.b_ih = b_ih.data();
    p.b_hh = b_hh.data();
    return p;
  }
  ForwardArguments<float> arguments(Floats& y, Floats& h_n, Floats& c_n) const {
    ForwardArguments<float> a;
    a.steps = steps;
    a.batch = batch;
    a.x = {x.data(), Index(batch) * inputs, inputs};
    a.h0 = h0.data();
    a.c0 = gates == 4 ? c0.data() : nullptr;
    a.lengths = lengths.empty() ? nullptr : lengths.data();
    a.reverse = reverse;
    a.y = {y.data(), Index(batch) * hidden, hidden};
    a.h_n = h_n.data();
    a.c_n = gates == 4 ? c_n.data() : nullptr;
    return a;
  }

  void compute() { forward(Weights<float>(options(), parameters()), arguments(y, h_n, c_n)); }

  /// The same on the emulated device; the largest difference.
  float run(EmulatedRuntime& runtime, const cuda::DeviceSpec& spec, Type type, std::optional<Tier> tier) const {
    Floats got_y(y.size(), NAN), got_h(h_n.size(), NAN), got_c(c_n.size(), NAN);
    cuda::HostLayer(runtime, spec, options(), parameters(), arguments(got_y, got_h, got_c), type, tier);
    float worst = 0;
    const auto compare = [&](const Floats& a, const Floats& b) {
      for (std::size_t i = 0; i < a.size(); ++i)
        worst = std::isnan(a[i]) ? INFINITY : std::max(worst, std::abs(a[i] - b[i]));
    };
    compare(got_y, y);
    compare(got_h, h_n);
    if (gates == 4) compare(got_c, c_n);
    return worst;
  }
};

void check_layers() {
  // float32 differs in the order of sums and in exp; bfloat16 rounds weights and h to 2^-9, of which a sum of H
  // products with weights of 1/sqrt(H) has about as much again, carried on through T steps.
  const std::pair<Type, float> types[] = {{Type::float32, 2e-5f}, {Type::float16, 4e-3f}, {Type::bfloat16, 3e-2f}};
  for (const char* name : {"A100", "H100"})
    for (const cells::Kind kind : {cells::Kind::lstm, cells::Kind::gru_before})
      for (const auto& [type, tolerance] : types)
        for (const Tier tier : {Tier::block, Tier::cluster, Tier::grid, Tier::graph}) {
          const cuda::DeviceSpec& spec = cuda::device_spec(name);
          if (tier == Tier::cluster && spec.cluster == 1) continue;
          if (tier == Tier::grid && std::strcmp(name, "A100") == 0 && type == Type::float16)
            continue;  // enough of these
          EmulatedRuntime runtime(spec);
          Layer layer(kind, 3, tier == Tier::grid ? 3 : 2, 5, tier == Tier::grid ? 21 : 33, unsigned(tier));
          layer.reverse = type == Type::float16;
          if (type != Type::bfloat16) layer.ragged();
          layer.compute();
          const float worst = layer.run(runtime, spec, type, tier);
          const std::string what = std::string(name) + " " + cuda::kind_name(kind) + " " + cuda::type_name(type) + " " +
                                   cuda::tier_name(tier);
          expect(worst <= tolerance, what + ": differs by " + std::to_string(worst));
          expect(runtime.last_tier == tier, what + ": another tier ran");
          expect(runtime.live() == 0 && runtime.allocated > 0, what + ": memory was left behind");
        }
}

/// The choice that plan() shows is the one that runs.
void check_choice() {
  const cuda::DeviceSpec& spec = cuda::device_spec("H100");
  EmulatedRuntime runtime(spec);
  Layer layer(cells::Kind::lstm, 2, 2, 3, 40, 7);
  layer.compute();
  cuda::Problem problem;
  problem.hidden = 40;
  problem.batch = 2;
  problem.steps = 2;
  expect(layer.run(runtime, spec, Type::float32, {}) < 2e-5f, "the fastest tier differs");
  expect(runtime.last_tier == choose(problem, spec).plan.tier, "not the tier of the plan");
}

/// A driver may have compiled the kernels from PTX for less than its device: those have no clusters, which a launch
/// would not notice.
void check_image() {
  const CudaDevice device = {"NVIDIA H100 80GB HBM3", 9, 0, 132, 227 << 10, std::size_t(80) << 30};
  Layer layer(cells::Kind::lstm, 2, 2, 3, 200, 7);  // more than a block holds, and few for a grid
  layer.compute();
  for (const int image : {80, 90}) {
    const cuda::DeviceSpec spec = cuda::device_spec(device, image);
    EmulatedRuntime runtime(spec);
    expect(layer.run(runtime, spec, Type::bfloat16, {}) < 3e-2f, "the fastest tier of an image differs");
    expect((runtime.last_tier == Tier::cluster) == (image == 90), "clusters by the image of the kernels");
    std::string said;
    try {
      layer.run(runtime, spec, Type::bfloat16, Tier::cluster);
    } catch (const Error& error) {
      said = error.what();
    }
    const char* reason = "expected kernels for compute_90 or later in this build, got those for compute_80";
    expect((said.find(reason) != std::string::npos) == (image == 80), "a forced cluster says '" + said + "'");
  }
}

/// Arrays that are on the device: nothing is copied, and only Tier::grid waits.
void check_device_arrays() {
  const cuda::DeviceSpec& spec = cuda::device_spec("H100");
  for (const Tier tier : {Tier::block, Tier::cluster, Tier::grid}) {
    EmulatedRuntime runtime(spec);
    Layer layer(cells::Kind::lstm, 3, 2, 5, 21, 11);
    layer.ragged();
    layer.compute();
    Floats y(layer.y.size(), NAN), h_n(layer.h_n.size(), NAN), c_n(layer.c_n.size(), NAN);
    const ForwardArguments<float> arguments = layer.arguments(y, h_n, c_n);
    cuda::HostLayer(runtime, spec, layer.options(), layer.parameters(), arguments, Type::float32, tier, false, true);
    const std::string name = cuda::tier_name(tier);
    for (std::size_t i = 0; i < y.size(); ++i) expect(std::abs(y[i] - layer.y[i]) < 2e-5f, name + ": y on the device");
    for (std::size_t i = 0; i < h_n.size(); ++i) {
      expect(std::abs(h_n[i] - layer.h_n[i]) < 2e-5f, name + ": h_n on the device");
      expect(std::abs(c_n[i] - layer.c_n[i]) < 2e-5f, name + ": c_n on the device");
    }
    expect(runtime.waited == (tier == Tier::grid ? 1 : 0), name + ": waits " + std::to_string(runtime.waited));
    expect(runtime.live() == 0, name + ": memory was left behind");
  }
}

/// Sequences with other strides: rows of the batch one after the other, and with room between them.
void check_device_strides() {
  const cuda::DeviceSpec& spec = cuda::device_spec("H100");
  for (const auto& [steps, batch] : {std::array{3, 2}, {2, 3}}) {
    EmulatedRuntime runtime(spec);
    Layer layer(cells::Kind::lstm, steps, batch, 5, 21, 11);
    layer.compute();
    const Index inputs = 5 + 2, outputs = 21 + 1;
    Floats x(std::size_t(batch * steps) * inputs, NAN), y(std::size_t(batch * steps) * outputs, 7);
    for (int b = 0; b < batch; ++b)
      for (int t = 0; t < steps; ++t)
        std::copy_n(&layer.x[std::size_t(t * batch + b) * 5], 5, &x[std::size_t(b * steps + t) * inputs]);
    Floats same, h_n(layer.h_n.size(), NAN), c_n(layer.c_n.size(), NAN);
    ForwardArguments<float> arguments = layer.arguments(same, h_n, c_n);
    arguments.x = {x.data(), inputs, steps * inputs};
    arguments.y = {y.data(), outputs, steps * outputs};
    cuda::HostLayer(runtime, spec, layer.options(), layer.parameters(), arguments, Type::float32, {}, false, true);
    for (int b = 0; b < batch; ++b)
      for (int t = 0; t < steps; ++t)
        for (int u = 0; u <= 21; ++u) {
          const float got = y[std::size_t(b * steps + t) * outputs + u];
          const float expected = u < 21 ? layer.y[std::size_t(t * batch + b) * 21 + u] : 7;
          expect(std::abs(got - expected) < 2e-5f, "y in the order of the batch");
        }
  }
}

void check_device_refusals() {
  const cuda::DeviceSpec& spec = cuda::device_spec("H100");
  EmulatedRuntime runtime(spec);
  Layer layer(cells::Kind::lstm, 3, 2, 5, 21, 11);
  const auto refused = [&](const char* text, auto&& spoil) {
    Floats y(layer.y.size()), h_n(layer.h_n.size()), c_n(layer.c_n.size());
    ForwardArguments<float> arguments = layer.arguments(y, h_n, c_n);
    std::vector<Index> lengths = {3, 3};
    arguments.lengths = lengths.data();
    spoil(arguments, lengths);
    try {
      cuda::HostLayer(runtime, spec, layer.options(), layer.parameters(), arguments, Type::float32, {}, false, true);
      expect(false, std::string("no error: ") + text);
    } catch (const Error& error) {
      expect(std::string(error.what()) == text, error.what());
    }
  };
  refused("lengths: expected values in 0..3, got 4 at index 1", [](auto&, auto& lengths) { lengths[1] = 4; });
  refused("lengths: expected values in 0..3, got -1 at index 0", [](auto&, auto& lengths) { lengths[0] = -1; });
  expect(runtime.allocated == 0, "memory was taken for a call that was refused");
}

template <class F>
void expect_error(const char* text, F&& call) {
  try {
    call();
    expect(false, std::string("no error: ") + text);
  } catch (const CudaError& error) {
    expect(std::strstr(error.what(), text) != nullptr,
           std::string("expected '") + text + "', got '" + error.what() + "'");
  }
}

void check_errors() {
  const cuda::DeviceSpec& spec = cuda::device_spec("H100");
  Layer layer(cells::Kind::lstm, 2, 1, 3, 20, 9);
  layer.compute();
  EmulatedRuntime lost(spec);
  lost.lose_blocks = 1;
  setenv("FASTRNN_CUDA_TIMEOUT", "1e-5", 1);  // of the emulation's clock
  expect_error("a block waited for another that never came", [&] { layer.run(lost, spec, Type::float32, Tier::grid); });
  expect(lost.live() == 0, "memory was left behind after an error");
  for (const char* wrong : {"soon", "", "0", "-1", "nan", "1s"}) {
    setenv("FASTRNN_CUDA_TIMEOUT", wrong, 1);
    const std::string expected = "FASTRNN_CUDA_TIMEOUT: expected seconds above 0, got '" + std::string(wrong) + "'";
    try {
      layer.run(lost, spec, Type::float32, Tier::grid);
      expect(false, "no error: " + expected);
    } catch (const Error& error) {
      expect(error.what() == expected, error.what());
    }
  }
  unsetenv("FASTRNN_CUDA_TIMEOUT");
  EmulatedRuntime full(spec);
  full.lose_room = true;
  expect_error("at once, got 0", [&] { layer.run(full, spec, Type::float32, Tier::grid); });
  expect(full.live() == 0, "memory was left behind after a refusal");
}

}  // namespace

int main() {
  check_choice();
  check_image();
  check_layers();
  check_device_arrays();
  check_device_strides();
  check_device_refusals();
  check_errors();
  return cuda::emulation::finish("host side");
}
