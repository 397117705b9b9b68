// The kernels that the tests of the host side run: those with resident weights of three cells, and those of single
// steps of all.
#include "cuda/kernels/graph/step_table.h"
#include "cuda/kernels/resident/instantiate.h"
#include "emulated_runtime.h"

FASTRNN_KERNELS(lstm, Lstm)
FASTRNN_KERNELS(gru_after, GruAfter)
FASTRNN_KERNELS(gru_before, GruBefore)

namespace fastrnn::cuda {

static const KernelEntry steps[] = {FASTRNN_CELL_LIST(FASTRNN_STEPS_OF_TYPES)};

std::vector<KernelList> compiled_kernels() {
  return {lstm_kernels(), gru_after_kernels(), gru_before_kernels(), {steps, steps + sizeof(steps) / sizeof(*steps)}};
}

}  // namespace fastrnn::cuda
