/* What blaslt.cc takes of cuBLASLt, computed on the host, as its documentation says: column-major, D = A B + beta C. */
#include <stddef.h>
#include <stdlib.h>

typedef struct {
  int compute, scale, trans_a, trans_b;
} Desc;
typedef struct {
  int type;
  unsigned long long rows, columns;
  long long ld;
} Layout;

int fake_alive = 0, fake_compute = 0;
void* fake_stream = NULL;

int cublasLtCreate(void** handle) {
  *handle = malloc(1);
  return 0;
}
int cublasLtDestroy(void* handle) {
  free(handle);
  return 0;
}
int cublasLtMatmulDescCreate(void** out, int compute, int scale) {
  Desc* desc = calloc(1, sizeof *desc);
  desc->compute = compute;
  desc->scale = scale;
  *out = desc;
  ++fake_alive;
  return 0;
}
int cublasLtMatmulDescSetAttribute(void* desc, int attribute, const void* value, size_t bytes) {
  if (bytes != sizeof(int) || (attribute != 3 && attribute != 4)) return 7; /* CUBLAS_STATUS_INVALID_VALUE */
  *(attribute == 3 ? &((Desc*)desc)->trans_a : &((Desc*)desc)->trans_b) = *(const int*)value;
  return 0;
}
int cublasLtMatmulDescDestroy(void* desc) {
  free(desc);
  --fake_alive;
  return 0;
}
int cublasLtMatrixLayoutCreate(void** out, int type, unsigned long long rows, unsigned long long columns,
                               long long ld) {
  Layout* layout = malloc(sizeof *layout);
  layout->type = type;
  layout->rows = rows;
  layout->columns = columns;
  layout->ld = ld;
  *out = layout;
  ++fake_alive;
  return 0;
}
int cublasLtMatrixLayoutDestroy(void* layout) {
  free(layout);
  --fake_alive;
  return 0;
}

static float at(const float* data, const Layout* layout, int trans, unsigned long long row, unsigned long long column) {
  return trans ? data[column + (long long)row * layout->ld] : data[row + (long long)column * layout->ld];
}

int cublasLtMatmul(void* handle, void* desc_, const void* alpha, const void* a, void* a_layout, const void* b,
                   void* b_layout, const void* beta, const void* c, void* c_layout, void* d, void* d_layout,
                   const void* algorithm, void* workspace, size_t workspace_bytes, void* stream) {
  const Desc* desc = desc_;
  const Layout *la = a_layout, *lb = b_layout, *lc = c_layout, *ld = d_layout;
  const unsigned long long m = desc->trans_a ? la->columns : la->rows, k = desc->trans_a ? la->rows : la->columns;
  const unsigned long long n = desc->trans_b ? lb->rows : lb->columns, l = desc->trans_b ? lb->columns : lb->rows;
  unsigned long long i, j, q;
  if (handle == NULL || algorithm != NULL || workspace != NULL || workspace_bytes != 0) return 7;
  if (k != l || lc->rows != m || lc->columns != n || ld->rows != m || ld->columns != n) return 7;
  if (la->ld < (long long)la->rows || lb->ld < (long long)lb->rows || ld->ld < (long long)ld->rows) return 7;
  if (la->type != 0 || lb->type != 0 || lc->type != 0 || desc->scale != 0) return 7;
  fake_compute = desc->compute;
  fake_stream = stream;
  for (i = 0; i < m; ++i)
    for (j = 0; j < n; ++j) {
      double sum = 0;
      float* out = (float*)d + i + (long long)j * ld->ld;
      for (q = 0; q < k; ++q) sum += (double)at(a, la, desc->trans_a, i, q) * at(b, lb, desc->trans_b, q, j);
      sum *= *(const float*)alpha;
      if (*(const float*)beta != 0) sum += *(const float*)beta * ((const float*)c)[i + (long long)j * lc->ld];
      *out = (float)sum;
    }
  return 0;
}
