#include "cuda/runtime/runtime_cuda.h"

#include "cuda/runtime/blaslt.h"
#include "cuda/shared/kernel_table.h"
#include "cuda/shared/product.h"

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

/// Shared memory beyond 48 KiB, and clusters of more than eight blocks, have to be requested for a kernel.
void allow(const void* kernel, const LaunchShape& shape) {
  check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, int(shape.shared)),
        "cudaFuncSetAttribute");
  if (shape.cluster > 8)
    check(cudaFuncSetAttribute(kernel, cudaFuncAttributeNonPortableClusterSizeAllowed, 1), "cudaFuncSetAttribute");
}

/// Makes a device the thread's current one, and in the end the one before it again.
class Current {
 public:
  explicit Current(int ordinal) {
    check(cudaGetDevice(&before_), "cudaGetDevice");
    check(cudaSetDevice(ordinal), "cudaSetDevice");
  }
  ~Current() { cudaSetDevice(before_); }
  Current(const Current&) = delete;
  Current& operator=(const Current&) = delete;

 private:
  int before_ = 0;
};

/// A graph of recorded work, ready to be launched. It is recorded on a stream of its own, since the legacy default
/// stream cannot be recorded.
class Graph {
 public:
  Graph() { check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "cudaStreamCreateWithFlags"); }
  ~Graph() {
    if (executable_ != nullptr) cudaGraphExecDestroy(executable_);
    if (graph_ != nullptr) cudaGraphDestroy(graph_);
    cudaStreamDestroy(stream_);
  }
  Graph(const Graph&) = delete;
  Graph& operator=(const Graph&) = delete;

  cudaStream_t stream() const { return stream_; }
  template <class Work>
  void record(const Work& work) {
    check(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeThreadLocal), "cudaStreamBeginCapture");
    try {
      work();
    } catch (...) {  // the stream must not stay in this mode
      cudaStreamEndCapture(stream_, &graph_);
      cudaGetLastError();
      throw;
    }
    check(cudaStreamEndCapture(stream_, &graph_), "cudaStreamEndCapture");
    check(cudaGraphInstantiate(&executable_, graph_, 0), "cudaGraphInstantiate");
  }
  void launch(cudaStream_t stream) const { check(cudaGraphLaunch(executable_, stream), "cudaGraphLaunch"); }

 private:
  cudaStream_t stream_ = nullptr;
  cudaGraph_t graph_ = nullptr;
  cudaGraphExec_t executable_ = nullptr;
};

}  // namespace

void* CudaRuntime::allocate(std::size_t bytes) {
  const Current current(ordinal_);
  void* memory = nullptr;
  check(cudaMallocAsync(&memory, bytes, stream_), "cudaMallocAsync");
  return memory;
}
void CudaRuntime::release(void* memory) noexcept {
  try {
    const Current current(ordinal_);
    cudaFreeAsync(memory, stream_);
  } catch (const CudaError&) {  // the driver is gone, and the memory with it
  }
}

void CudaRuntime::copy_in(void* device, const void* host, std::size_t bytes) {
  const Current current(ordinal_);
  check(cudaMemcpyAsync(device, host, bytes, cudaMemcpyHostToDevice, stream_), "cudaMemcpyAsync");
}
void CudaRuntime::copy_out(void* host, const void* device, std::size_t bytes) {
  const Current current(ordinal_);
  check(cudaMemcpyAsync(host, device, bytes, cudaMemcpyDeviceToHost, stream_), "cudaMemcpyAsync");
}
void CudaRuntime::clear(void* device, std::size_t bytes) {
  const Current current(ordinal_);
  check(cudaMemsetAsync(device, 0, bytes, stream_), "cudaMemsetAsync");
}

void CudaRuntime::multiply(const Product& product) {
  BlasLt* library = BlasLt::find();
  if (library == nullptr || product.m == 0 || product.n == 0 || product.k == 0) return launch_product(*this, product);
  const Current current(ordinal_);
  library->multiply(product, ordinal_, stream_);
}

int CudaRuntime::resident_blocks(const void* kernel, const LaunchShape& shape) {
  const Current current(ordinal_);
  allow(kernel, shape);
  const Config config(shape, stream_);
  int count = 0;
  if (shape.cluster > 1) {
    check(cudaOccupancyMaxActiveClusters(&count, kernel, &config.launch), "cudaOccupancyMaxActiveClusters");
    return count * shape.cluster;
  }
  check(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&count, kernel, shape.threads, shape.shared),
        "cudaOccupancyMaxActiveBlocksPerMultiprocessor");
  int processors = 0;
  check(cudaDeviceGetAttribute(&processors, cudaDevAttrMultiProcessorCount, ordinal_), "cudaDeviceGetAttribute");
  return count * processors;
}

void CudaRuntime::launch(const void* kernel, const LaunchShape& shape, void* params) {
  const Current current(ordinal_);
  allow(kernel, shape);
  const Config config(shape, stream_);
  void* arguments[] = {params};
  check(cudaLaunchKernelExC(&config.launch, kernel, arguments), "cudaLaunchKernelExC");
}

void CudaRuntime::repeat(int times, const std::function<void()>& work) {
  const Current current(ordinal_);
  if (times < 1) return;
  work();  // not recorded: a kernel that runs for the first time may have to be loaded, which no recording allows
  if (times == 1) return;
  Graph graph;
  const cudaStream_t stream = stream_;
  stream_ = graph.stream();
  try {
    graph.record(work);
  } catch (...) {
    stream_ = stream;
    throw;
  }
  stream_ = stream;
  for (int i = 1; i < times; ++i) graph.launch(stream_);
  wait();  // the graph must be there until it has run
}

void CudaRuntime::wait() {
  const Current current(ordinal_);
  check(cudaStreamSynchronize(stream_), "cudaStreamSynchronize");
}

void CudaRuntime::wait_for_device() noexcept {
  try {
    const Current current(ordinal_);
    cudaDeviceSynchronize();
  } catch (const CudaError&) {  // the driver is gone
  }
}

void CudaRuntime::follow(void* other) {
  const Current current(ordinal_);
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

int image_of(int ordinal) {
  const Current current(ordinal);
  // Any will do: a build has all kernels for the same targets.
  const KernelEntry* kernel = find_kernel(Tier::cluster, cells::Kind::lstm, Type::bfloat16, Pass::inference);
  cudaFuncAttributes attributes{};
  const cudaError_t code = cudaFuncGetAttributes(&attributes, kernel->function);
  if (code == cudaErrorNoKernelImageForDevice || code == cudaErrorInvalidDeviceFunction) {
    cudaGetLastError();  // or the next call would report it again
    return 0;
  }
  check(code, "cudaFuncGetAttributes");
  return attributes.ptxVersion;
}

int ordinal_of(const void* memory) {
  cudaPointerAttributes attributes{};
  check(cudaPointerGetAttributes(&attributes, memory), "cudaPointerGetAttributes");
  if (attributes.type != cudaMemoryTypeDevice && attributes.type != cudaMemoryTypeManaged)
    throw CudaError(0, "expected memory of a CUDA device, got memory of the host");
  return attributes.device;
}

}  // namespace fastrnn::cuda
