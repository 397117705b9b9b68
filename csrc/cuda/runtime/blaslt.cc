#include "cuda/runtime/blaslt.h"

#include <dlfcn.h>

#include <cstdlib>
#include <memory>

#include "fastrnn/cuda.hpp"

namespace fastrnn::cuda {

namespace {

// Values of enumerators in library_types.h, cublas_api.h and cublasLt.h.
constexpr int kReal32 = 0;         // CUDA_R_32F
constexpr int kTransA = 3;         // CUBLASLT_MATMUL_DESC_TRANSA
constexpr int kTransB = 4;         // CUBLASLT_MATMUL_DESC_TRANSB
constexpr int kOpN = 0, kOpT = 1;  // CUBLAS_OP_N, CUBLAS_OP_T

/// cublasComputeType_t: float32 sums. The fast ones convert both factors on the way to the tensor cores.
int compute_type(Type type) {
  switch (type) {
    case Type::float16: return 74;   // CUBLAS_COMPUTE_32F_FAST_16F
    case Type::bfloat16: return 75;  // CUBLAS_COMPUTE_32F_FAST_16BF
    case Type::tf32: return 77;      // CUBLAS_COMPUTE_32F_FAST_TF32
    case Type::float32: break;
  }
  return 68;  // CUBLAS_COMPUTE_32F
}

/// A descriptor that is destroyed at the end of its scope.
class Owned {
 public:
  explicit Owned(int (*destroy)(void*)) : destroy_(destroy) {}
  ~Owned() {
    if (value != nullptr) destroy_(value);
  }
  Owned(const Owned&) = delete;
  Owned& operator=(const Owned&) = delete;
  void* value = nullptr;

 private:
  int (*destroy_)(void*);
};

}  // namespace

BlasLt::BlasLt(const std::string& library) : name_(library), library_(dlopen(library.c_str(), RTLD_NOW | RTLD_LOCAL)) {
  if (library_ == nullptr) throw CudaError(0, "cuBLASLt: " + std::string(dlerror()));
  try {
    load(create_, "cublasLtCreate");
    load(destroy_, "cublasLtDestroy");
    load(desc_create_, "cublasLtMatmulDescCreate");
    load(desc_set_, "cublasLtMatmulDescSetAttribute");
    load(desc_destroy_, "cublasLtMatmulDescDestroy");
    load(layout_create_, "cublasLtMatrixLayoutCreate");
    load(layout_destroy_, "cublasLtMatrixLayoutDestroy");
    load(matmul_, "cublasLtMatmul");
  } catch (...) {
    dlclose(library_);
    throw;
  }
}

BlasLt::~BlasLt() {
  for (const auto& [ordinal, handle] : handles_) destroy_(handle);
  dlclose(library_);
}

template <class Function>
void BlasLt::load(Function& function, const char* name) {
  function = reinterpret_cast<Function>(dlsym(library_, name));
  if (function == nullptr) throw CudaError(0, "cuBLASLt: expected " + std::string(name) + " in " + name_);
}

void BlasLt::check(int status, const char* call) {
  if (status != 0) throw CudaError(status, std::string(call) + ": cublasStatus_t " + std::to_string(status));
}

BlasLt* BlasLt::find() {
  // Never destroyed: at the end of a process the driver may be gone before it.
  static BlasLt* const found = []() -> BlasLt* {
    const char* path = std::getenv("FASTRNN_CUBLASLT");
    if (path != nullptr) return *path != 0 ? new BlasLt(path) : nullptr;
    for (const char* name : {"libcublasLt.so.13", "libcublasLt.so.12"}) {
      try {
        return new BlasLt(name);
      } catch (const CudaError&) {  // the next, or none: the project's own kernel is there
      }
    }
    return nullptr;
  }();
  return found;
}

void* BlasLt::handle(int ordinal) {
  const std::lock_guard<std::mutex> lock(mutex_);
  void*& handle = handles_[ordinal];
  if (handle == nullptr) check(create_(&handle), "cublasLtCreate");
  return handle;
}

/// cuBLASLt's matrices are column-major: what is (rows, columns) here in rows is (columns, rows) there. So it is asked
/// for c^T (n,m) = op(b)^T (n,k) op(a)^T (k,m), and a factor that is turned here has yet to be turned there.
void BlasLt::multiply(const Product& p, int ordinal, void* stream) {
  Owned desc(desc_destroy_), a(layout_destroy_), b(layout_destroy_), c(layout_destroy_);
  check(desc_create_(&desc.value, compute_type(p.type), kReal32), "cublasLtMatmulDescCreate");
  const auto factor = [&](Owned& layout, int attribute, const DeviceMatrix& f, int rows, int columns) {
    const int op = f.transposed ? kOpT : kOpN;
    check(desc_set_(desc.value, attribute, &op, sizeof op), "cublasLtMatmulDescSetAttribute");
    const auto first = static_cast<unsigned long long>(f.transposed ? columns : rows);
    const auto second = static_cast<unsigned long long>(f.transposed ? rows : columns);
    check(layout_create_(&layout.value, kReal32, first, second, f.stride), "cublasLtMatrixLayoutCreate");
  };
  factor(a, kTransA, p.b, p.n, p.k);
  factor(b, kTransB, p.a, p.k, p.m);
  check(layout_create_(&c.value, kReal32, static_cast<unsigned long long>(p.n), static_cast<unsigned long long>(p.m),
                       p.c_stride),
        "cublasLtMatrixLayoutCreate");
  const float one = 1, beta = p.accumulate ? 1.0f : 0.0f;
  check(matmul_(handle(ordinal), desc.value, &one, p.b.data, a.value, p.a.data, b.value, &beta, p.c, c.value, p.c,
                c.value, nullptr, nullptr, 0, stream),
        "cublasLtMatmul");
}

}  // namespace fastrnn::cuda
