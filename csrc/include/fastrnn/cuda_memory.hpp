// Memory of a GPU and the order of its streams, for arrays there. A stream is a cudaStream_t of device `ordinal`; null
// is the legacy default stream. All throw CudaError.
#pragma once

#include <cstddef>
#include <memory>

#include "fastrnn/cuda.hpp"

namespace fastrnn {

/// Memory for work on a stream, allocated and freed in the order of that stream (cudaMallocAsync, cudaFreeAsync), which
/// must outlive it. Null for 0 bytes.
FASTRNN_API std::shared_ptr<void> allocate_cuda(std::size_t bytes, int ordinal, void* stream);

/// What is enqueued on `after` from now on waits for what has been enqueued on `before`.
FASTRNN_API void order_cuda_streams(int ordinal, void* before, void* after);

/// Returns when all work of the stream is done; reports errors of that work.
FASTRNN_API void wait_for_cuda_stream(int ordinal, void* stream);

/// The device whose memory this is.
FASTRNN_API int cuda_ordinal_of(const void* memory);

}  // namespace fastrnn
