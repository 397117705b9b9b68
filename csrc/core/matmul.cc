// The matrix product for what stands around the recurrence.
#include "core/aligned.h"
#include "core/dispatch.h"
#include "core/float_mode.h"
#include "fastrnn/fastrnn.hpp"

namespace fastrnn {

template <class T>
void matmul(const T* a, const T* b, T* out, Index m, Index k, Index n) {
  const KernelTable<T>& kernels = current_backend().table<T>();
  const Index panel = 4 * Index(kernels.lanes);
  T* packed;
  const T **a_rows, **b_rows;
  const AlignedBuffer memory = allocate([&](Arena& arena) {
    arena.take(packed, k * ((n + panel - 1) / panel * panel));
    arena.take(a_rows, m);
    arena.take(b_rows, k);
  });
  for (Index i = 0; i < m; ++i) a_rows[i] = a + i * k;
  for (Index i = 0; i < k; ++i) b_rows[i] = b + i * n;
  const FlushDenormals flush;
  kernels.multiply(a_rows, m, kernels.pack_rows(b_rows, k, n, packed), out);
}

template void matmul<float>(const float*, const float*, float*, Index, Index, Index);
template void matmul<double>(const double*, const double*, double*, Index, Index, Index);

}  // namespace fastrnn
