// Matrix products by NVIDIA's cuBLASLt, loaded at run time where it can be found. The build does not need it; without
// it the project's own kernel multiplies (product.h).
#pragma once

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

  /// Enqueues a product whose extents are above zero. One handle for each device, for the life of the process.
  /// Throws CudaError.
  void multiply(const Product& product, int ordinal, void* stream);
  const std::string& name() const { return name_; }

 private:
  template <class Function>
  void load(Function& function, const char* name);
  void* handle(int ordinal);
  static void check(int status, const char* call);

  std::string name_;
  void* library_;
  std::mutex mutex_;
  std::map<int, void*> handles_;
  int (*create_)(void** handle);
  int (*destroy_)(void* handle);
  int (*desc_create_)(void** desc, int compute_type, int scale_type);
  int (*desc_set_)(void* desc, int attribute, const void* value, std::size_t bytes);
  int (*desc_destroy_)(void* desc);
  int (*layout_create_)(void** layout, int type, unsigned long long rows, unsigned long long columns, long long ld);
  int (*layout_destroy_)(void* layout);
  int (*matmul_)(void* handle, void* desc, const void* alpha, const void* a, void* a_layout, const void* b,
                 void* b_layout, const void* beta, const void* c, void* c_layout, void* d, void* d_layout,
                 const void* algorithm, void* workspace, std::size_t workspace_bytes, void* stream);
};

}  // namespace fastrnn::cuda
