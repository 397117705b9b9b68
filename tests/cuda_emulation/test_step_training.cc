// Training by Tier::graph with every cell and option: what the backward recurrence leaves, and through products of the
// gate gradients those of x, w_ih and the biases, against the CPU backend in float64.
#include <cstdio>
#include <numeric>

#include "core/kernels.h"
#include "cuda/run_steps.h"
#include "cuda/step_table.h"
#include "cuda/steps.h"
#include "emulated_runtime.h"
#include "option_layer.h"

namespace fastrnn::cuda {

static const KernelEntry table[] = {FASTRNN_CELL_LIST(FASTRNN_STEPS_OF_TYPES)};
std::vector<KernelList> compiled_kernels() { return {{table, table + sizeof(table) / sizeof(*table)}}; }

}  // namespace fastrnn::cuda

namespace {

using namespace fastrnn;
using Doubles = std::map<std::string, std::vector<double>>;
using Floats = std::map<std::string, std::vector<float>>;

int checks = 0, failures = 0;

Doubles on_cpu(const test::OptionLayer& layer) {
  const Doubles a = layer.copy<double>();
  Doubles want;
  const ForwardArguments<double> f = layer.arguments(a, want);
  const Saved<double> saved(std::make_shared<const Weights<double>>(layer.options, layer.parameters(a)), f);
  Doubles all = a;  // room for gradients that are not compared
  const auto room = [&](const char* name, const char* like) {
    const auto found = a.find(like);
    std::vector<double>& v = (want.count(name) ? want : all)[name];
    v.assign(found == a.end() ? 1 : found->second.size(), NAN);
    return v.data();
  };
  for (const char* name : {"dx", "dw_ih", "db_ih", "db_hh", "dh0", "dc0"}) want[name];
  BackwardArguments<double> g;
  g.dy = {test::OptionLayer::find(a, "dy"), f.y.step, f.y.row};
  g.dh_n = test::OptionLayer::find(a, "dh_n");
  g.dc_n = test::OptionLayer::find(a, "dc_n");
  g.dx = {room("dx", "x"), f.x.step, f.x.row};
  g.dh0 = room("dh0", "h0");
  g.dc0 = room("dc0", "c0");
  g.dw_ih = room("dw_ih", "w_ih");
  g.dw_hh = room("dw_hh", "w_hh");
  g.db_ih = room("db_ih", "b_ih");
  g.db_hh = room("db_hh", "b_hh");
  g.dw_peep = room("dw_peep", "w_peep");
  g.dw_hr = room("dw_hr", "w_hr");
  g.dln_ih = room("dln_ih", "ln_ih");
  g.dln_hh = room("dln_hh", "ln_hh");
  g.dln_c = room("dln_c", "ln_c");
  backward(saved, g);
  if (layer.c_size() == 0) want.erase("dc0");
  return want;
}

/// The layer's steps, as the device is told of them.
struct Times {
  std::vector<int> length, times;
  Times(const test::OptionLayer& l) : length(std::size_t(l.batch), int(l.steps)) {
    for (Index b = 0; b < l.batch && l.ragged; ++b) length[std::size_t(b)] = int(l.lengths[std::size_t(b)]);
    if (!l.masked) return;
    times.resize(std::size_t(l.batch * l.steps));
    for (Index b = 0; b < l.batch; ++b) {
      int n = 0;
      for (Index i = 0; i < l.steps; ++i) {
        const Index t = l.reverse ? l.steps - 1 - i : i;
        if (l.mask[std::size_t(t * l.batch + b)]) times[std::size_t(b * l.steps + n++)] = int(t);
      }
      length[std::size_t(b)] = n;
    }
  }
};

Floats on_device(const test::OptionLayer& layer) {
  const Floats a = layer.copy<float>();
  const auto find = [&](const char* name) { return test::OptionLayer::find(a, name); };
  const Index t = layer.steps, b = layer.batch, h = layer.hidden, w = layer.width(), in = layer.inputs;
  cuda::Problem problem = cuda::make_problem(layer.options, layer.parameters(a), cuda::Type::float32, b, t);
  problem.zero_output_for_mask = layer.zero_output_for_mask;
  problem.pass = cuda::Pass::training;
  const cells::Description cell = cells::describe(problem.kind, problem.options);
  Floats got;
  const auto nans = [&](const char* name, Index n) { return got[name].assign(std::size_t(n), NAN), got[name].data(); };
  const Times times(layer);
  const Index rows = cell.gates * h;
  // W x as float32 makes it.
  float* input = nans("input", t * b * rows);
  for (Index row = 0; row < t * b; ++row)
    for (Index r = 0; r < rows; ++r) {
      double sum = 0;
      for (Index k = 0; k < in; ++k) sum += double(find("w_ih")[r * in + k]) * double(find("x")[row * in + k]);
      input[row * rows + r] = float(sum);
    }
  cuda::ForwardParams f{};
  cuda::BackwardParams g{};
  f.y = {nans("y", t * b * w), b * w, w};
  f.gates = nans("gates", t * b * cuda::saved_columns(cell, problem.options) * h);
  f.c = nans("c", t * b * cell.c_states * h);
  f.extension.statistics = nans("statistics", t * b * kStatistics);
  f.options = problem.options;
  f.steps = int(t);
  f.batch = int(b);
  f.hidden = int(h);
  f.reverse = layer.reverse;
  f.length = times.length.data();
  f.w_hh = find("w_hh");
  f.w_peep = layer.options.cell == CellType::indrnn ? find("w_hh") : find("w_peep");
  f.b_ih = find("b_ih");
  f.b_hh = find("b_hh");
  f.h0 = find("h0");
  f.c0 = find("c0");
  cuda::Extension& e = f.extension;
  e.projection = int(layer.projection);
  e.w_hr = find("w_hr");
  e.ln_ih = find("ln_ih");
  e.ln_hh = find("ln_hh");
  e.ln_c = find("ln_c");
  e.norm_epsilon = float(layer.options.norm_epsilon);
  e.gate_bias[cells::lstm::F] = float(problem.forget_bias);
  e.times = times.times.empty() ? nullptr : times.times.data();
  e.reset = layer.resets ? layer.mask.data() : nullptr;
  e.truncate = int(layer.truncate);
  cuda::set_masks(problem.options, layer.dropout, e);
  static_cast<cuda::LayerParams&>(g) = f;
  f.input = input;
  f.h_n = nans("h_n", b * w);
  f.c_n = nans("c_n", layer.c_size());
  cuda::EmulatedRuntime runtime(cuda::device_spec("H100"));
  run_steps(runtime, problem, f);
  problem.pass = cuda::Pass::backward;
  g.dy = {find("dy"), b * w, w};
  g.dh_n = find("dh_n");
  g.dc_n = find("dc_n");
  g.dgates = nans("dgates", t * b * cell.dcolumns * h);
  g.dh0 = nans("dh0", b * w);
  g.dc0 = nans("dc0", layer.c_size());
  run_steps(runtime, problem, g);
  float *dx = nans("dx", t * b * in), *dw = nans("dw_ih", rows * in), *db_ih = nans("db_ih", rows),
        *db_hh = nans("db_hh", rows);
  const auto column = [&](Index row, int j, Index u) { return double(g.dgates[(row * cell.dcolumns + j) * h + u]); };
  for (Index row = 0; row < t * b; ++row)
    for (Index k = 0; k < in; ++k) {
      double sum = 0;
      for (Index r = 0; r < rows; ++r)
        sum += column(row, cell.input_column + int(r / h), r % h) * double(find("w_ih")[r * in + k]);
      dx[row * in + k] = float(sum);
    }
  for (Index r = 0; r < rows; ++r) {
    const int gate = int(r / h);
    double ih = 0, hh = 0;
    for (Index row = 0; row < t * b; ++row) {
      ih += column(row, gate, r % h);
      hh += column(row, cell.recurrent_column[gate], r % h);
    }
    db_ih[r] = float(ih);
    db_hh[r] = float(hh);
    for (Index k = 0; k < in; ++k) {
      double sum = 0;
      for (Index row = 0; row < t * b; ++row)
        sum += column(row, cell.input_column + gate, r % h) * double(find("x")[row * in + k]);
      dw[r * in + k] = float(sum);
    }
  }
  return got;
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
  std::fprintf(stderr, "FAILED: %s %s, H %d B %d T %d, truncate %d, dropout %g: %s\n",
               kCellNames[int(layer.options.cell)].data(), layer.name, int(layer.hidden), int(layer.batch),
               int(layer.steps), int(layer.truncate), layer.dropout.candidate, error.c_str());
}

}  // namespace

int main() {
  unsigned seed = 100;
  for (const test::OptionLayer& one : test::option_layers()) {
    test::OptionLayer layer = one;
    ++seed;
    layer.zero_output_for_mask = layer.masked;  // a repeated output's gradients are the caller's to gather
    layer.dropout.seed = seed * 0x100000001ull;
    layer.dropout.stream = seed % 3;
    const CellType cell = layer.options.cell;
    if (seed % 2 == 0 && (cell == CellType::lstm || cell == CellType::gru || cell == CellType::mgu))
      layer.dropout.candidate = 0.3;
    layer.truncate = seed % 4 == 0 ? 2 : 0;
    layer.batch = 3 + seed % 2;
    layer.hidden = seed % 3 == 0 ? 17 : 6;
    const bool bounded = layer.options.recurrent_activation.kind == Activation::sigmoid;  // others grow without end
    layer.steps = seed % 5 == 0 && bounded ? 18 : 6;
    layer.draw(seed);
    check(layer);
  }
  std::printf("training of steps: %d checks, %d failed\n", checks, failures);
  return failures == 0 && checks > 0 ? 0 : 1;
}
