// Stacks on the emulated device, layers over one another and in both directions, against the CPU backend in float64:
// outputs, final states and all gradients.
#include <cmath>
#include <cstdio>
#include <map>
#include <random>
#include <string>

#include "cuda/run/run_stack.h"
#include "emulated_runtime.h"

namespace {

using namespace fastrnn;
using cuda::Tier;

int checks = 0, failures = 0;

struct Case {
  const char* name;
  CellType cell;
  int layers, directions;
  Merge merge;
  std::optional<Tier> tier;
  double between = 0, inputs = 0, recurrent = 0;  // dropout
  bool ragged = false, masked = false, projected = false, reverse = false, packed = false;
  Index steps = 4, batch = 3, in = 5, hidden = 9;
};

/// The arrays of a call, drawn as float32's values, and its results.
template <class T>
class Call {
 public:
  std::map<std::string, std::vector<T>> results;

  Call(const Case& c, unsigned seed) : c_(c), random_(seed) {
    const Index own = c.projected ? 4 : c.hidden, merged = own * (c.merge == Merge::concat ? c.directions : 1);
    const Index gates = gate_count(c.cell), count = c.layers * c.directions, states = cell_state_count(c.cell);
    for (int layer = 0; layer < c.layers; ++layer)
      for (int d = 0; d < c.directions; ++d) {
        const std::string at = std::to_string(layer * c.directions + d);
        Parameters<T> p;
        p.inputs = layer == 0 ? c.in : merged;
        p.hidden = c.hidden;
        p.projection = c.projected ? own : 0;
        p.w_ih = draw("w_ih" + at, gates * c.hidden * p.inputs, 0.5);
        p.w_hh = draw("w_hh" + at, gates * c.hidden * own, 0.4);
        p.b_ih = draw("b_ih" + at, gates * c.hidden, 0.3);
        p.b_hh = draw("b_hh" + at, gates * c.hidden, 0.3);
        if (c.projected) p.w_hr = draw("w_hr" + at, own * c.hidden, 0.5);
        parameters.push_back(p);
      }
    arguments.steps = c.steps;
    arguments.batch = c.batch;
    arguments.x = {draw("x", c.steps * c.batch * c.in, 1), c.batch * c.in, c.in};
    arguments.h0 = draw("h0", count * c.batch * own, 1);
    if (states > 0) arguments.c0 = draw("c0", count * states * c.batch * c.hidden, 1);
    arguments.y = {room("y", c.steps * c.batch * merged), c.batch * merged, merged};
    arguments.h_n = room("h_n", count * c.batch * own);
    if (states > 0) arguments.c_n = room("c_n", count * states * c.batch * c.hidden);
    arguments.reverse = c.reverse;
    arguments.dropout.seed = seed * 0x123456789ull;
    arguments.dropout.inputs = c.inputs;
    arguments.dropout.recurrent = c.recurrent;
    for (Index b = 0; b < c.batch; ++b) lengths_.push_back((b * 3 + 2) % (c.steps + 1));
    for (Index i = 0; i < c.steps * c.batch; ++i) mask_.push_back(i % 3 != 1);
    if (c.ragged) arguments.lengths = lengths_.data();
    if (c.masked) arguments.mask = mask_.data();
    if (c.packed) {  // rows of the padded arrays one behind the other, as far as there are any
      sizes_ = {3, 3, 2, 1};
      arguments.batch_sizes = sizes_.data();
      arguments.x.step = arguments.y.step = 0;
    }
    gradients.dy = {draw("dy", c.steps * c.batch * merged, 0.4), c.batch * merged, merged};
    gradients.dh_n = draw("dh_n", count * c.batch * own, 0.4);
    if (states > 0) gradients.dc_n = draw("dc_n", count * states * c.batch * c.hidden, 0.4);
    gradients.dx = {room("dx", c.steps * c.batch * c.in), c.batch * c.in, c.in};
    gradients.dh0 = room("dh0", count * c.batch * own);
    if (states > 0) gradients.dc0 = room("dc0", count * states * c.batch * c.hidden);
    for (Index i = 0; i < count; ++i) {
      const std::string at = std::to_string(i);
      BackwardArguments<T> g;
      g.dw_ih = room("dw_ih" + at, gates * c.hidden * parameters[std::size_t(i)].inputs);
      g.dw_hh = room("dw_hh" + at, gates * c.hidden * own);
      g.db_ih = room("db_ih" + at, gates * c.hidden);
      g.db_hh = room("db_hh" + at, gates * c.hidden);
      if (c.projected) g.dw_hr = room("dw_hr" + at, own * c.hidden);
      gradients.parameters.push_back(g);
    }
  }

  CellOptions options() const {
    CellOptions options;
    options.cell = c_.cell;
    return options;
  }

  std::vector<Parameters<T>> parameters;
  ForwardArguments<T> arguments;
  StackBackwardArguments<T> gradients;

 private:
  const T* draw(const std::string& name, Index n, double scale) {
    std::uniform_real_distribution<double> uniform(-scale, scale);
    std::vector<T>& v = arrays_[name];
    for (Index i = 0; i < n; ++i) v.push_back(T(float(uniform(random_))));
    return v.data();
  }
  T* room(const std::string& name, Index n) {
    results[name].assign(std::size_t(n), T(NAN));
    return results[name].data();
  }

  const Case c_;
  std::mt19937 random_;
  std::map<std::string, std::vector<T>> arrays_;
  std::vector<Index> lengths_, sizes_;
  std::vector<unsigned char> mask_;
};

void on_cpu(const Case& c, Call<double>& call) {
  Stack<double> stack;
  for (const auto& p : call.parameters)
    stack.weights.push_back(std::make_shared<const Weights<double>>(call.options(), p));
  stack.directions = c.directions;
  stack.merge = c.merge;
  stack.dropout = c.between;
  if (!c.reverse) return fastrnn::backward(StackSaved<double>(stack, call.arguments), call.gradients);
  const StackBackwardArguments<double>& g = call.gradients;
  BackwardArguments<double> one = g.parameters[0];
  one.dy = g.dy, one.dh_n = g.dh_n, one.dc_n = g.dc_n, one.dx = g.dx, one.dh0 = g.dh0, one.dc0 = g.dc0;
  fastrnn::backward(Saved<double>(stack.weights[0], call.arguments), one);
}

/// `on_gpu`: the emulated device's memory is the heap, so that the host's arrays may pass for the device's.
std::string on_device(const Case& c, Call<float>& call, bool on_gpu) {
  const cuda::DeviceSpec& spec = cuda::device_spec("H100");
  cuda::EmulatedRuntime runtime(spec);
  {
    std::vector<std::unique_ptr<cuda::DeviceLayer>> layers;
    cuda::DeviceStack stack{{}, c.directions, c.merge, c.between, cuda::Type::float32, c.tier};
    for (const auto& p : call.parameters) {
      layers.push_back(std::make_unique<cuda::DeviceLayer>(runtime, call.options(), p, on_gpu));
      stack.layers.push_back(layers.back().get());
    }
    const cuda::StackRun run(runtime, spec, stack, call.arguments, true, on_gpu);
    run.backward(call.gradients);
    for (auto& [key, v] : call.results)
      if (key[0] == 'd') std::fill(v.begin(), v.end(), NAN);
    run.backward(call.gradients);  // as often as wanted
    if (c.tier && runtime.last_tier != *c.tier) return "another tier ran";
  }
  return runtime.live() == 0 ? "" : "memory was left behind";
}

std::string compare(const std::map<std::string, std::vector<double>>& want,
                    const std::map<std::string, std::vector<float>>& got, const Case& c) {
  // Rounding of the sums, once for each step and layer and as often backwards; relative to a tensor's largest element.
  const double tolerance = 4e-6 * double(4 + c.steps) * c.layers;
  for (const auto& [key, v] : want) {
    double largest = 0.3;
    for (const double x : v) largest = std::max(largest, std::abs(x));
    const std::vector<float>& found = got.at(key);
    for (std::size_t i = 0; i < v.size(); ++i)
      if (!(std::isnan(v[i]) && std::isnan(found[i])) &&  // behind packed rows
          !(std::abs(double(found[i]) - v[i]) <= tolerance * largest))
        return key + "[" + std::to_string(i) + "] is " + std::to_string(found[i]) + ", expected " +
               std::to_string(v[i]);
  }
  return "";
}

void check(const Case& c) {
  const unsigned seed = unsigned(++checks);
  Call<double> want(c, seed);
  on_cpu(c, want);
  for (const bool on_gpu : {false, true}) {
    Call<float> got(c, seed);
    std::string error;
    try {
      error = on_device(c, got, on_gpu);
      if (error.empty()) error = compare(want.results, got.results, c);
    } catch (const std::exception& e) {
      error = e.what();
    }
    if (error.empty()) continue;
    ++failures;
    std::fprintf(stderr, "FAILED: %s %s, %d layers, %d directions, merge %d, arrays %s: %s\n",
                 kCellNames[int(c.cell)].data(), c.name, c.layers, c.directions, int(c.merge),
                 on_gpu ? "on the device" : "of the host", error.c_str());
  }
}

/// Arrays on the device whose rows are in the order of the batch.
void check_batch_first() {
  const Case c{"batch first", CellType::lstm, 2, 2, Merge::concat, {}};
  Call<double> want(c, 77);
  on_cpu(c, want);
  Call<float> got(c, 77);
  const auto turn = [&](auto& rows, Index width, auto& values) {
    for (Index b = 0; b < c.batch; ++b)
      for (Index t = 0; t < c.steps; ++t)
        for (Index k = 0; k < width; ++k) values.push_back(rows.at(t, b)[k]);
    rows = {values.data(), width, c.steps * width};
  };
  std::vector<float> x, y, dy, dx;
  const Sequence<float> y_before = got.arguments.y, dx_before = got.gradients.dx;
  turn(got.arguments.x, c.in, x);
  turn(got.arguments.y, 2 * c.hidden, y);
  turn(got.gradients.dy, 2 * c.hidden, dy);
  turn(got.gradients.dx, c.in, dx);
  std::string error = on_device(c, got, true);
  // Back to the order of time, where the results are looked for; y may be used by backward() until then.
  for (Index t = 0; t < c.steps; ++t)
    for (Index b = 0; b < c.batch; ++b) {
      std::copy_n(got.arguments.y.at(t, b), 2 * c.hidden, y_before.at(t, b));
      std::copy_n(got.gradients.dx.at(t, b), c.in, dx_before.at(t, b));
    }
  if (error.empty()) error = compare(want.results, got.results, c);
  ++checks;
  if (error.empty()) return;
  ++failures;
  std::fprintf(stderr, "FAILED: batch first: %s\n", error.c_str());
}

/// A call that is refused says why, and takes no memory.
void check_refusals() {
  const auto refused = [](const char* text, const Case& c, auto&& spoil) {
    ++checks;
    Call<float> call(c, 5);
    spoil(call);
    std::string error = "no error";
    try {
      on_device(c, call, true);
    } catch (const Error& e) {
      error = e.what();
    }
    if (error == text) return;
    ++failures;
    std::fprintf(stderr, "FAILED: expected '%s', got '%s'\n", text, error.c_str());
  };
  const Case two{"", CellType::gru, 2, 1, Merge::concat, {}};
  refused("reverse: expected false for a stack, got true", two, [](auto& call) { call.arguments.reverse = true; });
  refused("layers[1]: expected input size 9, the width of the output of layers[0], got 8", two,
          [](auto& call) { call.parameters[1].inputs = 8; });
  refused("checkpoint_every: expected nothing in training on a GPU, got a value", two,
          [](auto& call) { call.arguments.checkpoint_every = 2; });
  refused("parameters: expected 2, got 1", two, [](auto& call) { call.gradients.parameters.pop_back(); });
  Case dropped = two;
  dropped.between = 1;
  refused("dropout: expected a rate in [0, 1), got 1.000000", dropped, [](auto&) {});
}

}  // namespace

int main() {
  const auto concat = Merge::concat;
  for (const CellType cell : {CellType::rnn, CellType::lstm, CellType::gru, CellType::mgu, CellType::slstm}) {
    const std::optional<Tier> tier = cell == CellType::rnn ? Tier::graph : std::optional<Tier>();  // its only one here
    check({"layers", cell, 3, 1, concat, tier});
    check({"directions", cell, 1, 2, concat, tier, 0, 0, 0, true});
    check({"both, with dropout", cell, 2, 2, concat, tier, 0.4, 0, 0, true});
  }
  check({"five layers", CellType::gru, 5, 1, concat, {}, 0.2});
  for (const Merge merge : {Merge::sum, Merge::mean, Merge::mul}) {
    check({"merged", CellType::lstm, 2, 2, merge, {}});
    check({"merged, with dropout", CellType::gru, 3, 2, merge, {}, 0.3, 0, 0, true});
  }
  for (const Tier tier : {Tier::block, Tier::cluster, Tier::grid, Tier::graph}) {
    check({"tiers", CellType::lstm, 2, 2, concat, tier, 0.2, 0, 0, true});
    check({"tiers", CellType::gru, 1, 2, Merge::sum, tier});
  }
  check({"projection", CellType::lstm, 2, 2, concat, {}, 0.2, 0, 0, true, false, true});
  check({"dropout of x and h", CellType::lstm, 2, 2, concat, {}, 0.2, 0.3, 0.3, true});
  check({"dropout of x and h", CellType::gru, 3, 1, concat, {}, 0.2, 0.3, 0.3});
  check({"outputs that repeat", CellType::lstm, 2, 2, concat, {}, 0, 0, 0, false, true});
  check({"outputs that repeat", CellType::gru, 2, 2, Merge::mean, {}, 0, 0, 0, false, true});
  for (const int directions : {1, 2}) {
    check({"packed", CellType::lstm, 2, directions, concat, {}, 0.3, 0.2, 0, false, false, false, false, true});
    check(
        {"packed", CellType::gru, 1, directions, Merge::sum, {}, 0, 0, 0, false, false, false, directions == 1, true});
  }
  check({"reversed", CellType::lstm, 1, 1, concat, {}, 0, 0, 0, true, false, false, true});
  Case empty{"no rows", CellType::lstm, 2, 2, concat, {}};
  empty.batch = 0;
  check(empty);
  empty.batch = 2;
  empty.steps = 0;
  check(empty);
  check_batch_first();
  check_refusals();
  std::printf("stacks: %d checks, %d failed\n", checks, failures);
  return failures == 0 && checks > 0 ? 0 : 1;
}
