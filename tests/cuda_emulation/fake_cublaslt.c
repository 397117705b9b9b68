/* What blaslt.cc takes of cuBLASLt, computed on the host, as its documentation says: column-major, D = A B + beta C. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
  int compute, scale, trans_a, trans_b;
} Desc;
typedef struct {
  int type;
  unsigned long long rows, columns;
  long long ld;
} Layout;

typedef struct {
  unsigned long long workspace;
  unsigned alignment[4];
} Preference;
/* cublasLtMatmulHeuristicResult_t. Of the algorithm itself data[0] says how its matrices have to be aligned. */
typedef struct {
  unsigned long long data[8];
  size_t workspace;
  int state;
  float waves;
  int reserved[4];
} Result;

int fake_alive = 0, fake_compute = 0, fake_asked = 0;
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

int cublasLtMatmulPreferenceCreate(void** out) {
  Preference* preference = calloc(1, sizeof *preference);
  int i;
  for (i = 0; i < 4; ++i) preference->alignment[i] = 256;
  *out = preference;
  ++fake_alive;
  return 0;
}
int cublasLtMatmulPreferenceSetAttribute(void* preference, int attribute, const void* value, size_t bytes) {
  Preference* p = preference;
  if (attribute == 1 && bytes == sizeof p->workspace) {
    memcpy(&p->workspace, value, bytes);
    return 0;
  }
  if (attribute < 5 || attribute > 8 || bytes != sizeof(unsigned)) return 7; /* CUBLAS_STATUS_INVALID_VALUE */
  memcpy(&p->alignment[attribute - 5], value, bytes);
  return 0;
}
int cublasLtMatmulPreferenceDestroy(void* preference) {
  free(preference);
  --fake_alive;
  return 0;
}
/* There is an algorithm for every alignment, which needs no less; two for a depth of 19 say that there is none, in both
   ways in which the library may say so. Wide products take a workspace. */
int cublasLtMatmulAlgoGetHeuristic(void* handle, void* desc, void* a, void* b, void* c, void* d, void* preference,
                                   int wanted, Result* found, int* count) {
  const Preference* p = preference;
  const Layout *la = a, *lc = c;
  const unsigned long long depth = ((Desc*)desc)->trans_a ? la->rows : la->columns;
  int i;
  if (handle == NULL || b == NULL || d == NULL || wanted != 1) return 7;
  ++fake_asked;
  *count = 0;
  if (depth == 19 && lc->rows == 1) return 15; /* CUBLAS_STATUS_NOT_SUPPORTED */
  if (depth == 19 && lc->rows == 5) return 0;
  memset(found, 0, sizeof *found);
  found->data[0] = 256;
  for (i = 0; i < 4; ++i)
    if (p->alignment[i] < found->data[0]) found->data[0] = p->alignment[i];
  found->workspace = lc->rows > 30 && p->workspace >= 1024 ? 1024 : 0;
  *count = 1;
  return 0;
}

int cublasLtMatmul(void* handle, void* desc_, const void* alpha, const void* a, void* a_layout, const void* b,
                   void* b_layout, const void* beta, const void* c, void* c_layout, void* d, void* d_layout,
                   const void* algorithm, void* workspace, size_t workspace_bytes, void* stream) {
  const Desc* desc = desc_;
  const Layout *la = a_layout, *lb = b_layout, *lc = c_layout, *ld = d_layout;
  const unsigned long long m = desc->trans_a ? la->columns : la->rows, k = desc->trans_a ? la->rows : la->columns;
  const unsigned long long n = desc->trans_b ? lb->rows : lb->columns, l = desc->trans_b ? lb->columns : lb->rows;
  unsigned long long i, j, q;
  const uintptr_t places = (uintptr_t)a | (uintptr_t)b | (uintptr_t)c | (uintptr_t)d;
  /* Without an algorithm the library takes one for matrices aligned to 256 bytes. */
  const unsigned long long alignment = algorithm != NULL ? *(const unsigned long long*)algorithm : 256;
  if (handle == NULL || places % alignment != 0) return 7;
  if ((workspace != NULL) != (workspace_bytes != 0)) return 7;
  if (workspace != NULL) memset(workspace, 1, workspace_bytes);
  if (m == 17 && n == 17) return 15; /* what the heuristic did not know */
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
