// Memory of a GPU and the order of its streams, for arrays there. A stream is a cudaStream_t of device `ordinal`; null
// is the legacy default stream. All throw CudaError.
#pragma once

#include <cstddef>
#include <memory>

#include "fastrnn/cuda.hpp"

namespace fastrnn {

/// Memory for work on that stream, given back in its order (cudaMallocAsync, cudaFreeAsync): the stream must outlive
/// it. Null for 0 bytes.
FASTRNN_API std::shared_ptr<void> allocate_cuda(std::size_t bytes, int ordinal, void* stream);

/// What `after` is given from now on waits for what `before` has so far.
FASTRNN_API void order_cuda_streams(int ordinal, void* before, void* after);

/// Returns when the stream has done all it has, and reports what failed there.
FASTRNN_API void wait_for_cuda_stream(int ordinal, void* stream);

/// The device on which memory is that its kernels may use.
FASTRNN_API int cuda_ordinal_of(const void* memory);

}  // namespace fastrnn
