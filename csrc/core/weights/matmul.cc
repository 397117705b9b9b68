// The matrix product of dense layers: the same tiles as the recurrence, over a matrix that was packed once.
#include "core/weights/matmul.h"

#include "core/backend/dispatch.h"
#include "core/base/aligned.h"
#include "core/base/float_mode.h"
#include "core/weights/panels.h"

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
  data_->kernels = &kernels;
  data_->rows = k;
  data_->columns = n;
  // Panel by panel, as an interruption may come. Without rows there is nothing to pack, however many columns there are.
  for (Index column = 0; k > 0 && column < n; column += panel) {
    check_interrupted(k * panel * kPerElement);
    for (Index i = 0; i < k; ++i) b_rows[i] = b + i * n + column;
    kernels.pack_rows(b_rows, k, std::min(panel, n - column), packed + column * k);
  }
  data_->panels = shape_panels<T>(k, n, 1, kernels.lanes);
  data_->panels.data = packed;
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
  fastrnn::multiply(*data_, a_rows, out, m, current_watch());
  check_interrupted();
}

template <class T>
void Matrix<T>::multiply(const T* const* rows, T* out, Index m) const noexcept {
  fastrnn::multiply<T>(*data_, rows, out, m, nullptr);
}

template <class T>
void multiply(const MatrixData<T>& matrix, const T* const* rows, T* out, Index m, Watch* watch) noexcept {
  const FlushDenormals flush;
  matrix.kernels->multiply(rows, m, matrix.panels, out, watch);
}

template <class T>
void matmul(const T* a, const T* b, T* out, Index m, Index k, Index n) {
  Matrix<T>(b, k, n).multiply(a, out, m);
}

template void multiply(const MatrixData<float>&, const float* const*, float*, Index, Watch*) noexcept;
template class Matrix<float>;
template class Matrix<double>;
template void matmul<float>(const float*, const float*, float*, Index, Index, Index);
template void matmul<double>(const double*, const double*, double*, Index, Index, Index);

}  // namespace fastrnn
