// A recurrence kernel in the emulation: arrays on exactly sized buffers that begin as NaN, the launch that its tier
// needs, and its results beside the reference's.
#pragma once

#include <algorithm>
#include <cstdio>
#include <numeric>
#include <string>

#include "cuda/kernels/resident/recurrence.h"
#include "reference.h"

namespace test {

using namespace fastrnn::cuda;
using Floats = std::vector<float>;

inline Floats floats(const Vector& v) { return Floats(v.begin(), v.end()); }
inline Floats nans(std::size_t n) { return Floats(n, NAN); }

struct Run {
  Tier tier;
  Geometry geometry;
  bool sorted = true;                             // rows by decreasing length
  bool states = true;                             // with h0, c0, biases and so on, else null
  unsigned long long wait_limit = 1'000'000'000;  // a million looks at the clock
  int missing_blocks = 0;                         // that are not launched
};

struct Failure {
  double worst = 0;
  std::string where;
};

template <class Cell, class Format>
class Kernels {
 public:
  static constexpr cells::Description kCell = Cell::describe(cells::Options{});

  Kernels(Problem& problem, const Run& run) : problem_(problem), run_(run) {}

  /// Weights become what the format makes of them; so do the operands of the reference's products.
  static void round(Problem& problem) {
    const auto rounded = [](double v) { return decode(round_to<typename Format::Element>(float(v))); };
    for (double& w : problem.w_hh) w = rounded(w);
    problem.round = rounded;
  }

  /// Runs forward and backward; the status of the grid tier.
  unsigned run(bool backward = true) {
    const auto [t, b, i, h] = problem_.shape;
    constexpr int G = kCell.gates;
    w_hh = floats(problem_.w_hh), b_ih = floats(problem_.b_ih), b_hh = floats(problem_.b_hh);
    peep = floats(problem_.w_peep), h0 = floats(problem_.h0), c0 = floats(problem_.c0);
    y = nans(t * b * h), h_n = nans(b * h), c_n = nans(b * h);
    gates = nans(Index(t) * b * kCell.columns * h), c = nans(t * b * h);
    input = nans(t * b * G * h);
    for (int row = 0; row < t * b; ++row) {
      if (row / b >= problem_.lengths[row % b]) continue;
      for (int r = 0; r < G * h; ++r) {
        double sum = 0;
        for (int k = 0; k < i; ++k) sum += problem_.w_ih[r * i + k] * problem_.x[row * i + k];
        input[row * G * h + r] = float(sum);
      }
    }
    order.resize(b);
    std::iota(order.begin(), order.end(), 0);
    if (run_.sorted)
      std::stable_sort(order.begin(), order.end(),
                       [&](int p, int q) { return problem_.lengths[p] > problem_.lengths[q]; });
    ForwardParams f{};
    fill(f);
    f.input = input.data();
    f.h_n = h_n.data();
    f.c_n = c_n.data();
    if (!backward) f.gates = f.c = nullptr;
    launch(f, Pass::training);
    if (!backward || status != 0) return status;
    BackwardParams p{};
    fill(p);
    dy = floats(problem_.dy), dh_n = floats(problem_.dh_n), dc_n = floats(problem_.dc_n);
    dgates = nans(Index(t) * b * kCell.dcolumns * h), dh0 = nans(b * h), dc0 = nans(b * h);
    p.dy = {dy.data(), Index(b) * h, h};
    p.dh_n = dh_n.data();
    p.dc_n = dc_n.data();
    if (!run_.states) p.dh_n = p.dc_n = nullptr;
    p.dgates = dgates.data();
    p.dh0 = dh0.data();
    p.dc0 = dc0.data();
    launch(p, Pass::backward);
    return status;
  }

  /// The largest difference to the reference, relative to the largest element of the tensor (or 1).
  Failure compare(bool backward = true) const {
    Failure failure;
    const auto check = [&](const char* name, const Floats& got, const Vector& want) {
      double largest = 1;
      for (const double v : want) largest = std::max(largest, std::abs(v));
      for (std::size_t k = 0; k < want.size(); ++k) {
        const double error = std::abs(got[k] - want[k]) / largest;
        if (error <= failure.worst) continue;  // false for NaN
        failure.worst = error == error ? error : 1e9;
        failure.where = std::string(name) + "[" + std::to_string(k) + "] is " + std::to_string(got[k]) + ", expected " +
                        std::to_string(want[k]);
        if (error != error) return;
      }
    };
    check("y", y, problem_.y);
    check("h_n", h_n, problem_.h_n);
    if (kCell.c_states > 0) check("c_n", c_n, problem_.c_n);
    if (!backward) return failure;
    check("dh0", dh0, problem_.dh0);
    if (kCell.c_states > 0) check("dc0", dc0, problem_.dc0);
    // db sums all steps: every gate gradient has its share. Elements of dgates are compared through dw below.
    const auto [t, b, i, h] = problem_.shape;
    Vector dw_ih(problem_.dw_ih.size(), 0), db_hh(problem_.db_hh.size(), 0);
    for (int row = 0; row < t * b; ++row)
      for (int g = 0; g < kCell.gates; ++g)
        for (int u = 0; u < h; ++u) {
          const float* columns = &dgates[Index(row) * kCell.dcolumns * h + u];
          db_hh[g * h + u] += columns[kCell.recurrent_column[g] * h];
          for (int k = 0; k < i; ++k) dw_ih[(g * h + u) * i + k] += double(columns[g * h]) * problem_.x[row * i + k];
        }
    check("dw_ih", floats(dw_ih), problem_.dw_ih);
    check("db_hh", floats(db_hh), problem_.db_hh);
    return failure;
  }

  Floats w_hh, b_ih, b_hh, peep, h0, c0, y, h_n, c_n, gates, c, input, dy, dh_n, dc_n, dgates, dh0, dc0;
  std::vector<int> order;
  unsigned status = 0;

 private:
  Problem& problem_;
  Run run_;

  static double decode(float v) { return v; }
  static double decode(Bfloat16 v) { return emulation::from_bfloat16(v.bits); }
  static double decode(Tf32 v) { return emulation::float_of(v.bits); }
  static double decode(Float16 v) { return emulation::from_half(v.bits); }

  void fill(LayerParams& p) {
    const auto [t, b, i, h] = problem_.shape;
    p.geometry = run_.geometry;
    p.options = problem_.options;
    p.steps = t;
    p.batch = b;
    p.hidden = h;
    p.reverse = problem_.reverse;
    const bool ragged =
        std::any_of(problem_.lengths.begin(), problem_.lengths.end(), [steps = t](int n) { return n != steps; });
    p.length = ragged ? problem_.lengths.data() : nullptr;
    p.order = ragged && run_.sorted ? order.data() : nullptr;
    p.w_hh = w_hh.data();
    p.w_peep = peep.data();
    if (run_.states) {
      p.b_ih = b_ih.data();
      p.b_hh = b_hh.data();
      p.h0 = h0.data();
      p.c0 = c0.data();
    }
    p.y = {y.data(), Index(b) * h, h};
    p.gates = gates.data();
    p.c = c.data();
    p.wait_limit = run_.wait_limit;
  }

  template <class Params>
  void launch(Params& params, Pass pass) {
    const int b = problem_.shape.batch;
    params.layout = layout_of(cells::describe(kind_of_cell(), problem_.options), pass, Format::kType, run_.tier,
                              run_.geometry, problem_.shape.hidden);
    emulation::Launch l;
    l.blocks = run_.geometry.blocks(b) - run_.missing_blocks;
    l.threads = run_.geometry.threads;
    l.shared = std::size_t(params.layout.total);
    std::vector<char> exchange;
    std::vector<unsigned> flags;
    status = 0;
    if (run_.tier == Tier::grid) {
      exchange.assign(exchange_bytes(params.layout, run_.geometry, b), 0);
      flags.assign(run_.geometry.blocks(b), 0);
      params.exchange = exchange.data();
      params.flags = flags.data();
      params.status = &status;
      l.cooperative = true;
    }
    if (run_.tier == Tier::cluster) l.cluster = run_.geometry.members;
    if constexpr (std::is_same_v<Params, ForwardParams>)
      emulation::run(l, [&] {
        switch (run_.tier) {
          case Tier::block: return forward_recurrence<Cell, Format, Tier::block>(params);
          case Tier::cluster: return forward_recurrence<Cell, Format, Tier::cluster>(params);
          default: return forward_recurrence<Cell, Format, Tier::grid>(params);
        }
      });
    else
      emulation::run(l, [&] {
        switch (run_.tier) {
          case Tier::block: return backward_recurrence<Cell, Format, Tier::block>(params);
          case Tier::cluster: return backward_recurrence<Cell, Format, Tier::cluster>(params);
          default: return backward_recurrence<Cell, Format, Tier::grid>(params);
        }
      });
  }

  static cells::Kind kind_of_cell() {
#define FASTRNN_CASE(name, type) \
  if (std::is_same_v<Cell, cells::type>) return cells::Kind::name;
    FASTRNN_CELL_LIST(FASTRNN_CASE)
#undef FASTRNN_CASE
    return cells::Kind::rnn;
  }
};

}  // namespace test
