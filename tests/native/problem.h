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

/// Every variant of every cell.
inline std::vector<std::pair<std::string, fastrnn::CellOptions>> variants() {
  using namespace fastrnn;
  std::vector<std::pair<std::string, CellOptions>> list;
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
  return list;
}

/// A problem of one variant and size, with its results.
template <class T>
struct Problem {
  fastrnn::CellOptions options;
  Index steps, batch, inputs, hidden;
  std::vector<T> w_ih, w_hh, b_ih, b_hh, w_peep, x, h0, c0, dy, dh_n, dc_n;
  std::vector<Index> lengths;
  bool reverse = false;
  int threads = 1;
  std::vector<T> y, h_n, c_n;
  std::vector<T> dx, dh0, dc0, dw_ih, dw_hh, db_ih, db_hh, dw_peep;

  Problem(const fastrnn::CellOptions& cell, Index t, Index b, Index i, Index h, unsigned seed)
      : options(cell), steps(t), batch(b), inputs(i), hidden(h) {
    std::mt19937 generator(seed);
    const Index rows = fastrnn::gate_count(cell.cell) * h;
    const Index peep = cell.cell != fastrnn::CellType::lstm           ? 0
                       : cell.peephole == fastrnn::Peephole::full     ? 3 * h * h
                       : cell.peephole == fastrnn::Peephole::diagonal ? 3 * h
                                                                      : 0;
    const double scale = 1.0 / std::sqrt(double(h));
    w_ih = random_vector<T>(generator, rows * i, scale);
    w_hh = random_vector<T>(generator, rows * h, scale);
    b_ih = random_vector<T>(generator, rows, 0.3);
    b_hh = random_vector<T>(generator, rows, 0.3);
    w_peep = random_vector<T>(generator, peep, scale);
    x = random_vector<T>(generator, t * b * i, 1.0);
    h0 = random_vector<T>(generator, b * h, 0.5);
    c0 = random_vector<T>(generator, b * h, 0.5);
    dy = random_vector<T>(generator, t * b * h, 1.0);
    dh_n = random_vector<T>(generator, b * h, 1.0);
    dc_n = random_vector<T>(generator, b * h, 1.0);
  }

  std::shared_ptr<const fastrnn::Weights<T>> pack(const fastrnn::PackOptions& pack_options = {}) const {
    fastrnn::Parameters<T> parameters;
    parameters.inputs = inputs;
    parameters.hidden = hidden;
    parameters.w_ih = w_ih.data();
    parameters.w_hh = w_hh.data();
    parameters.b_ih = b_ih.data();
    parameters.b_hh = b_hh.data();
    parameters.w_peep = w_peep.empty() ? nullptr : w_peep.data();
    return std::make_shared<const fastrnn::Weights<T>>(options, parameters, pack_options);
  }

  /// Results begin as NaN, so that what a call leaves out shows.
  fastrnn::ForwardArguments<T> arguments() {
    y.assign(steps * batch * hidden, T(NAN));
    h_n.assign(batch * hidden, T(NAN));
    c_n.assign(batch * hidden, T(NAN));
    fastrnn::ForwardArguments<T> a;
    a.steps = steps;
    a.batch = batch;
    a.x = {x.data(), batch * inputs, inputs};
    a.h0 = h0.data();
    a.c0 = c0.data();
    a.lengths = lengths.empty() ? nullptr : lengths.data();
    a.reverse = reverse;
    a.threads = threads;
    a.y = {y.data(), batch * hidden, hidden};
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
    fastrnn::BackwardArguments<T> a;
    a.dy = {dy.data(), batch * hidden, hidden};
    a.dh_n = dh_n.data();
    a.dc_n = dc_n.data();
    a.dx = {dx.data(), batch * inputs, inputs};
    a.dh0 = dh0.data();
    a.dc0 = dc0.data();
    a.dw_ih = dw_ih.data();
    a.dw_hh = dw_hh.data();
    a.db_ih = db_ih.data();
    a.db_hh = db_hh.data();
    a.dw_peep = dw_peep.data();
    a.threads = threads;
    fastrnn::backward(saved, a);
  }

  /// The scalar whose gradient the backward pass computes.
  double loss() {
    forward(*pack());
    double sum = 0;
    for (std::size_t k = 0; k < y.size(); ++k) sum += double(y[k]) * double(dy[k]);
    for (std::size_t k = 0; k < h_n.size(); ++k) sum += double(h_n[k]) * double(dh_n[k]);
    if (options.cell == fastrnn::CellType::lstm)
      for (std::size_t k = 0; k < c_n.size(); ++k) sum += double(c_n[k]) * double(dc_n[k]);
    return sum;
  }
};

}  // namespace test
