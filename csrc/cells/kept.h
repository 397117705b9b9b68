// Where a forward pass in training keeps the gates of a cell.
#pragma once

#include "list.h"

namespace fastrnn::cells {

/// The column of a gate, both counted as `names` lists the gates: the gate's own number, but for the output gate of an
/// LSTM whose phases keep r in its place.
constexpr int gate_column(Kind kind, int gate) {
  return kind == Kind::lstm_staged && gate == lstm::O ? LstmStaged::kO : gate;
}

}  // namespace fastrnn::cells
