// The Runtime over CUDA itself.
#pragma once

#include "cuda/runtime/check.h"
#include "cuda/shared/runtime.h"

namespace fastrnn::cuda {

/// Works on one device and on a stream of the caller's, 0 the default one. Every call makes the device the current one
/// of its thread while it lasts: what is kept on a device outlives calls and may be used by other threads.
class CudaRuntime final : public Runtime {
 public:
  explicit CudaRuntime(int ordinal, cudaStream_t stream = nullptr) : ordinal_(ordinal), stream_(stream) {}

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
  void wait_for_device() noexcept override;
  void follow(void* other) override;

 private:
  const int ordinal_;
  cudaStream_t stream_;
};

}  // namespace fastrnn::cuda
