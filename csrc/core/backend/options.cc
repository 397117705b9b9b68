#include "core/backend/options.h"

#include <algorithm>
#include <cmath>
#include <string>

namespace fastrnn {

namespace {

bool is(const ActivationOption& option, Activation kind) { return option.kind == kind; }

std::string text(double value) {
  std::string out = std::to_string(value);
  while (out.back() == '0' && out[out.size() - 2] != '.') out.pop_back();
  return out;
}

void check_bound(const char* name, double bound) {
  if (!(bound >= 0)) throw Error(std::string(name) + ": expected a number > 0, got " + text(bound));
}

/// The backward pass has the value of f alone, which must tell where x was.
void check_activation(const char* name, const ActivationOption& option) {
  const auto expect = [&](const char* what, double value, bool ok) {
    if (!ok) throw Error(std::string(name) + ": expected " + what + ", got " + text(value));
  };
  switch (option.kind) {
    case Activation::leaky_relu:
    case Activation::elu: expect("alpha > 0", option.alpha, option.alpha > 0); break;
    case Activation::thresholded_relu: expect("alpha >= 0", option.alpha, option.alpha >= 0); break;
    case Activation::hard_sigmoid: expect("alpha > 0", option.alpha, option.alpha > 0); break;
    case Activation::scaled_tanh:
      expect("alpha > 0", option.alpha, option.alpha > 0);
      expect("beta > 0", option.beta, option.beta > 0);
      break;
    default: break;
  }
}

}  // namespace

void check_rate(const char* name, double rate) {
  if (!(rate >= 0 && rate < 1)) throw Error(std::string(name) + ": expected a rate in [0, 1), got " + text(rate));
}

ActivationOption::ActivationOption(Activation chosen) : kind(chosen), alpha(0), beta(0) {
  switch (kind) {
    case Activation::leaky_relu: alpha = 0.01; break;
    case Activation::elu:
    case Activation::thresholded_relu:
    case Activation::affine: alpha = 1; break;
    case Activation::scaled_tanh: alpha = beta = 1; break;
    case Activation::hard_sigmoid: alpha = 0.2, beta = 0.5; break;
    default: break;
  }
}

Index gate_count(CellType cell) noexcept {
  CellOptions options;
  options.cell = cell;
  return cells::describe(kind_of(options, {}), {}).gates;
}

Index cell_state_count(CellType cell) noexcept {
  CellOptions options;
  options.cell = cell;
  return cells::describe(kind_of(options, {}), {}).c_states;
}

cells::Kind kind_of(const CellOptions& options, const cells::Options& cell) {
  switch (options.cell) {
    case CellType::rnn: return cells::Kind::rnn;
    case CellType::indrnn: return cells::Kind::indrnn;
    case CellType::mgu: return cells::Kind::mgu;
    case CellType::slstm: return cells::Kind::slstm;
    case CellType::lstm:
      if (options.peephole == Peephole::full) return cells::Kind::lstm_full;
      return cell.projected || cell.cell_norm ? cells::Kind::lstm_staged : cells::Kind::lstm;
    case CellType::gru: break;
  }
  switch (options.reset) {
    case Reset::after: return cells::Kind::gru_after;
    case Reset::before: return cells::Kind::gru_before;
    case Reset::output: break;
  }
  return cells::Kind::gru_output;
}

cells::ActivationSpec activation_spec(const ActivationOption& option) {
  return {static_cast<cells::Activation>(option.kind), option.alpha, option.beta};
}

template <class T>
void check_options(const CellOptions& options, const Parameters<T>& parameters, const PackOptions& pack_options) {
  const bool lstm = options.cell == CellType::lstm, gru = options.cell == CellType::gru;
  const bool has_norm = parameters.ln_ih != nullptr || parameters.ln_hh != nullptr;
  check_activation("activation", options.activation);
  check_activation("recurrent_activation", options.recurrent_activation);
  check_activation("output_activation", options.output_activation);
  check_bound("clip", options.clip);
  check_bound("cell_clip", options.cell_clip);
  check_bound("proj_clip", options.projection_clip);
  check_rate("zoneout_h", options.zoneout_h);
  check_rate("zoneout_c", options.zoneout_c);
  check_rate("weight_dropout", options.weight_dropout);
  if (!std::isfinite(options.forget_bias)) throw Error("forget_bias: expected a finite number");
  if (!(options.norm_epsilon > 0)) throw Error("norm_eps: expected a number > 0, got " + text(options.norm_epsilon));
  if (parameters.w_hr != nullptr && (parameters.projection < 1 || parameters.projection > parameters.hidden))
    throw Error("w_hr: expected shape (P, H) with 1 <= P <= H = " + std::to_string(parameters.hidden) +
                ", got P = " + std::to_string(parameters.projection));
  if (options.projection_clip > 0 && parameters.w_hr == nullptr)
    throw Error("proj_clip: expected None without w_hr, got " + text(options.projection_clip));
  if ((lstm || gru) && (parameters.ln_ih == nullptr) != (parameters.ln_hh == nullptr))
    throw Error(std::string(parameters.ln_ih == nullptr ? "ln_ih" : "ln_hh") + ": expected an array beside " +
                (parameters.ln_ih == nullptr ? "ln_hh" : "ln_ih") + ", got None");
  if (options.cell == CellType::rnn && parameters.ln_ih != nullptr)
    throw Error("ln_ih: expected None for an RNN, which normalises W x + R h by ln_hh alone, got an array");
  if (parameters.ln_c != nullptr && !has_norm) throw Error("ln_c: expected None without ln_ih and ln_hh, got an array");
  if (lstm && options.coupled && options.forget_bias != 0)
    throw Error("forget_bias: expected 0 with coupled, which has no forget gate, got " + text(options.forget_bias));
  if (lstm && options.peephole == Peephole::full) {
    const char* other = parameters.w_hr != nullptr ? "w_hr" : has_norm ? "ln_ih" : nullptr;
    if (other != nullptr)
      throw Error(std::string(other) + ": expected None with full peepholes, w_peep (3, H, H), got an array");
    if (options.zoneout_c > 0)
      throw Error("zoneout_c: expected 0 with full peepholes, w_peep (3, H, H), got " + text(options.zoneout_c));
  }
  if (pack_options.fast_activations) {
    const auto plain = [](const ActivationOption& f) {
      return is(f, Activation::tanh) || is(f, Activation::sigmoid) || is(f, Activation::relu) ||
             is(f, Activation::identity);
    };
    if (!plain(options.activation) || !plain(options.recurrent_activation) || !plain(options.output_activation) ||
        options.clip > 0 || has_norm)
      throw Error(
          "fast_activations: expected False with other activations than sigmoid, tanh, relu and identity, with "
          "clip and with layer normalisation, got True");
  }
}

template <class T>
cells::Options cell_options(const CellOptions& options, const Parameters<T>& parameters,
                            const PackOptions& pack_options, const KernelTable<T>& kernels) {
  cells::Options cell;
  cell.fast = pack_options.fast_activations;
  const auto spec = [&](const ActivationOption& option, bool clipped) {
    cells::ActivationSpec f = activation_spec(option);
    if (!clipped || options.clip <= 0) return f;
    const T ends[2] = {T(-options.clip), T(options.clip)};
    T values[2];
    kernels.activate(f, cell.fast, ends, values, 2);
    f.clip = options.clip;
    f.low = std::min(values[0], values[1]);
    f.high = std::max(values[0], values[1]);
    return f;
  };
  const bool lstm = options.cell == CellType::lstm;
  cell.gate = spec(options.recurrent_activation, true);
  cell.candidate = spec(options.activation, true);
  cell.output = spec(options.output_activation, false);
  cell.peephole = lstm ? static_cast<cells::Peephole>(options.peephole) : cells::Peephole::none;
  cell.peephole_current = options.peephole_current;
  cell.coupled = options.coupled;
  cell.projected = parameters.w_hr != nullptr;
  cell.layer_norm = parameters.ln_hh != nullptr;
  cell.cell_norm = parameters.ln_c != nullptr;
  cell.exponential_forget = options.exponential_forget;
  cell.cell_clip = options.cell_clip;
  cell.projection_clip = options.projection_clip;
  cell.zoneout_h = options.zoneout_h;
  cell.zoneout_c = lstm ? options.zoneout_c : 0;
  return cell;
}

bool needs_general(const cells::Options& cell, cells::Kind kind) {
  if (kind == cells::Kind::lstm_staged) return true;
  if (kind == cells::Kind::slstm) return cell.zoneout_h > 0;
  const bool lstm = kind == cells::Kind::lstm || kind == cells::Kind::lstm_full;
  const bool gated = kind != cells::Kind::rnn && kind != cells::Kind::indrnn;
  return cell.candidate.kind != cells::Activation::tanh || cell.candidate.clip > 0 ||
         (gated && cell.gate.kind != cells::Activation::sigmoid) ||
         (lstm && (cell.output.kind != cells::Activation::tanh || cell.cell_clip > 0)) || cell.zoneout_h > 0 ||
         cell.zoneout_c > 0;
}

template void check_options<float>(const CellOptions&, const Parameters<float>&, const PackOptions&);
template void check_options<double>(const CellOptions&, const Parameters<double>&, const PackOptions&);
template cells::Options cell_options<float>(const CellOptions&, const Parameters<float>&, const PackOptions&,
                                            const KernelTable<float>&);
template cells::Options cell_options<double>(const CellOptions&, const Parameters<double>&, const PackOptions&,
                                             const KernelTable<double>&);

}  // namespace fastrnn
