// What the native tests share: a check that counts, random problems, and one call of the library on exactly sized
// buffers, so that AddressSanitizer sees every read and write beyond them.
#pragma once

#include <cmath>
#include <cstdio>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "fastrnn/fastrnn.hpp"

namespace test {

using fastrnn::Index;

inline int failures = 0;

inline void check(bool ok, const std::string& what) {
  if (ok) return;
  ++failures;
  std::fprintf(stderr, "FAILED: %s\n", what.c_str());
}

inline int finish(const char* name) {
  std::printf("%s: %s\n", name, failures == 0 ? "passed" : "FAILED");
  return failures == 0 ? 0 : 1;
}

/// The instruction sets named on the command line, else all that this machine has.
inline std::vector<std::string> isas(int argc, char** argv) {
  if (argc > 1) return {argv + 1, argv + argc};
  return fastrnn::available_isas();
}

template <class T>
std::vector<T> random_vector(std::mt19937& generator, Index n, double scale) {
  std::normal_distribution<double> normal(0.0, scale);
  std::vector<T> values(n);
  for (T& value : values) value = T(normal(generator));
  return values;
}

/// A cell's options, and which of the parameters that they leave open there are.
struct Variant : fastrnn::CellOptions {
  bool projected = false, norm = false, cell_norm = false;
  fastrnn::DropoutOptions dropout;  // of a training run

  Variant() = default;
  Variant(const fastrnn::CellOptions& options) : CellOptions(options) {}
  bool random() const { return dropout.inputs + dropout.recurrent + dropout.candidate + zoneout_h + zoneout_c > 0; }
};

/// What every cell can be told beyond its equations, each in one of them at least.
inline void add_options(std::vector<std::pair<std::string, Variant>>& list) {
  using namespace fastrnn;
  const auto add = [&](const char* name, CellType cell, auto&& set) {
    Variant variant;
    variant.cell = cell;
    variant.seed = variant.dropout.seed = 9;
    set(variant);
    list.emplace_back(name, variant);
  };
  const auto plain = [](Variant&) {};
  add("indrnn", CellType::indrnn, plain);
  add("mgu", CellType::mgu, plain);
  add("slstm", CellType::slstm, plain);
  add("slstm exp", CellType::slstm, [](Variant& v) { v.exponential_forget = true; });
  add("rnn norm softplus clip", CellType::rnn, [](Variant& v) {
    v.norm = true;
    v.activation = Activation::softplus;
    v.clip = 1.5;
  });
  add("lstm projected", CellType::lstm, [](Variant& v) { v.projected = true; });
  add("lstm norm projected zoneout", CellType::lstm, [](Variant& v) {
    v.projected = v.norm = v.cell_norm = true;
    v.peephole = Peephole::diagonal;
    v.zoneout_c = v.zoneout_h = 0.3;
    v.cell_clip = 0.8;
    v.projection_clip = 0.5;
  });
  add("lstm norm dropout activations", CellType::lstm, [](Variant& v) {
    v.norm = true;
    v.activation = Activation::softsign;
    v.recurrent_activation = Activation::hard_sigmoid;
    v.output_activation = Activation::elu;
    v.forget_bias = 0.5;
    v.weight_dropout = 0.3;
    v.dropout.inputs = v.dropout.recurrent = v.dropout.candidate = 0.3;
  });
  for (const Reset reset : {Reset::after, Reset::before, Reset::output})
    add("gru norm zoneout dropout", CellType::gru, [&](Variant& v) {
      v.reset = reset;
      v.norm = true;
      v.zoneout_h = 0.2;
      v.dropout.recurrent = v.dropout.candidate = 0.3;
    });
}

/// Every variant of every cell.
inline std::vector<std::pair<std::string, Variant>> variants() {
  using namespace fastrnn;
  std::vector<std::pair<std::string, Variant>> list;
  for (const Activation activation : {Activation::tanh, Activation::relu, Activation::sigmoid, Activation::identity}) {
    CellOptions options;
    options.cell = CellType::rnn;
    options.activation = activation;
    list.emplace_back("rnn " + std::to_string(int(activation)), options);
  }
  for (const Peephole peephole : {Peephole::none, Peephole::diagonal, Peephole::full})
    for (const bool current : {true, false})
      for (const bool coupled : {true, false}) {
        CellOptions options;
        options.cell = CellType::lstm;
        options.peephole = peephole;
        options.peephole_current = current;
        options.coupled = coupled;
        list.emplace_back("lstm peephole " + std::to_string(int(peephole)) + (current ? " current" : " previous") +
                              (coupled ? " coupled" : ""),
                          options);
      }
  for (const Reset reset : {Reset::after, Reset::before, Reset::output}) {
    CellOptions options;
    options.cell = CellType::gru;
    options.reset = reset;
    list.emplace_back("gru " + std::to_string(int(reset)), options);
  }
  add_options(list);
  return list;
}

/// A problem of one variant and size, with its results.
template <class T>
struct Problem {
  Variant options;
  Index steps, batch, inputs, hidden;
  Index state;  // of h and y
  Index c_states;
  std::vector<T> w_ih, w_hh, b_ih, b_hh, w_peep, w_hr, ln_ih, ln_hh, ln_c, x, h0, c0, dy, dh_n, dc_n;
  std::vector<Index> lengths;
  std::vector<unsigned char> reset_mask;
  bool reverse = false;
  int threads = 1;
  Index checkpoint_every = 0, truncate = 0;
  std::vector<T> y, h_n, c_n;
  std::vector<T> dx, dh0, dc0, dw_ih, dw_hh, db_ih, db_hh, dw_peep, dw_hr, dln_ih, dln_hh, dln_c;

  Problem(const Variant& variant, Index t, Index b, Index i, Index h, unsigned seed)
      : options(variant),
        steps(t),
        batch(b),
        inputs(i),
        hidden(h),
        state(variant.projected ? (h + 1) / 2 : h),
        c_states(fastrnn::cell_state_count(variant.cell)) {
    using fastrnn::CellType;
    std::mt19937 generator(seed);
    const Index rows = fastrnn::gate_count(options.cell) * h;
    const Index peep = options.cell != CellType::lstm                    ? 0
                       : options.peephole == fastrnn::Peephole::full     ? 3 * h * h
                       : options.peephole == fastrnn::Peephole::diagonal ? 3 * h
                                                                         : 0;
    const double scale = 1.0 / std::sqrt(double(h));
    w_ih = random_vector<T>(generator, rows * i, scale);
    w_hh = random_vector<T>(generator, options.cell == CellType::indrnn ? h : rows * state, scale);
    b_ih = random_vector<T>(generator, rows, 0.3);
    b_hh = random_vector<T>(generator, rows, 0.3);
    w_peep = random_vector<T>(generator, peep, scale);
    x = random_vector<T>(generator, t * b * i, 1.0);
    h0 = random_vector<T>(generator, b * state, 0.5);
    c0 = random_vector<T>(generator, c_states * b * h, 0.5);
    if (options.cell == CellType::slstm)
      for (Index k = b * h; k < 2 * b * h; ++k) c0[k] = std::abs(c0[k]) + T(0.5);  // n, by which c is divided
    dy = random_vector<T>(generator, t * b * state, 1.0);
    dh_n = random_vector<T>(generator, b * state, 1.0);
    dc_n = random_vector<T>(generator, c_states * b * h, 1.0);
    w_hr = random_vector<T>(generator, options.projected ? state * h : 0, scale);
    ln_ih = random_vector<T>(generator, options.norm && options.cell != CellType::rnn ? rows : 0, 0.5);
    ln_hh = random_vector<T>(generator, options.norm ? rows : 0, 0.5);
    ln_c = random_vector<T>(generator, options.cell_norm ? 2 * h : 0, 0.5);
  }

  std::shared_ptr<const fastrnn::Weights<T>> pack(const fastrnn::PackOptions& pack_options = {}) const {
    const auto optional = [](const std::vector<T>& values) { return values.empty() ? nullptr : values.data(); };
    fastrnn::Parameters<T> parameters;
    parameters.inputs = inputs;
    parameters.hidden = hidden;
    parameters.projection = state;
    parameters.w_ih = w_ih.data();
    parameters.w_hh = w_hh.data();
    parameters.b_ih = b_ih.data();
    parameters.b_hh = b_hh.data();
    parameters.w_peep = optional(w_peep);
    parameters.w_hr = optional(w_hr);
    parameters.ln_ih = optional(ln_ih);
    parameters.ln_hh = optional(ln_hh);
    parameters.ln_c = optional(ln_c);
    return std::make_shared<const fastrnn::Weights<T>>(options, parameters, pack_options);
  }

  /// Results begin as NaN, so that what a call leaves out shows.
  fastrnn::ForwardArguments<T> arguments() {
    y.assign(dy.size(), T(NAN));
    h_n.assign(h0.size(), T(NAN));
    c_n.assign(c0.size(), T(NAN));
    fastrnn::ForwardArguments<T> a;
    a.steps = steps;
    a.batch = batch;
    a.x = {x.data(), batch * inputs, inputs, nullptr};
    a.h0 = h0.data();
    a.c0 = c0.data();
    a.lengths = lengths.empty() ? nullptr : lengths.data();
    a.reset_mask = reset_mask.empty() ? nullptr : reset_mask.data();
    a.reverse = reverse;
    a.threads = threads;
    a.dropout = options.dropout;
    a.checkpoint_every = checkpoint_every;
    a.truncate = truncate;
    a.y = {y.data(), batch * state, state, nullptr};
    a.h_n = h_n.data();
    a.c_n = c_n.data();
    return a;
  }

  void forward(const fastrnn::Weights<T>& weights) { fastrnn::forward(weights, arguments()); }

  void train() {
    const fastrnn::Saved<T> saved(pack(), arguments());
    backward(saved);
  }

  void backward(const fastrnn::Saved<T>& saved) {
    dx.assign(x.size(), T(NAN));
    dh0.assign(h0.size(), T(NAN));
    dc0.assign(c0.size(), T(NAN));
    dw_ih.assign(w_ih.size(), T(NAN));
    dw_hh.assign(w_hh.size(), T(NAN));
    db_ih.assign(b_ih.size(), T(NAN));
    db_hh.assign(b_hh.size(), T(NAN));
    dw_peep.assign(w_peep.size(), T(NAN));
    dw_hr.assign(w_hr.size(), T(NAN));
    dln_ih.assign(ln_ih.size(), T(NAN));
    dln_hh.assign(ln_hh.size(), T(NAN));
    dln_c.assign(ln_c.size(), T(NAN));
    fastrnn::BackwardArguments<T> a;
    a.dy = {dy.data(), batch * state, state, nullptr};
    a.dh_n = dh_n.data();
    a.dc_n = dc_n.data();
    a.dx = {dx.data(), batch * inputs, inputs, nullptr};
    a.dh0 = dh0.data();
    a.dc0 = dc0.data();
    a.dw_ih = dw_ih.data();
    a.dw_hh = dw_hh.data();
    a.db_ih = db_ih.data();
    a.db_hh = db_hh.data();
    a.dw_peep = dw_peep.data();
    a.dw_hr = dw_hr.data();
    a.dln_ih = dln_ih.data();
    a.dln_hh = dln_hh.data();
    a.dln_c = dln_c.data();
    a.threads = threads;
    fastrnn::backward(saved, a);
  }

  /// The scalar whose gradient the backward pass computes.
  double loss() {
    if (options.random())
      const fastrnn::Saved<T> saved(pack(), arguments());
    else
      forward(*pack());
    double sum = 0;
    for (std::size_t k = 0; k < y.size(); ++k) sum += double(y[k]) * double(dy[k]);
    for (std::size_t k = 0; k < h_n.size(); ++k) sum += double(h_n[k]) * double(dh_n[k]);
    for (std::size_t k = 0; k < c_n.size(); ++k) sum += double(c_n[k]) * double(dc_n[k]);
    return sum;
  }
};

}  // namespace test
