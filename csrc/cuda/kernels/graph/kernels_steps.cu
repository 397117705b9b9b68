#include "cuda/kernels/graph/step_table.h"

namespace fastrnn::cuda {

static const KernelEntry table[] = {FASTRNN_CELL_LIST(FASTRNN_STEPS_OF_TYPES)};

KernelList step_kernels() { return {table, table + sizeof(table) / sizeof(*table)}; }

}  // namespace fastrnn::cuda
