// What the planner knows about devices; devices.cc has the figures and their sources.
#pragma once

#include <string>

#include "fastrnn/cuda.hpp"

namespace fastrnn::cuda {

/// Kernels compiled for less have no clusters (__CUDA_ARCH__ in primitives.h).
constexpr int kClusterImage = 90;

/// Rates are per clock and multiprocessor.
struct DeviceSpec {
  const char* name;
  int major, minor;
  int processors;       // streaming multiprocessors
  double clock;         // GHz, boost
  int shared;           // bytes of shared memory that a block may have
  int cluster;          // blocks of a cluster at most; 1: there are no clusters
  double l2_bytes;      // capacity
  double l2_rate;       // bytes
  double memory_rate;   // GB/s
  double tensor_rate;   // multiply-adds in 16 bits by mma.sync
  double fma_rate;      // multiply-adds in float32
  double cluster_rate;  // bytes to another block's shared memory
  int image = 0;  // what the kernels loaded there were compiled for: 90 for compute_90; 0: unknown, a row of the table
};

/// The specification of "A100", "H100", "H200", "B200" or "RTX 4090". Throws Error, with the names, for another.
const DeviceSpec& device_spec(const std::string& name);

/// The specification of a device of this machine: what the runtime reports, and otherwise that of the nearest row of
/// the table. `image` is image_of() the device: kernels that were compiled for less than compute_90 have no clusters,
/// whatever the device has.
DeviceSpec device_spec(const CudaDevice& device, int image);

/// The same of device number `ordinal`, asked for once. Throws CudaError if there is none, or no kernel for it in this
/// build.
const DeviceSpec& local_device(int ordinal);

}  // namespace fastrnn::cuda
