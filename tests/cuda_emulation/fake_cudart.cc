#include "fake_cudart.h"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <utility>

namespace fake {

State& state() {
  static State it;
  return it;
}

int State::count(const std::string& name) const { return int(std::count(calls.begin(), calls.end(), name)); }

namespace {

/// A call that needs no device.
cudaError_t called(const char* name) {
  state().calls.emplace_back(name);
  return cudaSuccess;
}
/// One that does: the current device has a context then.
cudaError_t on_device(const char* name) {
  state().contexts.insert(state().device);
  return called(name);
}
template <class Handle>
void make(Handle* handle) {
  *handle = reinterpret_cast<Handle>(std::malloc(1));
}

bool recording = false;  // on the library's own stream

int primary_state(int device, unsigned*, int* active) {
  *active = int(state().contexts.count(device));
  return 0;
}

}  // namespace

}  // namespace fake

using fake::called;
using fake::on_device;
using fake::state;

const char* cudaGetErrorName(cudaError_t) { return "cudaError"; }
const char* cudaGetErrorString(cudaError_t) { return "an error"; }
cudaError_t cudaGetLastError() { return called("cudaGetLastError"); }
cudaError_t cudaGetDevice(int* device) {
  *device = state().device;
  return called("cudaGetDevice");
}
cudaError_t cudaSetDevice(int device) {
  state().device = device;
  return on_device("cudaSetDevice");  // it makes the context, since CUDA 12
}
cudaError_t cudaGetDriverEntryPointByVersion(const char* name, void** found, unsigned, unsigned long long,
                                             cudaDriverEntryPointQueryResult* result) {
  const bool known = std::strcmp(name, "cuDevicePrimaryCtxGetState") == 0;
  *found = known ? reinterpret_cast<void*>(&fake::primary_state) : nullptr;
  *result = cudaDriverEntryPointQueryResult(known ? 0 : 1);
  return called("cudaGetDriverEntryPointByVersion");
}
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int) {
  *value = attribute == cudaDevAttrMultiProcessorCount ? 132 : 227 << 10;
  return called("cudaDeviceGetAttribute");
}
cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* attributes, const void*) {
  attributes->ptxVersion = state().image;
  on_device("cudaFuncGetAttributes");
  return state().image > 0 ? cudaSuccess : cudaErrorNoKernelImageForDevice;
}
cudaError_t cudaFuncSetAttribute(const void*, cudaFuncAttribute attribute, int value) {
  state().settings[attribute == cudaFuncAttributeMaxDynamicSharedMemorySize ? "shared" : "cluster"] = value;
  return on_device("cudaFuncSetAttribute");
}
cudaError_t cudaOccupancyMaxActiveClusters(int* count, const void*, const cudaLaunchConfig_t*) {
  *count = 8;
  return on_device("cudaOccupancyMaxActiveClusters");
}
cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int* count, const void*, int, size_t) {
  *count = 1;
  return on_device("cudaOccupancyMaxActiveBlocksPerMultiprocessor");
}
cudaError_t cudaLaunchKernelExC(const cudaLaunchConfig_t* config, const void*, void**) {
  state().streams.push_back(config->stream);
  state().devices.push_back(state().device);
  return on_device("cudaLaunchKernelExC");
}
cudaError_t cudaMemPoolCreate(cudaMemPool_t* pool, const cudaMemPoolProps* properties) {
  state().settings["pool of device"] = properties->location.id;
  fake::make(pool);
  return on_device("cudaMemPoolCreate");
}
cudaError_t cudaMemPoolSetAttribute(cudaMemPool_t, cudaMemPoolAttr, void* value) {
  std::uint64_t threshold = 0;
  std::memcpy(&threshold, value, sizeof threshold);
  state().settings["all memory is kept"] = threshold == UINT64_MAX;
  return on_device("cudaMemPoolSetAttribute");
}
cudaError_t cudaMallocFromPoolAsync(void** memory, size_t bytes, cudaMemPool_t, cudaStream_t stream) {
  *memory = std::malloc(bytes);
  ++state().live;
  state().streams.push_back(stream);
  return on_device("cudaMallocFromPoolAsync");
}
cudaError_t cudaFreeAsync(void* memory, cudaStream_t stream) {
  std::free(memory);
  --state().live;
  state().streams.push_back(stream);
  return on_device("cudaFreeAsync");
}
cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind, cudaStream_t stream) {
  std::memcpy(to, from, bytes);
  state().streams.push_back(stream);
  return on_device("cudaMemcpyAsync");
}
cudaError_t cudaMemsetAsync(void* to, int value, size_t bytes, cudaStream_t stream) {
  std::memset(to, value, bytes);
  state().streams.push_back(stream);
  return on_device("cudaMemsetAsync");
}
cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* attributes, const void*) {
  *attributes = {cudaMemoryTypeHost, 0};
  return called("cudaPointerGetAttributes");
}
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  fake::make(stream);
  return on_device("cudaStreamCreateWithFlags");
}
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  std::free(stream);
  return called("cudaStreamDestroy");
}
cudaError_t cudaStreamSynchronize(cudaStream_t) { return on_device("cudaStreamSynchronize"); }
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t, unsigned) {
  state().streams.push_back(stream);
  return on_device("cudaStreamWaitEvent");
}
cudaError_t cudaStreamIsCapturing(cudaStream_t, cudaStreamCaptureStatus* status) {
  *status = state().capturing ? cudaStreamCaptureStatusActive : cudaStreamCaptureStatusNone;
  return called("cudaStreamIsCapturing");
}
cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode) {
  if (stream == nullptr || fake::recording) return cudaErrorInvalidValue;
  fake::recording = true;
  return on_device("cudaStreamBeginCapture");
}
cudaError_t cudaStreamEndCapture(cudaStream_t, cudaGraph_t* graph) {
  fake::recording = false;
  fake::make(graph);
  return on_device("cudaStreamEndCapture");
}
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
  fake::make(event);
  return on_device("cudaEventCreateWithFlags");
}
cudaError_t cudaEventRecord(cudaEvent_t, cudaStream_t stream) {
  state().streams.push_back(stream);
  return on_device("cudaEventRecord");
}
cudaError_t cudaEventDestroy(cudaEvent_t event) {
  std::free(event);
  return called("cudaEventDestroy");
}
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* executable, cudaGraph_t, unsigned long long) {
  fake::make(executable);
  return on_device("cudaGraphInstantiate");
}
cudaError_t cudaGraphExecUpdate(cudaGraphExec_t, cudaGraph_t, cudaGraphExecUpdateResultInfo*) {
  on_device("cudaGraphExecUpdate");
  return std::exchange(state().other_graph, false) ? cudaErrorGraphExecUpdateFailure : cudaSuccess;
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t, cudaStream_t stream) {
  state().streams.push_back(stream);
  return on_device("cudaGraphLaunch");
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable) {
  std::free(executable);
  return called("cudaGraphExecDestroy");
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  std::free(graph);
  return called("cudaGraphDestroy");
}
