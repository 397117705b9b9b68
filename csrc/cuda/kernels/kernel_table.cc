#include "cuda/shared/kernel_table.h"

namespace fastrnn::cuda {

KernelList rnn_kernels();
KernelList lstm_kernels();
KernelList gru_after_kernels();
KernelList gru_before_kernels();
KernelList gru_output_kernels();
KernelList step_kernels();

const KernelList* kernel_lists() {
  static const KernelList lists[kKernelLists] = {rnn_kernels(),        lstm_kernels(),       gru_after_kernels(),
                                                 gru_before_kernels(), gru_output_kernels(), step_kernels()};
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
