// The kernels of single steps, of every cell: all that the tests of Tier::graph run, compiled in seconds.
#include "cuda/kernels/graph/step_table.h"
#include "emulated_runtime.h"

namespace fastrnn::cuda {

static const KernelEntry steps[] = {FASTRNN_CELL_LIST(FASTRNN_STEPS_OF_TYPES)};

std::vector<KernelList> compiled_kernels() { return {{steps, steps + sizeof(steps) / sizeof(*steps)}}; }

}  // namespace fastrnn::cuda
