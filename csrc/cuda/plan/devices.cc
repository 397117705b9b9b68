// The one table of the planner's constants that differ between devices.
//
// Sources, by column. The figures of the papers on arXiv were not compared with their tables again: do that before a
// prediction is relied upon, or better, measure (bench/barriers.cu).
//   processors, clock, memory_rate   NVIDIA's data sheets and architecture papers: "NVIDIA A100 Tensor Core GPU
//       Architecture" (2020; SXM4 80 GB), "NVIDIA H100 Tensor Core GPU Architecture" (2022; SXM5, the clock at which
//       989 TFLOPS in bf16 are reached), H200 and HGX B200 data sheets (2024), "NVIDIA Ada GPU Architecture" (2022)
//   shared, cluster   CUDA C++ Programming Guide, technical specifications per compute capability; 16 blocks in a
//       cluster need the non-portable attribute
//   l2_bytes, fma_rate   the same papers
//   l2_rate   A100: 5120 bytes a clock for the device (its paper). NVIDIA tells none of the others: assumed as much
//   tensor_rate   the dense peak in 16 bits with float32 sums, divided out (A100 312, RTX 4090 165.2 TFLOPS). H100:
//       mma.sync reaches about 62% of what wgmma does (Luo et al. 2024, arXiv:2402.13499). B200: assumed as H100
//   cluster_rate   Luo et al. 2024 and 2025 (arXiv:2402.13499, 2501.12084): shared memory of another block, 3.3 TB/s.
//       B200: assumed as H100. Latencies are in the counts of counts.h, those of H100 for all: an L2 hit takes 261, 263
//       and 273 clocks on A100, H100 and RTX 4090
#include "cuda/plan/devices.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <map>
#include <mutex>

#include "cuda/shared/runtime.h"
#include "fastrnn/fastrnn.hpp"

namespace fastrnn::cuda {

namespace {

constexpr double kMiB = 1 << 20;

constexpr DeviceSpec kDevices[] = {
    // name, capability, processors, clock, shared, cluster, l2_bytes, l2_rate, memory, tensor, fma, cluster
    {"A100", 8, 0, 108, 1.410, 163 * 1024, 1, 40 * kMiB, 5120. / 108, 2039, 1024, 64, 0},
    {"H100", 9, 0, 132, 1.830, 227 * 1024, 16, 50 * kMiB, 5120. / 132, 3350, 1270, 128, 13.7},
    {"H200", 9, 0, 132, 1.830, 227 * 1024, 16, 50 * kMiB, 5120. / 132, 4800, 1270, 128, 13.7},
    {"B200", 10, 0, 148, 1.850, 227 * 1024, 16, 126 * kMiB, 5120. / 148, 8000, 1270, 128, 13.7},
    {"RTX 4090", 8, 9, 128, 2.520, 99 * 1024, 1, 72 * kMiB, 5120. / 128, 1008, 256, 128, 0},
};

/// The row that a device of this capability resembles most.
const DeviceSpec& nearest(int major, int minor) {
  const DeviceSpec* best = &kDevices[0];
  const auto distance = [&](const DeviceSpec& spec) {
    return std::abs(spec.major - major) * 100 + std::abs(spec.minor - minor);
  };
  for (const DeviceSpec& spec : kDevices)
    if (distance(spec) < distance(*best)) best = &spec;
  return *best;
}

}  // namespace

const DeviceSpec& device_spec(const std::string& name) {
  std::string names;
  for (const DeviceSpec& spec : kDevices) {
    if (name == spec.name) return spec;
    names += (names.empty() ? "'" : ", '") + std::string(spec.name) + "'";
  }
  throw Error("device: expected 'cpu', 'cuda', 'cuda:N' or one of " + names + ", got '" + name + "'");
}

DeviceSpec device_spec(const CudaDevice& device, int image) {
  // Parts of one name with other counts exist (H100 PCIe), and parts that are not in the table.
  const auto* known = std::find_if(std::begin(kDevices), std::end(kDevices), [&](const DeviceSpec& spec) {
    return device.name.find(spec.name) != std::string::npos;
  });
  DeviceSpec spec = known != std::end(kDevices) ? *known : nearest(device.major, device.minor);
  spec.major = device.major;
  spec.minor = device.minor;
  spec.l2_rate *= double(spec.processors) / device.processors;
  spec.processors = device.processors;
  spec.shared = int(device.shared_memory);
  spec.image = image;
  if (device.major < 9 || image < kClusterImage) spec.cluster = 1;
  if (device.major >= 12) spec.cluster = std::min(spec.cluster, 8);
  return spec;
}

const DeviceSpec& local_device(int ordinal) {
#if defined(FASTRNN_CUDA)
  static std::mutex mutex;
  static std::map<int, DeviceSpec> known;  // a device does not change, and asking the runtime takes long
  const std::lock_guard<std::mutex> lock(mutex);
  const auto found = known.find(ordinal);
  if (found != known.end()) return found->second;
  require_cuda_device(ordinal);
  const CudaDevice device = cuda_status().devices[std::size_t(ordinal)];
  const int image = image_of(ordinal);
  if (image == 0)
    throw CudaError(0, "device: expected one that this build has kernels for (the CMake variable " +
                           std::string("FASTRNN_CUDA_TARGETS), got sm_") + std::to_string(device.major) +
                           std::to_string(device.minor));
  return known.emplace(ordinal, device_spec(device, image)).first->second;
#else
  require_cuda_device(ordinal);
  throw CudaError(0, "not built in");
#endif
}

}  // namespace fastrnn::cuda
