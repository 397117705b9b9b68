// The list of cells: the one place that names them all. Backends instantiate their kernels from it.
#pragma once

#include "gru.h"
#include "indrnn.h"
#include "lstm.h"
#include "mgu.h"
#include "rnn.h"
#include "slstm.h"

#define FASTRNN_CELL_LIST(X)     \
  X(rnn, Rnn)                    \
  X(lstm, Lstm)                  \
  X(lstm_full, LstmFullPeephole) \
  X(gru_after, GruAfter)         \
  X(gru_before, GruBefore)       \
  X(gru_output, GruOutput)       \
  X(lstm_staged, LstmStaged)     \
  X(indrnn, IndRnn)              \
  X(mgu, Mgu)                    \
  X(slstm, Slstm)

namespace fastrnn::cells {

enum class Kind : int {
#define FASTRNN_ENUMERATOR(name, type) name,
  FASTRNN_CELL_LIST(FASTRNN_ENUMERATOR)
#undef FASTRNN_ENUMERATOR
};

constexpr int kKinds = 0
#define FASTRNN_COUNT(name, type) +1
    FASTRNN_CELL_LIST(FASTRNN_COUNT)
#undef FASTRNN_COUNT
    ;

constexpr Description describe(Kind kind, const Options& options) {
  switch (kind) {
#define FASTRNN_CASE(name, type) \
  case Kind::name: return type::describe(options);
    FASTRNN_CELL_LIST(FASTRNN_CASE)
#undef FASTRNN_CASE
  }
  return {};
}

constexpr Names names(Kind kind) {
  switch (kind) {
#define FASTRNN_CASE(name, type) \
  case Kind::name: return type::kNames;
    FASTRNN_CELL_LIST(FASTRNN_CASE)
#undef FASTRNN_CASE
  }
  return {};
}

constexpr CellType type_of(Kind kind) {
  switch (kind) {
#define FASTRNN_CASE(name, type) \
  case Kind::name: return type::kType;
    FASTRNN_CELL_LIST(FASTRNN_CASE)
#undef FASTRNN_CASE
  }
  return {};
}

/// Which of a cell's forms computes these options.
constexpr Kind kind_of(CellType cell, const Options& options) {
#define FASTRNN_TRY(name, type) \
  if (type::kType == cell && type::fits(options)) return Kind::name;
  FASTRNN_CELL_LIST(FASTRNN_TRY)
#undef FASTRNN_TRY
  return {};
}

/// Whether there is a form of it with sigmoid, tanh and no options compiled in.
constexpr bool has_plain(Kind kind) {
  switch (kind) {
#define FASTRNN_CASE(name, type) \
  case Kind::name: return type::kHasPlain;
    FASTRNN_CELL_LIST(FASTRNN_CASE)
#undef FASTRNN_CASE
  }
  return false;
}

constexpr bool have_names() {
  for (int kind = 0; kind < kKinds; ++kind) {
    const Description cell = describe(Kind(kind), {});
    if (int(names(Kind(kind)).gates.size()) != cell.gates || int(names(Kind(kind)).states.size()) != cell.c_states)
      return false;
  }
  return true;
}
static_assert(have_names(), "a letter for each gate and each state");

}  // namespace fastrnn::cells
