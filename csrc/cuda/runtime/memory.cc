#include "fastrnn/cuda_memory.hpp"

#include "cuda/shared/runtime.h"

namespace fastrnn {

namespace {

std::unique_ptr<cuda::Runtime> open(int ordinal, void* stream) {
#if defined(FASTRNN_CUDA)
  return cuda::open_runtime(ordinal, stream);
#else
  static_cast<void>(stream);
  require_cuda_device(ordinal);
  throw CudaError(0, "not built in");
#endif
}

}  // namespace

std::shared_ptr<void> allocate_cuda(std::size_t bytes, int ordinal, void* stream) {
  if (bytes == 0) return nullptr;
  return {open(ordinal, stream)->allocate(bytes), [ordinal, stream](void* memory) {
            try {
              open(ordinal, stream)->release(memory);
            } catch (const CudaError&) {  // the process ends, and the driver with it
            }
          }};
}

void order_cuda_streams(int ordinal, void* before, void* after) {
  if (before != after) open(ordinal, after)->follow(before);
}

void wait_for_cuda_stream(int ordinal, void* stream) { open(ordinal, stream)->wait(); }

int cuda_ordinal_of(const void* memory) {
#if defined(FASTRNN_CUDA)
  return cuda::ordinal_of(memory);
#else
  static_cast<void>(memory);
  require_cuda_device();
  throw CudaError(0, "not built in");
#endif
}

}  // namespace fastrnn
