// What a device says of itself, and how many clusters of each size it can have at once when every block takes most of
// the shared memory, as those of Tier::cluster do: a GPC with fewer multiprocessors holds fewer.
//
// Usage: device_facts     prints one JSON object; without a device {"skipped": "why"} and exit status 77.
#include <cuda_runtime.h>

#include <cstdio>
#include <cstdlib>

namespace {

constexpr int kThreads = 256;

__global__ void __launch_bounds__(kThreads) block_of_a_cluster(float* out) {
  extern __shared__ float memory[];
  memory[threadIdx.x] = out[threadIdx.x];
  __syncthreads();
  out[threadIdx.x] = memory[kThreads - 1 - threadIdx.x];
}

void check(cudaError_t code, const char* what) {
  if (code == cudaSuccess) return;
  const bool nothing = code == cudaErrorNoDevice || code == cudaErrorInsufficientDriver;
  std::printf("{\"%s\": \"%s: %s (%d)\"}\n", nothing ? "skipped" : "failed", what, cudaGetErrorName(code), int(code));
  std::exit(nothing ? 77 : 1);
}

int attribute(cudaDeviceAttr which) {
  int value = 0;
  check(cudaDeviceGetAttribute(&value, which, 0), "cudaDeviceGetAttribute");
  return value;
}

}  // namespace

int main() {
  int devices = 0, runtime = 0, driver = 0;
  check(cudaGetDeviceCount(&devices), "no device");
  cudaDeviceProp device{};
  check(cudaGetDeviceProperties(&device, 0), "cudaGetDeviceProperties");
  check(cudaRuntimeGetVersion(&runtime), "cudaRuntimeGetVersion");
  check(cudaDriverGetVersion(&driver), "cudaDriverGetVersion");
  const int shared = attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin);
  std::printf(
      "{\"name\": \"%s\", \"capability\": \"%d.%d\", \"processors\": %d, \"clock_khz\": %d, \"memory_clock_khz\": %d, "
      "\"memory_bus_bits\": %d, \"l2_bytes\": %d, \"shared_per_block\": %d, \"shared_per_processor\": %d, "
      "\"registers_per_processor\": %d, \"memory\": %zu, \"runtime\": %d, \"driver\": %d, \"clusters\": {",
      device.name, device.major, device.minor, device.multiProcessorCount, attribute(cudaDevAttrClockRate),
      attribute(cudaDevAttrMemoryClockRate), device.memoryBusWidth, device.l2CacheSize, shared,
      attribute(cudaDevAttrMaxSharedMemoryPerMultiprocessor), device.regsPerMultiprocessor, device.totalGlobalMem,
      runtime, driver);
  check(cudaFuncSetAttribute(block_of_a_cluster, cudaFuncAttributeMaxDynamicSharedMemorySize, shared),
        "cudaFuncSetAttribute");
  if (device.major >= 9)
    check(cudaFuncSetAttribute(block_of_a_cluster, cudaFuncAttributeNonPortableClusterSizeAllowed, 1),
          "cudaFuncSetAttribute");
  for (unsigned size = 2; device.major >= 9 && size <= 16; size *= 2) {
    cudaLaunchAttribute cluster{};
    cluster.id = cudaLaunchAttributeClusterDimension;
    cluster.val.clusterDim = {size, 1, 1};
    cudaLaunchConfig_t config{};
    config.gridDim = dim3(size * 64);
    config.blockDim = dim3(kThreads);
    config.dynamicSmemBytes = std::size_t(shared);
    config.attrs = &cluster;
    config.numAttrs = 1;
    int count = 0;
    const cudaError_t code = cudaOccupancyMaxActiveClusters(&count, block_of_a_cluster, &config);
    cudaGetLastError();
    std::printf("%s\"%u\": %d", size > 2 ? ", " : "", size, code == cudaSuccess ? count : -int(code));
  }
  std::printf("}}\n");
  return 0;
}
