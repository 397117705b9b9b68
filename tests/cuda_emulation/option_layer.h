// A layer with any cell and options in the public interface's words: its arrays as float and as double, with the same
// values.
#pragma once

#include <algorithm>
#include <cmath>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "core/base/random.h"
#include "emulation.h"
#include "fastrnn/fastrnn.hpp"

namespace test {

using fastrnn::CellType;
using fastrnn::Index;

/// In which order the threads of a test's kernels run: every check has its own.
inline fastrnn::cuda::emulation::Schedule schedule(unsigned check) {
  using fastrnn::cuda::emulation::Order;
  constexpr Order orders[] = {Order::ascending, Order::descending, Order::random};
  return {orders[check % 3], check};
}

struct OptionLayer {
  const char* name = "";
  fastrnn::CellOptions options;
  Index steps = 5, batch = 3, inputs = 4, hidden = 7, projection = 0;  // P, where there is one
  bool gate_norm = false, cell_norm = false, peepholes = false;
  bool reverse = false, ragged = false, masked = false, resets = false, zero_output_for_mask = false;
  fastrnn::DropoutOptions dropout;
  Index truncate = 0;
  std::map<std::string, std::vector<double>> arrays;
  std::vector<Index> lengths;
  std::vector<unsigned char> mask;

  Index width() const { return projection > 0 ? projection : hidden; }
  Index c_size() const { return fastrnn::cell_state_count(options.cell) * batch * hidden; }

  /// Draws the arrays. Values are float32's.
  void draw(unsigned seed) {
    std::mt19937 random(seed);
    const auto fill = [&](const char* array, Index n, double scale, double shift = 0) {
      std::uniform_real_distribution<double> uniform(-scale, scale);
      std::vector<double>& v = arrays[array];
      v.resize(std::size_t(n));
      for (double& value : v) value = float(uniform(random) + shift);
    };
    const Index gates = fastrnn::gate_count(options.cell), rows = gates * hidden;
    const double scale = 1.5 / std::sqrt(double(hidden));
    fill("x", steps * batch * inputs, 1);
    fill("w_ih", rows * inputs, scale);
    fill("w_hh", options.cell == CellType::indrnn ? hidden : rows * width(), scale);
    fill("b_ih", rows, 0.5);
    fill("b_hh", rows, 0.5);
    const bool full = options.peephole == fastrnn::Peephole::full;
    if (peepholes || full) fill("w_peep", full ? 3 * hidden * hidden : 3 * hidden, scale);
    if (projection > 0) fill("w_hr", projection * hidden, scale);
    if (gate_norm) fill("ln_hh", rows, 0.5, 1);
    if (gate_norm && options.cell != CellType::rnn) fill("ln_ih", rows, 0.5, 1);
    if (cell_norm) fill("ln_c", 2 * hidden, 0.5, 1);
    fill("h0", batch * width(), 1);
    if (c_size() > 0) fill("c0", c_size(), 1);
    // n of an sLSTM is a sum of exponentials.
    if (options.cell == CellType::slstm)
      for (Index i = 0; i < batch * hidden; ++i) arrays["c0"][std::size_t(batch * hidden + i)] = 1.5;
    fill("dy", steps * batch * width(), 0.3);
    fill("dh_n", batch * width(), 0.3);
    if (c_size() > 0) fill("dc_n", c_size(), 0.3);
    for (Index b = 0; ragged && b < batch; ++b) lengths.push_back((b * 5 + 3) % (steps + 1));
    for (Index i = 0; (masked || resets) && i < steps * batch; ++i) mask.push_back(random() % 3 != 0);
    // What lies behind a row's end is nobody's: it must not come near a result.
    for (Index t = 0; ragged && t < steps; ++t)
      for (Index b = 0; b < batch; ++b)
        if (t >= lengths[std::size_t(b)]) {
          std::fill_n(arrays["x"].begin() + (t * batch + b) * inputs, inputs, NAN);
          std::fill_n(arrays["dy"].begin() + (t * batch + b) * width(), width(), NAN);
        }
  }

  template <class T>
  std::map<std::string, std::vector<T>> copy() const {
    std::map<std::string, std::vector<T>> out;
    for (const auto& [key, v] : arrays) out[key].assign(v.begin(), v.end());
    return out;
  }

  template <class T>
  static const T* find(const std::map<std::string, std::vector<T>>& a, const char* key) {
    const auto found = a.find(key);
    return found == a.end() ? nullptr : found->second.data();
  }

  template <class T>
  fastrnn::Parameters<T> parameters(const std::map<std::string, std::vector<T>>& a) const {
    fastrnn::Parameters<T> p;
    p.inputs = inputs;
    p.hidden = hidden;
    p.projection = projection;
    p.w_ih = find(a, "w_ih");
    p.w_hh = find(a, "w_hh");
    p.b_ih = find(a, "b_ih");
    p.b_hh = find(a, "b_hh");
    p.w_peep = find(a, "w_peep");
    p.w_hr = find(a, "w_hr");
    p.ln_ih = find(a, "ln_ih");
    p.ln_hh = find(a, "ln_hh");
    p.ln_c = find(a, "ln_c");
    return p;
  }

  /// Results begin as NaN.
  template <class T>
  fastrnn::ForwardArguments<T> arguments(const std::map<std::string, std::vector<T>>& a,
                                         std::map<std::string, std::vector<T>>& results) const {
    results["y"].assign(std::size_t(steps * batch * width()), T(NAN));
    results["h_n"].assign(std::size_t(batch * width()), T(NAN));
    results["c_n"].assign(std::size_t(c_size()), T(NAN));
    fastrnn::ForwardArguments<T> f;
    f.steps = steps;
    f.batch = batch;
    f.x = {find(a, "x"), batch * inputs, inputs};
    f.h0 = find(a, "h0");
    f.c0 = find(a, "c0");
    f.lengths = lengths.empty() ? nullptr : lengths.data();
    f.mask = masked ? mask.data() : nullptr;
    f.reset_mask = resets ? mask.data() : nullptr;
    f.zero_output_for_mask = zero_output_for_mask;
    f.reverse = reverse;
    f.y = {results["y"].data(), batch * width(), width()};
    f.h_n = results["h_n"].data();
    f.c_n = c_size() > 0 ? results["c_n"].data() : nullptr;
    f.dropout = dropout;
    f.truncate = truncate;
    return f;
  }
};

/// Every cell with every option that concerns it, some of them together.
inline std::vector<OptionLayer> option_layers() {
  using fastrnn::Activation;
  using fastrnn::ActivationOption;
  std::vector<OptionLayer> all;
  const auto add = [&](const char* name, CellType cell, auto&& change) {
    OptionLayer layer;
    layer.name = name;
    layer.options.cell = cell;
    change(layer);
    all.push_back(layer);
  };
  for (int kind = 0; kind <= int(Activation::exponential); ++kind) {
    const ActivationOption f = Activation(kind);
    const bool grows = kind == int(Activation::exponential);  // beyond any number, unless it is clipped
    add("rnn, activation", CellType::rnn, [&](OptionLayer& l) {
      l.options.activation = f;
      l.options.clip = grows ? 0.7 : 0;
    });
    add("gru, activations", CellType::gru, [&](OptionLayer& l) {
      l.options.recurrent_activation = kind % 2 ? f : Activation::hard_sigmoid;
      l.options.activation = kind % 2 ? Activation::softsign : f;
      l.options.clip = kind % 3 == 0 || grows ? 0.4 : 0;
    });
    add("lstm, output activation", CellType::lstm, [&](OptionLayer& l) { l.options.output_activation = f; });
  }
  for (std::size_t i = 0; i < std::size(fastrnn::kCellNames); ++i) {
    const auto cell = CellType(i);
    const bool has_clip = cell != CellType::slstm;
    add("plain", cell, [](OptionLayer&) {});
    if (has_clip) add("clip", cell, [](OptionLayer& l) { l.options.clip = 0.4; });
    add("zoneout_h", cell, [](OptionLayer& l) { l.options.zoneout_h = 0.3; });
    for (const bool reverse : {false, true})
      add("mask", cell, [=](OptionLayer& l) { l.masked = true, l.reverse = reverse; });
    add("mask with zeros, reversed", cell,
        [](OptionLayer& l) { l.masked = l.zero_output_for_mask = l.reverse = true; });
    add("resets", cell, [](OptionLayer& l) { l.resets = true; });
    add("resets, reversed and ragged", cell, [](OptionLayer& l) { l.resets = l.reverse = l.ragged = true; });
  }
  for (const fastrnn::Reset reset : {fastrnn::Reset::after, fastrnn::Reset::before, fastrnn::Reset::output}) {
    add("gru, norm", CellType::gru, [&](OptionLayer& l) { l.options.reset = reset, l.gate_norm = true; });
    add("gru, zoneout", CellType::gru, [&](OptionLayer& l) { l.options.reset = reset, l.options.zoneout_h = 0.2; });
  }
  for (const bool some : {false, true})
    add("rnn, norm", CellType::rnn, [=](OptionLayer& l) { l.gate_norm = true, l.reverse = l.ragged = some; });
  add("slstm, exponential", CellType::slstm, [](OptionLayer& l) { l.options.exponential_forget = true; });
  const auto lstm = [&](const char* name, auto&& change) { add(name, CellType::lstm, change); };
  lstm("lstm, forget bias", [](OptionLayer& l) { l.options.forget_bias = 1; });
  lstm("lstm, cell_clip", [](OptionLayer& l) { l.options.cell_clip = 0.3; });
  lstm("lstm, zoneout_c", [](OptionLayer& l) { l.options.zoneout_c = 0.3, l.options.zoneout_h = 0.1; });
  for (const bool current : {true, false}) {
    lstm("lstm, peepholes, coupled, clipped", [=](OptionLayer& l) {
      l.options.peephole = fastrnn::Peephole::diagonal;
      l.options.peephole_current = current;
      l.options.coupled = l.peepholes = true;
      l.options.cell_clip = 0.5;
      l.options.zoneout_c = 0.2;
    });
    lstm("lstm, full peepholes", [=](OptionLayer& l) {
      l.options.peephole = fastrnn::Peephole::full;
      l.options.peephole_current = current;
      l.reverse = current;
      l.ragged = true;
    });
  }
  lstm("lstm, projection", [](OptionLayer& l) { l.projection = 4, l.ragged = true; });
  lstm("lstm, projection, clipped, zoneout", [](OptionLayer& l) {
    l.projection = 5;
    l.options.projection_clip = 0.3;
    l.options.cell_clip = 0.5;
    l.options.zoneout_h = l.options.zoneout_c = 0.2;
    l.resets = true;
  });
  lstm("lstm, norm of gates", [](OptionLayer& l) { l.gate_norm = true, l.options.forget_bias = 0.5; });
  for (const bool reverse : {false, true})
    lstm("lstm, norm of gates and cell",
         [=](OptionLayer& l) { l.gate_norm = l.cell_norm = l.ragged = true, l.reverse = reverse; });
  lstm("lstm, norm of gates and cell, resets", [](OptionLayer& l) { l.gate_norm = l.cell_norm = l.resets = true; });
  lstm("lstm, all", [](OptionLayer& l) {
    l.projection = 3;
    l.gate_norm = l.cell_norm = l.peepholes = l.masked = true;
    l.options.peephole = fastrnn::Peephole::diagonal;
    l.options.zoneout_h = l.options.zoneout_c = 0.2;
    l.options.cell_clip = 0.6;
    l.options.projection_clip = 0.5;
  });
  return all;
}

}  // namespace test
