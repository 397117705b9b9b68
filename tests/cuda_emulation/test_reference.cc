// The float64 reference of these tests against the CPU backend in float64, results and gradients: two ways through the
// same equations of csrc/cells.
#include <cstdio>

#include "fastrnn/fastrnn.hpp"
#include "reference.h"

namespace {

int failures = 0;

void close(const char* cell, const char* name, const test::Vector& got, const test::Vector& want) {
  double worst = got.size() == want.size() ? 0 : 1;
  for (std::size_t k = 0; k < got.size() && k < want.size(); ++k)
    if (!(std::abs(got[k] - want[k]) <= worst)) worst = std::abs(got[k] - want[k]);
  if (worst < 1e-12) return;  // sums of some 30 terms of about 1
  ++failures;
  std::fprintf(stderr, "FAILED: %s %s: %g\n", cell, name, worst);
}

template <class Cell>
void check(const char* name, fastrnn::CellOptions options, const test::cells::Options& cell_options = {}) {
  const test::cells::Description cell = Cell::describe(cell_options);
  for (const bool reverse : {false, true}) {
    test::Problem p({5, 4, 3, 7}, cell.gates, 3);
    p.options = cell_options;
    p.lengths = {5, 2, 0, 4};
    p.reverse = reverse;
    p.run<Cell>();
    const auto [t, b, i, h] = p.shape;
    fastrnn::Parameters<double> parameters;
    parameters.inputs = i;
    parameters.hidden = h;
    parameters.w_ih = p.w_ih.data();
    parameters.w_hh = p.w_hh.data();
    parameters.b_ih = p.b_ih.data();
    parameters.b_hh = p.b_hh.data();
    const bool peepholes = cell.params > 0;
    if (peepholes) parameters.w_peep = p.w_peep.data();
    const auto weights = std::make_shared<const fastrnn::Weights<double>>(options, parameters);
    const std::vector<fastrnn::Index> lengths(p.lengths.begin(), p.lengths.end());
    const auto nan = [](const test::Vector& like) { return test::Vector(like.size(), NAN); };
    test::Vector y = nan(p.y), h_n = nan(p.h_n), c_n = nan(p.c_n), dx = nan(p.dx), dh0 = nan(p.dh0), dc0 = nan(p.dc0),
                 dw_ih = nan(p.dw_ih), dw_hh = nan(p.dw_hh), db_ih = nan(p.db_ih), db_hh = nan(p.db_hh),
                 dw_peep = nan(p.dw_peep);
    fastrnn::ForwardArguments<double> f;
    f.steps = t;
    f.batch = b;
    f.x = {p.x.data(), b * i, i, nullptr};
    f.h0 = p.h0.data();
    f.c0 = p.c0.data();
    f.lengths = lengths.data();
    f.reverse = reverse;
    f.y = {y.data(), b * h, h, nullptr};
    f.h_n = h_n.data();
    f.c_n = c_n.data();
    const fastrnn::Saved<double> saved(weights, f);
    fastrnn::BackwardArguments<double> g;
    g.dy = {p.dy.data(), b * h, h, nullptr};
    g.dh_n = p.dh_n.data();
    g.dc_n = p.dc_n.data();
    g.dx = {dx.data(), b * i, i, nullptr};
    g.dh0 = dh0.data();
    g.dc0 = dc0.data();
    g.dw_ih = dw_ih.data();
    g.dw_hh = dw_hh.data();
    g.db_ih = db_ih.data();
    g.db_hh = db_hh.data();
    g.dw_peep = dw_peep.data();
    fastrnn::backward(saved, g);
    close(name, "y", y, p.y);
    close(name, "h_n", h_n, p.h_n);
    close(name, "dx", dx, p.dx);
    close(name, "dh0", dh0, p.dh0);
    close(name, "dw_ih", dw_ih, p.dw_ih);
    close(name, "dw_hh", dw_hh, p.dw_hh);
    close(name, "db_ih", db_ih, p.db_ih);
    close(name, "db_hh", db_hh, p.db_hh);
    if (cell.c_states > 0) {
      close(name, "c_n", c_n, p.c_n);
      close(name, "dc0", dc0, p.dc0);
    }
    if (peepholes) close(name, "dw_peep", dw_peep, p.dw_peep);
  }
}

}  // namespace

int main() {
  using namespace fastrnn;
  CellOptions options;
  options.cell = CellType::rnn;
  check<cells::Rnn>("rnn", options);
  options.cell = CellType::lstm;
  check<cells::Lstm>("lstm", options);
  cells::Options cell;
  for (const bool current : {true, false}) {
    options.peephole = Peephole::diagonal;
    cell.peephole = cells::Peephole::diagonal;
    options.peephole_current = cell.peephole_current = current;
    options.coupled = cell.coupled = !current;
    check<cells::Lstm>("lstm with peepholes", options, cell);
  }
  options = {};
  options.cell = CellType::gru;
  check<cells::GruAfter>("gru after", options);
  options.reset = Reset::before;
  check<cells::GruBefore>("gru before", options);
  options.reset = Reset::output;
  check<cells::GruOutput>("gru output", options);
  std::printf("reference: %d failed\n", failures);
  return failures != 0;
}
