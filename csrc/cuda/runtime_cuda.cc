#include "cuda/runtime_cuda.h"

#include "cuda/product.h"

namespace fastrnn::cuda {

namespace {

/// A launch as the runtime wants it. Refers to itself: not to be copied.
struct Config {
  cudaLaunchConfig_t launch{};
  cudaLaunchAttribute attribute{};

  Config(const LaunchShape& shape, cudaStream_t stream) {
    launch.gridDim = dim3(unsigned(shape.blocks));
    launch.blockDim = dim3(unsigned(shape.threads));
    launch.dynamicSmemBytes = shape.shared;
    launch.stream = stream;
    if (shape.cluster > 1) {
      attribute.id = cudaLaunchAttributeClusterDimension;
      attribute.val.clusterDim.x = unsigned(shape.cluster);
      attribute.val.clusterDim.y = attribute.val.clusterDim.z = 1;
    } else {
      attribute.id = cudaLaunchAttributeCooperative;
      attribute.val.cooperative = shape.cooperative ? 1 : 0;
    }
    launch.attrs = &attribute;
    launch.numAttrs = 1;
  }
  Config(const Config&) = delete;
  Config& operator=(const Config&) = delete;
};

/// Shared memory beyond 48 KiB, and clusters of more than eight blocks, are to be asked for.
void allow(const void* kernel, const LaunchShape& shape) {
  check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, int(shape.shared)),
        "cudaFuncSetAttribute");
  if (shape.cluster > 8)
    check(cudaFuncSetAttribute(kernel, cudaFuncAttributeNonPortableClusterSizeAllowed, 1), "cudaFuncSetAttribute");
}

}  // namespace

CudaRuntime::CudaRuntime(int ordinal, cudaStream_t stream) : stream_(stream) {
  check(cudaGetDevice(&before_), "cudaGetDevice");
  check(cudaSetDevice(ordinal), "cudaSetDevice");
}
CudaRuntime::~CudaRuntime() { cudaSetDevice(before_); }

void* CudaRuntime::allocate(std::size_t bytes) {
  void* memory = nullptr;
  check(cudaMallocAsync(&memory, bytes, stream_), "cudaMallocAsync");
  return memory;
}
void CudaRuntime::release(void* memory) noexcept { cudaFreeAsync(memory, stream_); }

void CudaRuntime::copy_in(void* device, const void* host, std::size_t bytes) {
  check(cudaMemcpyAsync(device, host, bytes, cudaMemcpyHostToDevice, stream_), "cudaMemcpyAsync");
}
void CudaRuntime::copy_out(void* host, const void* device, std::size_t bytes) {
  check(cudaMemcpyAsync(host, device, bytes, cudaMemcpyDeviceToHost, stream_), "cudaMemcpyAsync");
}
void CudaRuntime::clear(void* device, std::size_t bytes) {
  check(cudaMemsetAsync(device, 0, bytes, stream_), "cudaMemsetAsync");
}

void CudaRuntime::multiply(const Product& product) { launch_product(*this, product); }

int CudaRuntime::resident_blocks(const void* kernel, const LaunchShape& shape) {
  allow(kernel, shape);
  const Config config(shape, stream_);
  int count = 0;
  if (shape.cluster > 1) {
    check(cudaOccupancyMaxActiveClusters(&count, kernel, &config.launch), "cudaOccupancyMaxActiveClusters");
    return count * shape.cluster;
  }
  check(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&count, kernel, shape.threads, shape.shared),
        "cudaOccupancyMaxActiveBlocksPerMultiprocessor");
  int device = 0, processors = 0;
  check(cudaGetDevice(&device), "cudaGetDevice");
  check(cudaDeviceGetAttribute(&processors, cudaDevAttrMultiProcessorCount, device), "cudaDeviceGetAttribute");
  return count * processors;
}

void CudaRuntime::launch(const void* kernel, const LaunchShape& shape, void* params) {
  allow(kernel, shape);
  const Config config(shape, stream_);
  void* arguments[] = {params};
  check(cudaLaunchKernelExC(&config.launch, kernel, arguments), "cudaLaunchKernelExC");
}

void CudaRuntime::wait() { check(cudaStreamSynchronize(stream_), "cudaStreamSynchronize"); }

void CudaRuntime::follow(void* other) {
  struct Event {
    cudaEvent_t handle = nullptr;
    Event() { check(cudaEventCreateWithFlags(&handle, cudaEventDisableTiming), "cudaEventCreateWithFlags"); }
    ~Event() { cudaEventDestroy(handle); }  // once it has happened
    Event(const Event&) = delete;
    Event& operator=(const Event&) = delete;
  };
  const Event event;
  check(cudaEventRecord(event.handle, static_cast<cudaStream_t>(other)), "cudaEventRecord");
  check(cudaStreamWaitEvent(stream_, event.handle, 0), "cudaStreamWaitEvent");
}

std::unique_ptr<Runtime> open_runtime(int ordinal, void* stream) {
  return std::make_unique<CudaRuntime>(ordinal, static_cast<cudaStream_t>(stream));
}

int ordinal_of(const void* memory) {
  cudaPointerAttributes attributes{};
  check(cudaPointerGetAttributes(&attributes, memory), "cudaPointerGetAttributes");
  if (attributes.type != cudaMemoryTypeDevice && attributes.type != cudaMemoryTypeManaged)
    throw CudaError(0, "expected memory of a CUDA device, got memory of the host");
  return attributes.device;
}

}  // namespace fastrnn::cuda
