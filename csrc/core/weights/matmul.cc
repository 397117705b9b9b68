// The matrix product for what stands around the recurrence.
#include "core/backend/dispatch.h"
#include "core/base/aligned.h"
#include "core/base/float_mode.h"
#include "core/weights/panels.h"
#include "fastrnn/fastrnn.hpp"

namespace fastrnn {

template <class T>
struct MatrixData {
  const KernelTable<T>* kernels;
  Index rows, columns;
  AlignedBuffer memory;
  Panels<T> panels;
};

template <class T>
Matrix<T>::Matrix(const T* b, Index k, Index n) : data_(std::make_unique<MatrixData<T>>()) {
  const KernelTable<T>& kernels = current_backend().table<T>();
  const Index panel = 4 * Index(kernels.lanes);
  T* packed;
  const T** b_rows;
  data_->memory = allocate([&](Arena& arena) { arena.take(packed, k * ((n + panel - 1) / panel * panel)); });
  const AlignedBuffer pointers = allocate([&](Arena& arena) { arena.take(b_rows, k); });
  for (Index i = 0; i < k; ++i) b_rows[i] = b + i * n;
  data_->kernels = &kernels;
  data_->rows = k;
  data_->columns = n;
  data_->panels = kernels.pack_rows(b_rows, k, n, packed);
}
template <class T>
Matrix<T>::~Matrix() = default;
template <class T>
Matrix<T>::Matrix(Matrix&& other) noexcept = default;
template <class T>
Index Matrix<T>::rows() const noexcept {
  return data_->rows;
}
template <class T>
Index Matrix<T>::columns() const noexcept {
  return data_->columns;
}

template <class T>
void Matrix<T>::unpack(T* b) const noexcept {
  const int lanes = data_->kernels->lanes;
  for (Index i = 0; i < data_->rows; ++i)
    for (Index j = 0; j < data_->columns; ++j)
      *b++ = data_->panels.data[offset(data_->panels, lanes, i, 0, j / lanes * lanes) + j % lanes];
}

template <class T>
void Matrix<T>::multiply(const T* a, T* out, Index m) const {
  const T** a_rows;
  const AlignedBuffer pointers = allocate([&](Arena& arena) { arena.take(a_rows, m); });
  for (Index i = 0; i < m; ++i) a_rows[i] = a + i * data_->rows;
  multiply(a_rows, out, m);
}

template <class T>
void Matrix<T>::multiply(const T* const* rows, T* out, Index m) const noexcept {
  const FlushDenormals flush;
  data_->kernels->multiply(rows, m, data_->panels, out);
}

template <class T>
void matmul(const T* a, const T* b, T* out, Index m, Index k, Index n) {
  Matrix<T>(b, k, n).multiply(a, out, m);
}

template class Matrix<float>;
template class Matrix<double>;
template void matmul<float>(const float*, const float*, float*, Index, Index, Index);
template void matmul<double>(const double*, const double*, double*, Index, Index, Index);

}  // namespace fastrnn
