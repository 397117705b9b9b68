#include "cuda/plan/problem.h"

#include "core/backend/dispatch.h"
#include "core/backend/options.h"

namespace fastrnn::cuda {

Problem make_problem(const CellOptions& cell, const Parameters<float>& parameters, Type type, Index batch,
                     Index steps) {
  Problem problem;
  problem.options = cell_options(cell, parameters, {}, current_backend().table<float>());
  problem.kind = kind_of(cell, problem.options);
  problem.type = type;
  problem.hidden = int(parameters.hidden);
  problem.batch = int(batch);
  problem.steps = int(steps);
  problem.projection = problem.options.projected ? int(parameters.projection) : 0;
  problem.forget_bias = cell.cell == CellType::lstm ? cell.forget_bias : 0;
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

std::string beyond_plain(const Problem& problem) {
  const cells::Options& o = problem.options;
  const bool lstm = problem.kind == cells::Kind::lstm || problem.kind == cells::Kind::lstm_full ||
                    problem.kind == cells::Kind::lstm_staged;
  const bool rnn = problem.kind == cells::Kind::rnn;
  if (problem.kind == cells::Kind::lstm_full) return "full peepholes";
  if (o.projected) return "w_hr";
  if (o.layer_norm) return "ln_hh";
  if (o.candidate.kind != cells::Activation::tanh) return "activation";
  if (!rnn && o.gate.kind != cells::Activation::sigmoid) return "recurrent_activation";
  if (lstm && o.output.kind != cells::Activation::tanh) return "output_activation";
  if (problem.forget_bias != 0) return "forget_bias";
  if (o.candidate.clip > 0) return "clip";
  if (lstm && o.cell_clip > 0) return "cell_clip";
  if (o.zoneout_h > 0) return "zoneout_h";
  if (lstm && o.zoneout_c > 0) return "zoneout_c";
  return problem.call_option;
}

}  // namespace fastrnn::cuda
