#include "cuda/shared/kernel_table.h"

namespace fastrnn::cuda {

#define FASTRNN_DECLARE(name) KernelList name##_kernels();
FASTRNN_RESIDENT_CELLS(FASTRNN_DECLARE)
#undef FASTRNN_DECLARE
KernelList step_kernels();

const KernelList* kernel_lists() {
#define FASTRNN_CALL(name) name##_kernels(),
  static const KernelList lists[kKernelLists] = {FASTRNN_RESIDENT_CELLS(FASTRNN_CALL) step_kernels()};
#undef FASTRNN_CALL
  return lists;
}

const KernelEntry* find_kernel(Tier tier, cells::Kind kind, Type type, Pass pass) {
  if (pass == Pass::training) pass = Pass::inference;
  for (int i = 0; i < kKernelLists; ++i)
    for (const KernelEntry* e = kernel_lists()[i].begin; e != kernel_lists()[i].end; ++e)
      if (e->tier == tier && e->kind == kind && e->type == type && e->pass == pass) return e;
  return nullptr;
}

}  // namespace fastrnn::cuda
