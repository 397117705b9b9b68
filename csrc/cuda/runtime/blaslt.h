// Matrix products by NVIDIA's cuBLASLt, loaded at run time where it can be found. The build does not need it; without
// it the project's own kernel multiplies (product.h).
#pragma once

#include <array>
#include <functional>
#include <map>
#include <mutex>
#include <string>

#include "cuda/shared/runtime.h"

namespace fastrnn::cuda {

/// A library with the functions below, loaded. Signatures and numbers are those of cublasLt.h of CUDA 12 and 13; the
/// opaque handles are pointers.
class BlasLt {
 public:
  /// Throws CudaError if there is no such library, or one of the functions is not in it.
  explicit BlasLt(const std::string& library);
  ~BlasLt();
  BlasLt(const BlasLt&) = delete;
  BlasLt& operator=(const BlasLt&) = delete;

  /// The library at the path FASTRNN_CUBLASLT (empty: none), else one that is loaded already or that the system finds;
  /// null if there is none. Looked for once.
  static BlasLt* find();

  /// Memory of the device for what is enqueued on the stream of a product; null if there is none.
  using Workspace = std::function<void*(std::size_t bytes)>;

  /// Enqueues a product whose extents are above zero, by the algorithm that the library's heuristic prefers for its
  /// sizes and for how its matrices are aligned; it is asked once for each. False if the library has none: nothing is
  /// enqueued then. One handle for each device, for the life of the process. Throws CudaError.
  bool multiply(const Product& product, int ordinal, void* stream, const Workspace& workspace);
  const std::string& name() const { return name_; }

 private:
  /// cublasLtMatmulHeuristicResult_t.
  struct Algorithm {
    unsigned long long data[8];
    std::size_t workspace;
    int state;  // a cublasStatus_t: whether there is an algorithm
    float waves;
    int reserved[4];
  };
  /// All that the heuristic's answer depends on.
  using Key = std::array<long long, 12>;
  static Key key_of(const Product& product, int ordinal);
  struct Operation;

  template <class Function>
  void load(Function& function, const char* name);
  void* handle(int ordinal);
  static void check(int status, const char* call);
  Algorithm find_algorithm(const Key& key, const Operation& operation, void* handle);

  std::string name_;
  void* library_;
  std::mutex mutex_;
  std::map<int, void*> handles_;
  std::map<Key, Algorithm> algorithms_;
  int (*create_)(void** handle);
  int (*destroy_)(void* handle);
  int (*desc_create_)(void** desc, int compute_type, int scale_type);
  int (*desc_set_)(void* desc, int attribute, const void* value, std::size_t bytes);
  int (*desc_destroy_)(void* desc);
  int (*layout_create_)(void** layout, int type, unsigned long long rows, unsigned long long columns, long long ld);
  int (*layout_destroy_)(void* layout);
  int (*preference_create_)(void** preference);
  int (*preference_set_)(void* preference, int attribute, const void* value, std::size_t bytes);
  int (*preference_destroy_)(void* preference);
  int (*heuristic_)(void* handle, void* desc, void* a, void* b, void* c, void* d, void* preference, int wanted,
                    Algorithm* found, int* count);
  int (*matmul_)(void* handle, void* desc, const void* alpha, const void* a, void* a_layout, const void* b,
                 void* b_layout, const void* beta, const void* c, void* c_layout, void* d, void* d_layout,
                 const void* algorithm, void* workspace, std::size_t workspace_bytes, void* stream);
};

}  // namespace fastrnn::cuda
