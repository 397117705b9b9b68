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
    {111, 453},  // float32
    {136, 78},   // tf32
    {183, 55},   // bfloat16
    {183, 55},   // float16
};
// A thread takes `first` clocks for an element of a step, and `each` for each chunk of its sums; cells
// as in FASTRNN_RESIDENT_CELLS, in inference, in training and backward.
constexpr CountedCell kCellClocks[] = {
    // rnn
    {{{863, 25}, {863, 25}, {798, 27}}},
    // lstm
    {{{1072, 27}, {1073, 27}, {1282, 0}}},
    // gru_after
    {{{988, 0}, {988, 0}, {1036, 0}}},
    // gru_before
    {{{1038, 137}, {1038, 137}, {189, 203}}},
    // gru_output
    {{{660, 146}, {660, 146}, {1033, 0}}},
};
// From the end of a product, or of publishing, until the next phase: of a block, a cluster, a grid.
constexpr double kExchangeClocks[] = {50, 386, 994};

}  // namespace fastrnn::cuda
