// What a caller can ask of a cell, as tables that bindings, model files, checks and dictionaries read, and the choice
// of the form of a cell that computes it. For host code, not for kernels.
#pragma once

#include "fastrnn/fastrnn.hpp"
#include "fastrnn/unpack.hpp"
#include "list.h"

namespace fastrnn::cells {

/// A set of cells, as bits.
constexpr unsigned only(CellType cell) { return 1u << int(cell); }
/// The cells whose description satisfies the predicate.
template <class Predicate>
constexpr unsigned cells_with(const Predicate& predicate) {
  unsigned set = 0;
  for (int kind = 0; kind < kKinds; ++kind)
    if (predicate(describe(Kind(kind), {}))) set |= only(type_of(Kind(kind)));
  return set;
}
constexpr unsigned kAllCells = (1u << std::size(kCellNames)) - 1;
constexpr unsigned kRnnCell = only(CellType::rnn), kLstmCell = only(CellType::lstm), kGruCell = only(CellType::gru);
constexpr unsigned kSlstmCell = only(CellType::slstm);
constexpr unsigned kGatedCells = cells_with([](const Description& cell) { return cell.has_candidate; });
constexpr unsigned kMatrixCells = cells_with([](const Description& cell) { return !cell.vector_recurrence; });
constexpr unsigned kPlainCells = kAllCells & ~kSlstmCell;  // whose activations can be chosen

/// What may be given as an option's value.
enum class OptionKind : signed char {
  activation,  // a name, or a name with alpha and beta
  choice,      // one of `choices`
  flag,        // true or false
  number,      // any
  positive,    // a number > 0
  bound,       // a number > 0 that something is clamped to, or none, which CellOptions has as 0
  rate         // a number in [0, 1)
};

/// An option of a cell's weights. One of the pointers to members is not null: the one for this `kind`.
struct OptionRow {
  std::string_view name;
  unsigned cells;
  OptionKind kind;
  ActivationOption CellOptions::* activation = nullptr;
  double CellOptions::* number = nullptr;
  bool CellOptions::* flag = nullptr;    // a flag, or a choice between two
  Reset CellOptions::* reset = nullptr;  // a choice
  std::string_view choices[3] = {};
  bool first = false;  // the value of `flag` for the first of two choices
};

constexpr OptionRow activation_row(std::string_view name, unsigned cells, ActivationOption CellOptions::* member) {
  return {name, cells, OptionKind::activation, member};
}
constexpr OptionRow number_row(std::string_view name, unsigned cells, OptionKind kind, double CellOptions::* member) {
  return {name, cells, kind, nullptr, member};
}
constexpr OptionRow choice_row(std::string_view name, unsigned cells, bool CellOptions::* member, bool first,
                               std::string_view one, std::string_view other) {
  return {name, cells, OptionKind::choice, nullptr, nullptr, member, nullptr, {one, other}, first};
}

constexpr OptionRow kOptionTable[] = {
    activation_row("activation", kPlainCells, &CellOptions::activation),
    activation_row("recurrent_activation", kGatedCells, &CellOptions::recurrent_activation),
    activation_row("output_activation", kLstmCell, &CellOptions::output_activation),
    choice_row("peephole_output", kLstmCell, &CellOptions::peephole_current, true, "current", "previous"),
    {"coupled", kLstmCell, OptionKind::flag, nullptr, nullptr, &CellOptions::coupled},
    {"reset",
     kGruCell,
     OptionKind::choice,
     nullptr,
     nullptr,
     nullptr,
     &CellOptions::reset,
     {"after", "before", "output"}},
    choice_row("forget_gate", kSlstmCell, &CellOptions::exponential_forget, false, "sigmoid", "exp"),
    number_row("clip", kPlainCells, OptionKind::bound, &CellOptions::clip),
    number_row("cell_clip", kLstmCell, OptionKind::bound, &CellOptions::cell_clip),
    number_row("proj_clip", kLstmCell, OptionKind::bound, &CellOptions::projection_clip),
    number_row("forget_bias", kLstmCell, OptionKind::number, &CellOptions::forget_bias),
    number_row("norm_eps", kRnnCell | kLstmCell | kGruCell, OptionKind::positive, &CellOptions::norm_epsilon),
    number_row("zoneout_h", kPlainCells, OptionKind::rate, &CellOptions::zoneout_h),
    number_row("zoneout_c", kLstmCell, OptionKind::rate, &CellOptions::zoneout_c),
    number_row("weight_dropout", kMatrixCells, OptionKind::rate, &CellOptions::weight_dropout),
};

/// A parameter array: which cells may have it, and where it stands in the structures that hold all of them.
template <class T>
struct ParameterRow {
  std::string_view name;
  unsigned cells;
  const T* Parameters<T>::* value;
  T* BackwardArguments<T>::* gradient;
  std::vector<T> UnpackedParameters<T>::* unpacked;
};
template <class T>
constexpr ParameterRow<T> kParameterTable[] = {
#define FASTRNN_PARAMETER(name, gradient, cells) \
  {#name, cells, &Parameters<T>::name, &BackwardArguments<T>::gradient, &UnpackedParameters<T>::name}
    FASTRNN_PARAMETER(w_ih, dw_ih, kAllCells),
    FASTRNN_PARAMETER(w_hh, dw_hh, kAllCells),
    FASTRNN_PARAMETER(b_ih, db_ih, kAllCells),
    FASTRNN_PARAMETER(b_hh, db_hh, kAllCells),
    FASTRNN_PARAMETER(w_peep, dw_peep, kLstmCell),
    FASTRNN_PARAMETER(w_hr, dw_hr, kLstmCell),
    FASTRNN_PARAMETER(ln_ih, dln_ih, kLstmCell | kGruCell),
    FASTRNN_PARAMETER(ln_hh, dln_hh, kLstmCell | kGruCell | kRnnCell),
    FASTRNN_PARAMETER(ln_c, dln_c, kLstmCell),
#undef FASTRNN_PARAMETER
};

/// Whether a cell has the option or parameter of that name.
constexpr bool has(CellType cell, std::string_view name) {
  for (const OptionRow& row : kOptionTable)
    if (row.name == name) return (row.cells & only(cell)) != 0;
  for (const ParameterRow<float>& row : kParameterTable<float>)
    if (row.name == name) return (row.cells & only(cell)) != 0;
  return false;
}

/// The index of a choice among its row's `choices`.
inline int chosen(const OptionRow& row, const CellOptions& options) {
  return row.reset != nullptr ? int(options.*row.reset) : int(options.*row.flag != row.first);
}
inline void choose(const OptionRow& row, CellOptions& options, int index) {
  if (row.reset != nullptr)
    options.*row.reset = Reset(index);
  else
    options.*row.flag = (index == 0) == row.first;
}

/// The description of a cell without any option.
inline Description describe(CellType type) { return describe(kind_of(type, {}), {}); }
inline Names names(CellType type) { return names(kind_of(type, {})); }

/// What the shapes of a layer's parameters follow from: I, H, P (H without a projection) and the form of w_peep.
struct ParameterSizes {
  Index inputs, hidden, outputs;
  Peephole peephole = Peephole::none;
};

/// The shape of a parameter of kParameterTable.
inline std::vector<Index> parameter_shape(CellType cell, std::string_view name, const ParameterSizes& sizes) {
  const Description description = describe(cell);
  const Index hidden = sizes.hidden, rows = description.gates * hidden;
  if (name == "w_ih") return {rows, sizes.inputs};
  if (name == "w_hh")
    return description.vector_recurrence ? std::vector<Index>{hidden} : std::vector<Index>{rows, sizes.outputs};
  if (name == "w_peep")
    return sizes.peephole == Peephole::full ? std::vector<Index>{3, hidden, hidden} : std::vector<Index>{3, hidden};
  if (name == "w_hr") return {sizes.outputs, hidden};
  if (name == "ln_c") return {2, hidden};
  return {rows};  // a value for each gate of each unit
}

/// The names of the states beside h, a letter each, of a cell that has so many of them.
inline std::string_view state_names(Index count) {
  for (int kind = 0; kind < kKinds; ++kind)
    if (Index(names(Kind(kind)).states.size()) == count) return names(Kind(kind)).states;
  return "";
}

/// Whether the general form of the kernels is needed, which knows all activations, clips and zoneout. The plain form
/// has sigmoid and tanh compiled in.
inline bool needs_general(const Options& cell, Kind kind) {
  const auto has_option = [&](const char* name) { return has(type_of(kind), name); };
  return !has_plain(kind) || cell.zoneout_h > 0 || cell.zoneout_c > 0 ||
         (has_option("activation") && (cell.candidate.kind != Activation::tanh || cell.candidate.clip > 0)) ||
         (has_option("recurrent_activation") && cell.gate.kind != Activation::sigmoid) ||
         (has_option("output_activation") && cell.output.kind != Activation::tanh) ||
         (has_option("cell_clip") && cell.cell_clip > 0);
}

}  // namespace fastrnn::cells
