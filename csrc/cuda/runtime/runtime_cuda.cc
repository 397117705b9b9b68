#include "cuda/runtime/runtime_cuda.h"

#include <tuple>
#include <utility>

#include "cuda/runtime/blaslt.h"
#include "cuda/runtime/device.h"
#include "cuda/runtime/recording.h"
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

/// An event behind what a stream has been given.
struct Event final : Mark {
  cudaEvent_t handle = nullptr;
  explicit Event(cudaStream_t stream) {
    check(cudaEventCreateWithFlags(&handle, cudaEventDisableTiming), "cudaEventCreateWithFlags");
    const cudaError_t code = cudaEventRecord(handle, stream);
    if (code != cudaSuccess) cudaEventDestroy(handle);
    check(code, "cudaEventRecord");
  }
  ~Event() override { cudaEventDestroy(handle); }  // CUDA frees it once it has happened
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
};

}  // namespace

CudaRuntime::~CudaRuntime() {
  if (workspace_ != nullptr) release(workspace_);
}

void* CudaRuntime::allocate(std::size_t bytes) {
  const Current current(ordinal_);
  void* memory = nullptr;
  check(cudaMallocFromPoolAsync(&memory, bytes, memory_pool(ordinal_), stream_), "cudaMallocFromPoolAsync");
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
  const bool done = library->multiply(product, ordinal_, stream_, [&](std::size_t bytes) { return workspace(bytes); });
  if (!done) launch_product(*this, product);
}

/// Products of one stream follow each other, and so share it. It never grows while work is recorded: what is recorded
/// has been enqueued once before.
void* CudaRuntime::workspace(std::size_t bytes) {
  if (bytes <= workspace_bytes_) return workspace_;
  if (recording_) return nullptr;
  if (workspace_ != nullptr) release(std::exchange(workspace_, nullptr));
  workspace_bytes_ = 0;
  workspace_ = allocate(bytes);
  workspace_bytes_ = bytes;
  return workspace_;
}

int CudaRuntime::resident_blocks(const void* kernel, const LaunchShape& shape) {
  static Remembered<std::tuple<int, const void*, int, int, std::size_t>, int> known;
  return known.get({ordinal_, kernel, shape.threads, shape.cluster, shape.shared}, [&] {
    const Current current(ordinal_);
    allow(kernel, ordinal_, shape);
    int count = 0;
    if (shape.cluster > 1) {
      const Config config(shape, stream_);
      check(cudaOccupancyMaxActiveClusters(&count, kernel, &config.launch), "cudaOccupancyMaxActiveClusters");
      return count * shape.cluster;
    }
    check(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&count, kernel, shape.threads, shape.shared),
          "cudaOccupancyMaxActiveBlocksPerMultiprocessor");
    int processors = 0;
    check(cudaDeviceGetAttribute(&processors, cudaDevAttrMultiProcessorCount, ordinal_), "cudaDeviceGetAttribute");
    return count * processors;
  });
}

void CudaRuntime::launch(const void* kernel, const LaunchShape& shape, void* params) {
  const Current current(ordinal_);
  allow(kernel, ordinal_, shape);
  const Config config(shape, stream_);
  void* arguments[] = {params};
  check(cudaLaunchKernelExC(&config.launch, kernel, arguments), "cudaLaunchKernelExC");
}

void CudaRuntime::repeat(const std::string& kind, int times, const std::function<void()>& work) {
  const Current current(ordinal_);
  if (times < 1) return;
  work();  // not recorded: a kernel that runs for the first time may have to be loaded, which no recording allows
  if (times == 1) return;
  static auto& recordings = *new Recordings;  // not destroyed: at the end of the process the driver may be gone
  const Recordings::Key key = {kind, ordinal_, stream_};
  std::unique_ptr<Recording> recording = recordings.take(key);
  recording->record([&] {
    recording_ = true;
    stream_ = recording->stream();
    try {
      work();
    } catch (...) {
      end_recording(std::get<cudaStream_t>(key));
      throw;
    }
    end_recording(std::get<cudaStream_t>(key));
  });
  for (int i = 1; i < times; ++i) recording->launch(stream_);
  recordings.keep(key, std::move(recording));
}

void CudaRuntime::end_recording(cudaStream_t stream) {
  stream_ = stream;
  recording_ = false;
}

void CudaRuntime::wait() {
  const Current current(ordinal_);
  check(cudaStreamSynchronize(stream_), "cudaStreamSynchronize");
}

void CudaRuntime::follow(void* other) {
  const Current current(ordinal_);
  follow(Event(static_cast<cudaStream_t>(other)));
}

std::unique_ptr<Mark> CudaRuntime::mark() {
  const Current current(ordinal_);
  cudaStreamCaptureStatus status{};
  check(cudaStreamIsCapturing(stream_, &status), "cudaStreamIsCapturing");
  if (status != cudaStreamCaptureStatusNone) return nullptr;
  return std::make_unique<Event>(stream_);
}

void CudaRuntime::follow(const Mark& mark) {
  const Current current(ordinal_);
  check(cudaStreamWaitEvent(stream_, static_cast<const Event&>(mark).handle, 0), "cudaStreamWaitEvent");
}

std::unique_ptr<Runtime> open_runtime(int ordinal, void* stream) {
  return std::make_unique<CudaRuntime>(ordinal, static_cast<cudaStream_t>(stream));
}

int image_of(int ordinal) {
  const Current current(ordinal);
  // Any will do: a build has all kernels for the same targets.
  const KernelEntry& kernel = *kernel_lists()->begin;
  cudaFuncAttributes attributes{};
  const cudaError_t code = cudaFuncGetAttributes(&attributes, kernel.function);
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
