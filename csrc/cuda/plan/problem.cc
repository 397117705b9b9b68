#include "cuda/plan/problem.h"

#include "core/backend/dispatch.h"
#include "core/backend/options.h"

namespace fastrnn::cuda {

Problem make_problem(const CellOptions& cell, const Parameters<float>& parameters, Type type, Index batch,
                     Index steps) {
  Problem problem;
  problem.options = cell_options(cell, parameters, {}, current_backend().table<float>());
  problem.kind = cells::kind_of(cell.cell, problem.options);
  problem.type = type;
  problem.hidden = int(parameters.hidden);
  problem.batch = int(batch);
  problem.steps = int(steps);
  problem.projection = problem.options.projected ? int(parameters.projection) : 0;
  problem.forget_bias = cells::describe(cell.cell).forget_gate >= 0 ? cell.forget_bias : 0;
  return problem;
}

RandomMask random_mask(const Masks& masks, bool inverted) {
  return {masks.threshold(), masks.last(), inverted ? masks.inverted<float>() : 1.0f, masks.key()};
}

void set_masks(const cells::Options& options, const DropoutOptions& dropout, Extension& extension) {
  const auto mask = [&](MaskKind kind, double rate, bool inverted) {
    return random_mask(Masks(dropout.seed, dropout.stream, kind, rate), inverted);
  };
  extension.recurrent = mask(MaskKind::recurrent_dropout, dropout.recurrent, true);
  extension.candidate = mask(MaskKind::candidate_dropout, dropout.candidate, true);
  extension.zoneout_h = mask(MaskKind::zoneout_h, options.zoneout_h, false);
  extension.zoneout_c = mask(MaskKind::zoneout_c, options.zoneout_c, false);
}

std::string key_of(const Problem& problem) {
  const cells::Options& o = problem.options;
  std::string key = beyond_plain(problem);
  for (const int part :
       {int(problem.kind), int(problem.type), int(problem.pass), problem.hidden, problem.batch, problem.projection,
        int(problem.zero_output_for_mask), int(o.peephole), int(o.peephole_current), int(o.coupled), int(o.reset),
        int(o.projected), int(o.layer_norm), int(o.cell_norm), int(o.exponential_forget), int(o.zoneout_c > 0)})
    key += " " + std::to_string(part);
  return key;
}

std::string beyond_plain(const Problem& problem) {
  const cells::Options& o = problem.options;
  const CellType cell = cells::type_of(problem.kind);
  const auto has = [&](const char* option) { return cells::has(cell, option); };
  if (o.peephole == Peephole::full) return "full peepholes";
  if (o.projected) return "w_hr";
  if (o.layer_norm) return "ln_hh";
  if (o.candidate.kind != Activation::tanh) return "activation";
  if (has("recurrent_activation") && o.gate.kind != Activation::sigmoid) return "recurrent_activation";
  if (has("output_activation") && o.output.kind != Activation::tanh) return "output_activation";
  if (problem.forget_bias != 0) return "forget_bias";
  if (o.candidate.clip > 0) return "clip";
  if (has("cell_clip") && o.cell_clip > 0) return "cell_clip";
  if (o.zoneout_h > 0) return "zoneout_h";
  if (has("zoneout_c") && o.zoneout_c > 0) return "zoneout_c";
  return problem.call_option;
}

}  // namespace fastrnn::cuda
