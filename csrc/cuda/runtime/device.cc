#include "cuda/runtime/device.h"

#include <cstdint>
#include <utility>

namespace fastrnn::cuda {

namespace {

constexpr std::size_t kSharedForAll = 48 << 10;  // what every kernel may have (CUDA C++ Programming Guide)
constexpr int kPortableCluster = 8;              // likewise

/// Whether a device has a context already. Asking the runtime would create one.
bool has_context(int ordinal) {
  using GetState = int (*)(int device, unsigned* flags, int* active);
  static const GetState get_state = [] {
    void* found = nullptr;
    cudaDriverEntryPointQueryResult result{};
    const cudaError_t code =
        cudaGetDriverEntryPointByVersion("cuDevicePrimaryCtxGetState", &found, 12000, cudaEnableDefault, &result);
    if (code != cudaSuccess) cudaGetLastError();
    return code == cudaSuccess && result == cudaDriverEntryPointSuccess ? reinterpret_cast<GetState>(found) : nullptr;
  }();
  unsigned flags = 0;
  int active = 0;
  return get_state == nullptr || get_state(ordinal, &flags, &active) != 0 || active != 0;
}

}  // namespace

Current::Current(int ordinal) {
  int before = 0;
  check(cudaGetDevice(&before), "cudaGetDevice");
  if (before == ordinal) return;
  if (has_context(before)) restored_ = before;
  check(cudaSetDevice(ordinal), "cudaSetDevice");
}

Current::~Current() {
  if (restored_ >= 0) cudaSetDevice(restored_);
}

cudaMemPool_t memory_pool(int ordinal) {
  static auto& pools = *new Remembered<int, cudaMemPool_t>;  // never destroyed: memory freed at exit needs it
  return pools.get(ordinal, [&] {
    cudaMemPoolProps properties{};
    properties.allocType = cudaMemAllocationTypePinned;
    properties.location.type = cudaMemLocationTypeDevice;
    properties.location.id = ordinal;
    cudaMemPool_t pool = nullptr;
    check(cudaMemPoolCreate(&pool, &properties), "cudaMemPoolCreate");
    std::uint64_t kept = UINT64_MAX;
    check(cudaMemPoolSetAttribute(pool, cudaMemPoolAttrReleaseThreshold, &kept), "cudaMemPoolSetAttribute");
    return pool;
  });
}

void allow(const void* kernel, int ordinal, const LaunchShape& shape) {
  if (shape.shared <= kSharedForAll && shape.cluster <= kPortableCluster) return;
  static Remembered<std::pair<const void*, int>, bool> allowed;
  allowed.get({kernel, ordinal}, [&] {
    int most = 0;
    check(cudaDeviceGetAttribute(&most, cudaDevAttrMaxSharedMemoryPerBlockOptin, ordinal), "cudaDeviceGetAttribute");
    check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, most), "cudaFuncSetAttribute");
    if (shape.cluster > 1)
      check(cudaFuncSetAttribute(kernel, cudaFuncAttributeNonPortableClusterSizeAllowed, 1), "cudaFuncSetAttribute");
    return true;
  });
}

}  // namespace fastrnn::cuda
