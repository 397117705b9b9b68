// Clocks of a step by the machine code for sm_90 of the kernels as they are. Made by `python -m bench.sass --write`,
// which says how it counts; nothing of it was measured.
#pragma once

namespace fastrnn::cuda {

struct CountedTerm {
  double first, each;
};
struct CountedCell {
  CountedTerm pass[3];
};

// A product of a phase takes `first` clocks, and `each` for a slice of the warp and a tile of rows.
constexpr CountedTerm kProductClocks[] = {
    {105, 453},  // float32
    {117, 79},   // tf32
    {173, 54},   // bfloat16
    {173, 54},   // float16
};
// A thread takes `first` clocks for an element of a step, and `each` for each chunk of its sums; cells
// as in FASTRNN_RESIDENT_CELLS, in inference, in training and backward.
constexpr CountedCell kCellClocks[] = {
    // rnn
    {{{763, 79}, {763, 79}, {678, 77}}},
    // lstm
    {{{1054, 77}, {1054, 77}, {574, 77}}},
    // gru_after
    {{{922, 77}, {922, 77}, {521, 78}}},
    // gru_before
    {{{1419, 41}, {1419, 41}, {209, 203}}},
    // gru_output
    {{{624, 203}, {624, 203}, {572, 70}}},
};
// From the end of a product, or of publishing, until the next phase: of a block, a cluster, a grid.
constexpr double kExchangeClocks[] = {50, 355, 1007};

}  // namespace fastrnn::cuda
