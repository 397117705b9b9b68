#include "cuda/runtime/blaslt.h"

#include <dlfcn.h>

#include <cstdint>
#include <cstdlib>
#include <memory>

#include "fastrnn/cuda.hpp"

namespace fastrnn::cuda {

namespace {

// Values of enumerators in library_types.h, cublas_api.h and cublasLt.h.
constexpr int kReal32 = 0;          // CUDA_R_32F
constexpr int kTransA = 3;          // CUBLASLT_MATMUL_DESC_TRANSA
constexpr int kTransB = 4;          // CUBLASLT_MATMUL_DESC_TRANSB
constexpr int kOpN = 0, kOpT = 1;   // CUBLAS_OP_N, CUBLAS_OP_T
constexpr int kWorkspaceBytes = 1;  // CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES
constexpr int kAlignmentOfA = 5;    // CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES; those of B, C and D follow it
constexpr int kNotSupported = 15;   // CUBLAS_STATUS_NOT_SUPPORTED

constexpr unsigned long long kMostWorkspace = 32 << 20;  // what NVIDIA recommends for Hopper
constexpr std::size_t kMostAlgorithms = 4096;            // choices of the heuristic that are remembered

/// The largest power of two, up to the 256 that the library asks for at most, that divides an address.
unsigned alignment(const void* data) {
  const auto at = reinterpret_cast<std::uintptr_t>(data) | 256;
  return unsigned(at & (~at + 1));
}

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
    load(preference_create_, "cublasLtMatmulPreferenceCreate");
    load(preference_set_, "cublasLtMatmulPreferenceSetAttribute");
    load(preference_destroy_, "cublasLtMatmulPreferenceDestroy");
    load(heuristic_, "cublasLtMatmulAlgoGetHeuristic");
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
      } catch (const CudaError&) {  // without any of them the project's own kernel multiplies
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

BlasLt::Key BlasLt::key_of(const Product& p, int ordinal) {
  const int flags = int(p.a.transposed) + 2 * int(p.b.transposed) + 4 * int(p.accumulate) + 8 * int(p.type);
  return {
      ordinal,       p.m, p.n, p.k, p.a.stride, p.b.stride, p.c_stride, flags, alignment(p.a.data), alignment(p.b.data),
      alignment(p.c)};
}

/// A product in the library's words. cuBLASLt's matrices are column-major: what is (rows, columns) here in rows is
/// (columns, rows) there. So it is asked for c^T (n,m) = op(b)^T (n,k) op(a)^T (k,m), and a factor that is turned here
/// has yet to be turned there.
struct BlasLt::Operation {
  Owned desc, a, b, c;

  Operation(const BlasLt& library, const Product& p)
      : desc(library.desc_destroy_),
        a(library.layout_destroy_),
        b(library.layout_destroy_),
        c(library.layout_destroy_) {
    check(library.desc_create_(&desc.value, compute_type(p.type), kReal32), "cublasLtMatmulDescCreate");
    const auto layout = [&](Owned& matrix, int rows, int columns, std::ptrdiff_t stride) {
      check(library.layout_create_(&matrix.value, kReal32, static_cast<unsigned long long>(rows),
                                   static_cast<unsigned long long>(columns), stride),
            "cublasLtMatrixLayoutCreate");
    };
    const auto factor = [&](Owned& matrix, int attribute, const DeviceMatrix& f, int rows, int columns) {
      const int op = f.transposed ? kOpT : kOpN;
      check(library.desc_set_(desc.value, attribute, &op, sizeof op), "cublasLtMatmulDescSetAttribute");
      layout(matrix, f.transposed ? columns : rows, f.transposed ? rows : columns, f.stride);
    };
    factor(a, kTransA, p.b, p.n, p.k);
    factor(b, kTransB, p.a, p.k, p.m);
    layout(c, p.n, p.m, p.c_stride);
  }
};

BlasLt::Algorithm BlasLt::find_algorithm(const Key& key, const Operation& operation, void* handle) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto known = algorithms_.find(key);
  if (known != algorithms_.end()) return known->second;
  Owned preference(preference_destroy_);
  check(preference_create_(&preference.value), "cublasLtMatmulPreferenceCreate");
  const auto set = [&](int attribute, auto value) {
    check(preference_set_(preference.value, attribute, &value, sizeof value), "cublasLtMatmulPreferenceSetAttribute");
  };
  set(kWorkspaceBytes, kMostWorkspace);
  // Its A is our b; c is read and written.
  const long long alignments[] = {key[9], key[8], key[10], key[10]};
  for (int i = 0; i < 4; ++i) set(kAlignmentOfA + i, unsigned(alignments[i]));
  Algorithm found{};
  int count = 0;
  const int status = heuristic_(handle, operation.desc.value, operation.a.value, operation.b.value, operation.c.value,
                                operation.c.value, preference.value, 1, &found, &count);
  if (status != kNotSupported) check(status, "cublasLtMatmulAlgoGetHeuristic");
  if (status == kNotSupported || count == 0) found.state = kNotSupported;
  if (algorithms_.size() >= kMostAlgorithms) algorithms_.clear();
  return algorithms_[key] = found;
}

bool BlasLt::multiply(const Product& p, int ordinal, void* stream, const Workspace& workspace) {
  const Operation operation(*this, p);
  void* const used = handle(ordinal);
  const Algorithm algorithm = find_algorithm(key_of(p, ordinal), operation, used);
  if (algorithm.state != 0) return false;
  void* const room = algorithm.workspace > 0 ? workspace(algorithm.workspace) : nullptr;
  if (algorithm.workspace > 0 && room == nullptr) return false;
  const float one = 1, beta = p.accumulate ? 1.0f : 0.0f;
  const int status =
      matmul_(used, operation.desc.value, &one, p.b.data, operation.a.value, p.a.data, operation.b.value, &beta, p.c,
              operation.c.value, p.c, operation.c.value, algorithm.data, room, algorithm.workspace, stream);
  if (status == kNotSupported) return false;
  check(status, "cublasLtMatmul");
  return true;
}

}  // namespace fastrnn::cuda
