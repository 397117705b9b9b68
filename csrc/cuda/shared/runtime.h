// What the host side needs of a device, as one interface: over the CUDA runtime in the library, over the emulation in
// the tests, so that all but the calls of CUDA themselves runs without a GPU.
//
// All work is in the order of one stream; a failure throws CudaError.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>

#include "cuda/shared/types.h"

namespace fastrnn::cuda {

struct LaunchShape {
  int blocks, threads;
  int cluster = 1;
  bool cooperative = false;
  std::size_t shared = 0;  // dynamic
};

/// A row-major float32 matrix on the device, as it is or transposed. Rows begin `stride` elements apart, so that it may
/// be some columns of a wider one.
struct DeviceMatrix {
  const float* data;
  std::ptrdiff_t stride;
  bool transposed = false;
};

/// c = op(a) op(b), or c += op(a) op(b): op(a) is (m,k), op(b) (k,n), c (m,n) in rows `c_stride` apart. Extents may be
/// zero; the product over no k is zero.
struct Product {
  int m, n, k;
  DeviceMatrix a, b;
  float* c;
  std::ptrdiff_t c_stride;
  bool accumulate = false;
  Type type = Type::float32;  // elements of a and b are rounded to it; sums are float32
};

/// A point in the order of a stream, for which another can wait.
struct Mark {
  virtual ~Mark() = default;
};

class Runtime {
 public:
  virtual ~Runtime() = default;
  virtual void* allocate(std::size_t bytes) = 0;
  virtual void release(void* memory) noexcept = 0;
  virtual void copy_in(void* device, const void* host, std::size_t bytes) = 0;
  virtual void copy_out(void* host, const void* device, std::size_t bytes) = 0;  // it is there after wait()
  virtual void clear(void* device, std::size_t bytes) = 0;
  virtual void multiply(const Product& product) = 0;
  /// Blocks of such a launch that the device can have at the same time.
  virtual int resident_blocks(const void* kernel, const LaunchShape& shape) = 0;
  virtual void launch(const void* kernel, const LaunchShape& shape, void* params) = 0;
  /// Enqueues what `work` enqueues (products and launches alone) `times` times. `kind` is the same for works that
  /// differ in their arguments alone.
  virtual void repeat(const std::string& kind, int times, const std::function<void()>& work) = 0;
  virtual void wait() = 0;
  /// What is given to the stream from now on waits for what `other`, a stream of the same device, has so far.
  virtual void follow(void* other) = 0;
  /// What the stream has been given so far; null while the caller records it into a graph, which nobody can wait for.
  virtual std::unique_ptr<Mark> mark() = 0;
  /// What is given to the stream from now on waits for a mark in another stream of the device, which may be gone.
  virtual void follow(const Mark& mark) = 0;
};

/// A runtime for a device, which must exist, and one of its streams (a cudaStream_t; null: the legacy default stream).
std::unique_ptr<Runtime> open_runtime(int ordinal, void* stream);

/// What the recurrence kernels that the driver loads on a device were compiled for: 90 of compute_90, which may be less
/// than the device's own; 0 if this build has none that run there. Throws CudaError.
int image_of(int ordinal);

/// The device whose memory this is, if a kernel may use it. Throws CudaError for any other address.
int ordinal_of(const void* memory);

/// Memory of the device, for the length of a call.
class Buffer {
 public:
  Buffer(Runtime& runtime, std::size_t bytes)
      : runtime_(runtime), data_(bytes > 0 ? runtime.allocate(bytes) : nullptr) {}
  ~Buffer() {
    if (data_ != nullptr) runtime_.release(data_);
  }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  template <class T = float>
  T* as() const {
    return static_cast<T*>(data_);
  }

 private:
  Runtime& runtime_;
  void* data_;
};

}  // namespace fastrnn::cuda
