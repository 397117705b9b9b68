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
    {343, 534},  // float32
    {209, 162},  // tf32
    {311, 122},  // bfloat16
    {311, 122},  // float16
};
// A thread takes `first` clocks for an element of a step, and `each` for each chunk of its sums; cells
// as in FASTRNN_RESIDENT_CELLS, in inference, in training and backward.
constexpr CountedCell kCellClocks[] = {
    // rnn
    {{{1236, 44}, {1281, 44}, {1347, 45}}},
    // lstm
    {{{1920, 44}, {2007, 44}, {2056, 0}}},
    // gru_after
    {{{1665, 44}, {1730, 44}, {1861, 0}}},
    // gru_before
    {{{2286, 45}, {2349, 45}, {1663, 107}}},
    // gru_output
    {{{1677, 44}, {1739, 44}, {1728, 0}}},
};
// From the end of a product, or of publishing, until the next phase: of a block, a cluster, a grid.
constexpr double kExchangeClocks[] = {60, 1110, 1400};

}  // namespace fastrnn::cuda
