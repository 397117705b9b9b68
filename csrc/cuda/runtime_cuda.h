// The Runtime over CUDA itself.
#pragma once

#include "cuda/check.h"
#include "cuda/runtime.h"

namespace fastrnn::cuda {

/// Of one device and stream; the stream is the caller's, 0 the default one. Makes the device the thread's current one,
/// and the one before it again when it ends.
class CudaRuntime final : public Runtime {
 public:
  explicit CudaRuntime(int ordinal, cudaStream_t stream = nullptr);
  ~CudaRuntime() override;
  CudaRuntime(const CudaRuntime&) = delete;
  CudaRuntime& operator=(const CudaRuntime&) = delete;

  void* allocate(std::size_t bytes) override;
  void release(void* memory) noexcept override;
  void copy_in(void* device, const void* host, std::size_t bytes) override;
  void copy_out(void* host, const void* device, std::size_t bytes) override;
  void clear(void* device, std::size_t bytes) override;
  void multiply(const Product& product) override;
  int resident_blocks(const void* kernel, const LaunchShape& shape) override;
  void launch(const void* kernel, const LaunchShape& shape, void* params) override;
  void repeat(int times, const std::function<void()>& work) override;
  void wait() override;
  void follow(void* other) override;

 private:
  cudaStream_t stream_;
  int before_ = 0;
};

}  // namespace fastrnn::cuda
