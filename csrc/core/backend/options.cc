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

/// The backward pass knows f(x) and not x: alpha and beta must be such that f'(x) follows from f(x).
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

Index gate_count(CellType cell) noexcept { return cells::describe(cell).gates; }
Index cell_state_count(CellType cell) noexcept { return cells::describe(cell).c_states; }

cells::ActivationSpec activation_spec(const ActivationOption& option) {
  return {option.kind, option.alpha, option.beta};
}

template <class T>
void check_options(const CellOptions& options, const Parameters<T>& parameters, const PackOptions& pack_options) {
  const auto has = [&](const char* name) { return cells::has(options.cell, name); };
  const bool has_norm = parameters.ln_ih != nullptr || parameters.ln_hh != nullptr;
  for (const cells::OptionRow& row : cells::kOptionTable) {
    const std::string name(row.name);
    switch (row.kind) {
      case cells::OptionKind::activation: check_activation(name.c_str(), options.*row.activation); break;
      case cells::OptionKind::bound: check_bound(name.c_str(), options.*row.number); break;
      case cells::OptionKind::rate: check_rate(name.c_str(), options.*row.number); break;
      case cells::OptionKind::positive:
        if (!(options.*row.number > 0)) throw Error(name + ": expected a number > 0, got " + text(options.*row.number));
        break;
      default: break;
    }
  }
  if (!std::isfinite(options.forget_bias)) throw Error("forget_bias: expected a finite number");
  if (parameters.w_hr != nullptr && (parameters.projection < 1 || parameters.projection > parameters.hidden))
    throw Error("w_hr: expected shape (P, H) with 1 <= P <= H = " + std::to_string(parameters.hidden) +
                ", got P = " + std::to_string(parameters.projection));
  if (options.projection_clip > 0 && parameters.w_hr == nullptr)
    throw Error("proj_clip: expected None without w_hr, got " + text(options.projection_clip));
  if (has("ln_ih") && (parameters.ln_ih == nullptr) != (parameters.ln_hh == nullptr))
    throw Error(std::string(parameters.ln_ih == nullptr ? "ln_ih" : "ln_hh") + ": expected an array beside " +
                (parameters.ln_ih == nullptr ? "ln_hh" : "ln_ih") + ", got None");
  if (has("ln_hh") && !has("ln_ih") && parameters.ln_ih != nullptr)
    throw Error("ln_ih: expected None for an RNN, which normalises W x + R h by ln_hh alone, got an array");
  if (parameters.ln_c != nullptr && !has_norm) throw Error("ln_c: expected None without ln_ih and ln_hh, got an array");
  if (has("coupled") && options.coupled && options.forget_bias != 0)
    throw Error("forget_bias: expected 0 with coupled, which has no forget gate, got " + text(options.forget_bias));
  if (has("w_peep") && options.peephole == Peephole::full) {
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
  cell.gate = spec(options.recurrent_activation, true);
  cell.candidate = spec(options.activation, true);
  cell.output = spec(options.output_activation, false);
  cell.peephole = cells::has(options.cell, "w_peep") ? options.peephole : Peephole::none;
  cell.peephole_current = options.peephole_current;
  cell.coupled = options.coupled;
  cell.reset = options.reset;
  cell.projected = parameters.w_hr != nullptr;
  cell.layer_norm = parameters.ln_hh != nullptr;
  cell.cell_norm = parameters.ln_c != nullptr;
  cell.exponential_forget = options.exponential_forget;
  cell.cell_clip = options.cell_clip;
  cell.projection_clip = options.projection_clip;
  cell.zoneout_h = options.zoneout_h;
  cell.zoneout_c = cells::has(options.cell, "zoneout_c") ? options.zoneout_c : 0;
  return cell;
}

template void check_options<float>(const CellOptions&, const Parameters<float>&, const PackOptions&);
template void check_options<double>(const CellOptions&, const Parameters<double>&, const PackOptions&);
template cells::Options cell_options<float>(const CellOptions&, const Parameters<float>&, const PackOptions&,
                                            const KernelTable<float>&);
template cells::Options cell_options<double>(const CellOptions&, const Parameters<double>&, const PackOptions&,
                                             const KernelTable<double>&);

}  // namespace fastrnn
