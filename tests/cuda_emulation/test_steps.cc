// Tier::graph: products and cell kernels step by step, against the float64 reference, for the cells and options that it
// has (test_step_options.cc has the others), in every type of weights.
#include <algorithm>
#include <cstdio>
#include <string>

#include "cuda/kernels/primitives.h"
#include "cuda/run/run_steps.h"
#include "emulated_runtime.h"
#include "reference.h"

namespace {

using namespace fastrnn::cuda;
using test::Shape;
using test::Vector;
using Floats = std::vector<float>;

int runs = 0, failures = 0;

Floats floats(const Vector& v) { return Floats(v.begin(), v.end()); }

double rounded(Type type, double v) {
  if (type == Type::bfloat16) return emulation::from_bfloat16(round_to<Bfloat16>(float(v)).bits);
  if (type == Type::float16) return emulation::from_half(round_to<Float16>(float(v)).bits);
  return v;
}

/// As in test_recurrence.cc.
double tolerance(Type type, int steps) {
  const double float32 = 2e-7 * (8 + steps);
  return type == Type::float32 ? float32 : float32 + (type == Type::bfloat16 ? 4e-3 : 5e-4);
}

/// Arrays that begin as NaN, forward and backward by run_steps, and the largest difference to what was expected,
/// relative to the largest element of its tensor (or 1).
struct StepRun {
  const test::Problem& p;
  std::string where;
  double worst = 0;

  void run(fastrnn::cells::Kind kind, Type type) {
    const auto [t, b, i, h] = p.shape;
    const fastrnn::cells::Description cell = fastrnn::cells::describe(kind, p.options);
    const auto nans = [](Index n) { return Floats(std::size_t(n), NAN); };
    const Floats w_hh = floats(p.w_hh), b_ih = floats(p.b_ih), b_hh = floats(p.b_hh), peep = floats(p.w_peep),
                 h0 = floats(p.h0), c0 = floats(p.c0), dy = floats(p.dy), dh_n = floats(p.dh_n), dc_n = floats(p.dc_n);
    Floats input = nans(t * b * cell.gates * h), y = nans(t * b * h), h_n = nans(b * h), c_n = nans(b * h),
           gates = nans(t * b * cell.columns * h), c = nans(t * b * h), dgates = nans(t * b * cell.dcolumns * h),
           dh0 = nans(b * h), dc0 = nans(b * h);
    for (int row = 0; row < t * b; ++row) {
      if (row / b >= p.lengths[row % b]) continue;
      for (int r = 0; r < cell.gates * h; ++r) {
        double sum = 0;
        for (int k = 0; k < i; ++k) sum += p.w_ih[r * i + k] * p.x[row * i + k];
        input[row * cell.gates * h + r] = float(sum);
      }
    }
    fastrnn::cuda::Problem problem;
    problem.kind = kind;
    problem.options = p.options;
    problem.type = type;
    problem.hidden = h;
    problem.batch = b;
    problem.steps = t;
    EmulatedRuntime runtime(device_spec("H100"));
    ForwardParams f{};
    BackwardParams g{};
    for (LayerParams* l : {static_cast<LayerParams*>(&f), static_cast<LayerParams*>(&g)}) {
      l->options = p.options;
      l->steps = t;
      l->batch = b;
      l->hidden = h;
      l->reverse = p.reverse;
      const bool ragged = std::any_of(p.lengths.begin(), p.lengths.end(), [t = t](int n) { return n != t; });
      l->length = ragged ? p.lengths.data() : nullptr;
      l->w_hh = w_hh.data();
      l->w_peep = peep.data();
      l->b_ih = b_ih.data();
      l->b_hh = b_hh.data();
      l->h0 = h0.data();
      l->c0 = c0.data();
      l->y = {y.data(), Index(b) * h, h};
      l->gates = gates.data();
      l->c = c.data();
    }
    f.input = input.data();
    f.h_n = h_n.data();
    f.c_n = c_n.data();
    run_steps(runtime, problem, f);
    check("y", y, p.y);
    check("h_n", h_n, p.h_n);
    if (cell.c_states > 0) check("c_n", c_n, p.c_n);
    problem.pass = Pass::backward;
    g.dy = {dy.data(), Index(b) * h, h};
    g.dh_n = dh_n.data();
    g.dc_n = dc_n.data();
    g.dgates = dgates.data();
    g.dh0 = dh0.data();
    g.dc0 = dc0.data();
    run_steps(runtime, problem, g);
    check("dh0", dh0, p.dh0);
    if (cell.c_states > 0) check("dc0", dc0, p.dc0);
    Vector dw_ih(p.dw_ih.size(), 0), db_hh(p.db_hh.size(), 0);
    for (int row = 0; row < t * b; ++row)
      for (int gate = 0; gate < cell.gates; ++gate)
        for (int u = 0; u < h; ++u) {
          const float* columns = &dgates[std::size_t(Index(row) * cell.dcolumns * h + u)];
          db_hh[gate * h + u] += columns[cell.recurrent_column[gate] * h];
          for (int k = 0; k < i; ++k) dw_ih[(gate * h + u) * i + k] += double(columns[gate * h]) * p.x[row * i + k];
        }
    check("dw_ih", floats(dw_ih), p.dw_ih);
    check("db_hh", floats(db_hh), p.db_hh);
    if (runtime.live() != 0) worst = 1e9, where = "memory was left behind";
  }

  void check(const char* name, const Floats& got, const Vector& want) {
    double largest = 1;
    for (const double v : want) largest = std::max(largest, std::abs(v));
    for (std::size_t k = 0; k < want.size(); ++k) {
      const double error = std::abs(got[k] - want[k]) / largest;
      if (error <= worst) continue;  // false for NaN
      worst = error == error ? error : 1e9;
      where = std::string(name) + "[" + std::to_string(k) + "] is " + std::to_string(got[k]) + ", expected " +
              std::to_string(want[k]);
    }
  }
};

template <class Cell>
void check_cell(fastrnn::cells::Kind kind, const char* name, const fastrnn::cells::Options& options = {}) {
  unsigned choice = unsigned(kind);
  for (const Type type : {Type::float32, Type::bfloat16, Type::float16})
    for (const int hidden : {1, 3, 17, 33, 70})
      for (const int batch : {1, 3, 9, 17}) {
        ++choice;
        if (choice % 3 != 0) continue;
        // Less than a graph, one and some, several.
        const Shape shape = {choice % 5 == 0 ? 1 : choice % 2 == 0 ? 5 : hidden < 20 ? 27 : 9, batch, 3, hidden};
        test::Problem p(shape, Cell::describe(options).gates, choice);
        p.options = options;
        p.reverse = choice % 4 < 2;
        if (choice % 2 == 0)
          for (int b = 0; b < batch; ++b) p.lengths[b] = (b * 7 + int(choice)) % (shape.steps + 1);
        p.round = [type](double v) { return rounded(type, v); };
        for (double& w : p.w_hh) w = p.round(w);
        p.run<Cell>();
        const emulation::Order orders[] = {emulation::Order::ascending, emulation::Order::descending,
                                           emulation::Order::random};
        emulation::set_schedule({orders[choice / 2 % 3], choice});
        StepRun run{p, {}};
        ++runs;
        try {
          run.run(kind, type);
        } catch (const std::exception& error) {
          run.worst = 1e9;
          run.where = error.what();
        }
        if (run.worst <= tolerance(type, shape.steps)) continue;
        ++failures;
        std::fprintf(stderr, "FAILED: %s, type %d, T %d B %d H %d%s%s: %s\n", name, int(type), shape.steps, batch,
                     hidden, p.reverse ? ", reversed" : "", choice % 2 == 0 ? ", ragged" : "", run.where.c_str());
      }
}

}  // namespace

int main() {
  namespace cells = fastrnn::cells;
  check_cell<cells::Rnn>(cells::Kind::rnn, "rnn");
  check_cell<cells::Lstm>(cells::Kind::lstm, "lstm");
  cells::Options options;
  options.peephole = cells::Peephole::diagonal;
  check_cell<cells::Lstm>(cells::Kind::lstm, "lstm with peepholes", options);
  options.peephole_current = false;
  options.coupled = true;
  check_cell<cells::Lstm>(cells::Kind::lstm, "lstm coupled", options);
  check_cell<cells::GruAfter>(cells::Kind::gru_after, "gru after");
  check_cell<cells::GruBefore>(cells::Kind::gru_before, "gru before");
  check_cell<cells::GruOutput>(cells::Kind::gru_output, "gru output");
  std::printf("steps: %d runs, %d failed\n", runs, failures);
  return failures == 0 && runs > 0 ? 0 : 1;
}
