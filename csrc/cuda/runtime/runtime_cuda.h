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
  ~CudaRuntime() override;

  void* allocate(std::size_t bytes) override;
  void release(void* memory) noexcept override;
  void copy_in(void* device, const void* host, std::size_t bytes) override;
  void copy_out(void* host, const void* device, std::size_t bytes) override;
  void clear(void* device, std::size_t bytes) override;
  void multiply(const Product& product) override;
  int resident_blocks(const void* kernel, const LaunchShape& shape) override;
  void launch(const void* kernel, const LaunchShape& shape, void* params) override;
  void repeat(const std::string& kind, int times, const std::function<void()>& work) override;
  void wait() override;
  void follow(void* other) override;
  std::unique_ptr<Mark> mark() override;
  void follow(const Mark& mark) override;

 private:
  void* workspace(std::size_t bytes);
  void end_recording(cudaStream_t stream);

  const int ordinal_;
  cudaStream_t stream_;
  void* workspace_ = nullptr;  // of products
  std::size_t workspace_bytes_ = 0;
  bool recording_ = false;
};

}  // namespace fastrnn::cuda
