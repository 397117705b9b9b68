// Training from the host over the emulation: the recurrence backwards, and the products and sums after it, against the
// CPU backend, whose gradients are proved by finite differences.
#include <algorithm>
#include <cmath>
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

struct Size {
  int steps, batch, inputs, hidden;
};

/// The gradients of a call, and what they are called.
struct Gradients {
  Floats dx, dh0, dc0, dw_ih, dw_hh, db_ih, db_hh, dw_peep;
  std::vector<std::pair<const char*, const Floats*>> all() const {
    return {{"dx", &dx},       {"dh0", &dh0},     {"dc0", &dc0},     {"dw_ih", &dw_ih},
            {"dw_hh", &dw_hh}, {"db_ih", &db_ih}, {"db_hh", &db_hh}, {"dw_peep", &dw_peep}};
  }
};

class Layer {
 public:
  CellOptions options;
  bool reverse = false, states = true;
  std::vector<Index> lengths;

  Layer(const CellOptions& options, const Size& size, unsigned seed) : options(options), s(size), random_(seed) {
    const int units = int(gate_count(options.cell)) * s.hidden, h = s.hidden;
    const float scale = 1 / std::sqrt(float(h));
    const bool diagonal = options.cell == CellType::indrnn;
    x_ = draw(s.steps * s.batch * s.inputs, 1);
    w_ih_ = draw(units * s.inputs, 1 / std::sqrt(float(s.inputs)));
    w_hh_ = draw(diagonal ? h : units * h, scale);
    b_ih_ = draw(units, scale);
    b_hh_ = draw(units, scale);
    if (options.peephole != Peephole::none)
      w_peep_ = draw(options.peephole == Peephole::full ? 3 * h * h : 3 * h, scale);
    c_states_ = int(cell_state_count(options.cell));
    h0_ = draw(s.batch * h, 0.5f);
    c0_ = draw(c_states_ * s.batch * h, 0.5f);
    dy_ = draw(s.steps * s.batch * h, 1);
    dh_n_ = draw(s.batch * h, 1);
    dc_n_ = draw(c_states_ * s.batch * h, 1);
  }

  bool empty() const { return s.batch == 0; }

  void ragged() {
    for (int b = 0; b < s.batch; ++b) lengths.push_back((b * 5 + 2) % (s.steps + 1));
    // What lies beyond a row's length is no data and must not reach a gradient.
    for (int t = 0; t < s.steps; ++t)
      for (int b = 0; b < s.batch; ++b)
        if (t >= lengths[std::size_t(b)]) std::fill_n(x_.begin() + (t * s.batch + b) * s.inputs, s.inputs, NAN);
  }

  Gradients on_cpu() {
    Gradients g = room();
    const Saved<float> saved(std::make_shared<const Weights<float>>(options, parameters()), arguments());
    fastrnn::backward(saved, wanted(g));
    return g;
  }
  Gradients on_device(EmulatedRuntime& runtime, const cuda::DeviceSpec& spec, Type type, Tier tier) {
    Gradients g = room();
    cuda::HostLayer layer(runtime, spec, options, parameters(), arguments(), type, tier, true);
    layer.backward(wanted(g));
    return g;
  }

 private:
  Floats draw(int n, float scale) {
    std::uniform_real_distribution<float> uniform(-scale, scale);
    Floats v(std::size_t(n), 0.0f);
    for (float& f : v) f = uniform(random_);
    return v;
  }
  Parameters<float> parameters() const {
    Parameters<float> p;
    p.inputs = s.inputs;
    p.hidden = s.hidden;
    p.w_ih = w_ih_.data();
    p.w_hh = w_hh_.data();
    p.b_ih = b_ih_.data();
    p.b_hh = b_hh_.data();
    p.w_peep = w_peep_.empty() ? nullptr : w_peep_.data();
    return p;
  }
  ForwardArguments<float> arguments() {
    y_.assign(std::size_t(s.steps * s.batch * s.hidden), NAN);
    h_n_.resize(h0_.size());
    c_n_.resize(c0_.size());
    ForwardArguments<float> a;
    a.steps = s.steps;
    a.batch = s.batch;
    a.x = {x_.data(), Index(s.batch) * s.inputs, s.inputs};
    if (states) a.h0 = h0_.data();
    if (states && c_states_ > 0) a.c0 = c0_.data();
    a.lengths = lengths.empty() ? nullptr : lengths.data();
    a.reverse = reverse;
    a.y = {y_.data(), Index(s.batch) * s.hidden, s.hidden};
    a.h_n = h_n_.data();
    a.c_n = c_states_ > 0 ? c_n_.data() : nullptr;
    return a;
  }
  Gradients room() const {
    const auto like = [](const Floats& v) { return Floats(v.size(), NAN); };
    return {like(x_), like(h0_), like(c0_), like(w_ih_), like(w_hh_), like(b_ih_), like(b_hh_), like(w_peep_)};
  }
  BackwardArguments<float> wanted(Gradients& g) const {
    BackwardArguments<float> a;
    a.dy = {dy_.data(), Index(s.batch) * s.hidden, s.hidden};
    a.dh_n = dh_n_.data();
    a.dc_n = c_states_ > 0 ? dc_n_.data() : nullptr;
    a.dx = {g.dx.data(), Index(s.batch) * s.inputs, s.inputs};
    a.dh0 = g.dh0.data();
    a.dc0 = c_states_ > 0 ? g.dc0.data() : nullptr;
    a.dw_ih = g.dw_ih.data();
    a.dw_hh = g.dw_hh.data();
    a.db_ih = g.db_ih.data();
    a.db_hh = g.db_hh.data();
    a.dw_peep = g.dw_peep.empty() ? nullptr : g.dw_peep.data();
    return a;
  }

  const Size s;
  std::mt19937 random_;
  int c_states_ = 0;
  Floats x_, w_ih_, w_hh_, b_ih_, b_hh_, w_peep_, h0_, c0_, y_, h_n_, c_n_, dy_, dh_n_, dc_n_;
};

/// Of all gradients, against the largest of the array they are in. float32 differs in the order of sums and in exp;
/// with 16 bits every product has factors rounded by 2^-11 or 2^-9, carried on through T steps.
float tolerance(Type type) { return type == Type::float32 ? 3e-5f : type == Type::float16 ? 1e-2f : 6e-2f; }

void check(const std::string& name, Layer& layer, Type type, Tier tier) {
  const cuda::DeviceSpec& spec = cuda::device_spec("H100");
  EmulatedRuntime runtime(spec);
  const Gradients right = layer.on_cpu();
  const std::string what = name + " " + cuda::type_name(type) + " " + cuda::tier_name(tier);
  const Gradients got = layer.on_device(runtime, spec, type, tier);
  const auto wanted = right.all(), found = got.all();
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    float largest = 1e-3f, worst = 0;
    for (const float f : *wanted[i].second) largest = std::max(largest, std::abs(f));
    for (std::size_t j = 0; j < wanted[i].second->size(); ++j) {
      const float difference = std::abs((*found[i].second)[j] - (*wanted[i].second)[j]);
      worst = std::isnan(difference) ? INFINITY : std::max(worst, difference);
    }
    expect(worst <= tolerance(type) * largest,
           what + ": " + wanted[i].first + " differs by " + std::to_string(worst / largest) + " of the largest");
  }
  expect(layer.empty() || runtime.last_tier == tier, what + ": another tier ran");
  expect(runtime.live() == 0, what + ": memory was left behind");
}

CellOptions cell(CellType type, Reset reset = Reset::after) {
  CellOptions options;
  options.cell = type;
  options.reset = reset;
  return options;
}

void check_persistent_tiers() {
  CellOptions peepholes = cell(CellType::lstm), coupled = cell(CellType::lstm);
  peepholes.peephole = Peephole::diagonal;
  coupled.coupled = true;
  const std::pair<const char*, CellOptions> cells[] = {{"lstm", cell(CellType::lstm)},
                                                       {"lstm, peepholes", peepholes},
                                                       {"lstm, coupled", coupled},
                                                       {"gru", cell(CellType::gru)}};
  const Size sizes[] = {{3, 2, 5, 33}, {4, 3, 1, 17}, {1, 1, 3, 3}, {2, 2, 2, 1}, {3, 0, 5, 17}, {0, 2, 5, 17}};
  unsigned seed = 0;
  for (const auto& [name, options] : cells)
    for (const Tier tier : {Tier::block, Tier::cluster, Tier::grid})
      for (const Size& size : sizes) {
        if (size.hidden == 1 && tier != Tier::block) continue;
        ++seed;
        Layer layer(options, size, seed);
        layer.reverse = seed % 2 == 1;
        layer.states = seed % 3 != 0;
        if (seed % 4 < 2) layer.ragged();
        const bool all_types = size.hidden == 17;
        for (const Type type : {Type::float32, Type::bfloat16, Type::float16})
          if (type == Type::float32 || all_types) check(name, layer, type, tier);
      }
}

/// Every cell, and options that the other tiers do not know.
void check_graph_tier() {
  CellOptions full = cell(CellType::lstm), relu = cell(CellType::rnn), hard = cell(CellType::gru, Reset::before);
  full.peephole = Peephole::full;
  relu.activation.kind = Activation::relu;
  hard.recurrent_activation = {Activation::hard_sigmoid, 0.2, 0.5};
  const std::pair<const char*, CellOptions> cells[] = {{"rnn", cell(CellType::rnn)},
                                                       {"rnn, relu", relu},
                                                       {"lstm", cell(CellType::lstm)},
                                                       {"lstm, full peepholes", full},
                                                       {"gru after", cell(CellType::gru)},
                                                       {"gru before", cell(CellType::gru, Reset::before)},
                                                       {"gru output", cell(CellType::gru, Reset::output)},
                                                       {"gru, hard sigmoid", hard},
                                                       {"indrnn", cell(CellType::indrnn)},
                                                       {"mgu", cell(CellType::mgu)},
                                                       {"slstm", cell(CellType::slstm)}};
  unsigned seed = 100;
  for (const auto& [name, options] : cells)
    for (const Size& size : {Size{3, 2, 5, 33}, Size{11, 3, 1, 3}, Size{3, 0, 2, 3}, Size{0, 2, 2, 3}}) {
      Layer layer(options, size, ++seed);
      layer.reverse = seed % 2 == 1;
      layer.states = seed % 3 != 0;
      if (seed % 4 < 2) layer.ragged();
      check(name, layer, Type::float32, Tier::graph);
    }
}

}  // namespace

int main() {
  check_persistent_tiers();
  check_graph_tier();
  return cuda::emulation::finish("backward from the host");
}
