// Which calls of the CUDA runtime the host side makes: over a fake one, which notes them.
#include <algorithm>
#include <cstdlib>
#include <string>
#include <vector>

#include "cuda/runtime/runtime_cuda.h"
#include "cuda/shared/kernel_table.h"
#include "cuda/shared/product.h"
#include "expect.h"
#include "fake_cudart.h"
#include "fastrnn/cuda.hpp"

namespace fastrnn::cuda {

const char kernels[3] = {};  // of which the fake runtime needs addresses alone
static const KernelEntry entry = {Tier::block, cells::Kind{}, Type::float32, Pass::inference, &kernels[1], 256};
static const KernelList list = {&entry, &entry + 1};

const void* product_kernel() { return &kernels[0]; }
const KernelList* kernel_lists() { return &list; }

}  // namespace fastrnn::cuda

namespace {

using namespace fastrnn;
using namespace fastrnn::cuda;
using emulation::expect;

const cudaStream_t kStream = reinterpret_cast<cudaStream_t>(0x700);

LaunchShape shape_of(std::size_t shared, int cluster = 1) {
  LaunchShape shape{};
  shape.blocks = 16;
  shape.threads = 256;
  shape.cluster = cluster;
  shape.shared = shared;
  return shape;
}

/// All that a call does on another device than the current one, which has no context, and has one.
void check_devices() {
  fake::State& state = fake::state();
  const auto use_second = [] {
    CudaRuntime runtime(1, kStream);
    void* memory = runtime.allocate(100);
    runtime.clear(memory, 100);
    float params = 0;
    runtime.launch(&kernels[0], shape_of(0), &params);
    runtime.release(memory);
  };
  state = {};
  use_second();
  expect(state.contexts == std::set<int>{1}, "a context came to be on a device that was not used");
  expect(state.devices == std::vector<int>{1}, "the launch was on another device");
  state = {};
  state.contexts = {0};
  use_second();
  expect(state.device == 0, "the caller's device is not current again");
  state = {};
  CudaRuntime first(0, kStream);
  first.release(first.allocate(4));
  expect(state.count("cudaSetDevice") == 0, "a device was set that was current already");
}

void check_images() {
  fake::State& state = fake::state();
  for (const int image : {80, 90, 120, 0}) {
    state = {};
    state.image = image;
    expect(image_of(1) == image, "image_of() an image of " + std::to_string(image));
  }
}

/// A kernel is given its shared memory once, and all of it, whatever the launches need.
void check_attributes() {
  fake::State& state = fake::state();
  state = {};
  CudaRuntime runtime(0, kStream);
  float params = 0;
  for (const std::size_t shared : {60u << 10, 200u << 10, 100u << 10})
    runtime.launch(&kernels[1], shape_of(shared, 16), &params);
  expect(state.count("cudaFuncSetAttribute") == 2, "attributes are set at every launch");
  expect(state.settings["shared"] == 227 << 10, "a kernel has not all the shared memory that there is");
  expect(state.settings["cluster"] == 1, "clusters of 16 blocks are not allowed");
  const int before = state.count("cudaFuncSetAttribute");
  runtime.launch(&kernels[2], shape_of(48 << 10), &params);
  expect(state.count("cudaFuncSetAttribute") == before, "attributes are set for what every kernel may have");
  state = {};
  for (int i = 0; i < 3; ++i) {
    expect(runtime.resident_blocks(&kernels[2], shape_of(1024)) == 132, "blocks at once");
    expect(runtime.resident_blocks(&kernels[1], shape_of(1024, 4)) == 32, "blocks of clusters at once");
  }
  expect(state.count("cudaOccupancyMaxActiveBlocksPerMultiprocessor") == 1, "the occupancy is asked for again");
  expect(state.count("cudaOccupancyMaxActiveClusters") == 1, "the occupancy of clusters is asked for again");
}

/// Memory is from a pool that keeps it, and nothing waits for a whole device.
void check_memory() {
  fake::State& state = fake::state();
  state = {};
  {
    CudaRuntime runtime(2, kStream);
    const Buffer buffer(runtime, 1000), other(runtime, 8);
  }
  expect(state.live == 0, "memory was left behind");
  expect(state.count("cudaMallocFromPoolAsync") == 2 && state.count("cudaMemPoolCreate") == 1, "a pool for each call");
  expect(state.settings["pool of device"] == 2 && state.settings["all memory is kept"] == 1,
         "the pool gives memory back");
  expect(std::all_of(state.streams.begin(), state.streams.end(), [](auto s) { return s == kStream; }),
         "memory in the order of another stream");
  expect(state.count("cudaDeviceSynchronize") + state.count("cudaStreamSynchronize") == 0, "something was waited for");
}

/// Marks of one stream, for which another waits.
void check_marks() {
  fake::State& state = fake::state();
  state = {};
  CudaRuntime one(0, kStream), other(0, nullptr);
  const std::unique_ptr<Mark> mark = one.mark();
  other.follow(*mark);
  expect(state.streams == std::vector<cudaStream_t>{kStream, nullptr}, "streams of a mark");
  state.capturing = true;
  expect(one.mark() == nullptr, "a mark in a graph of the caller's");
}

/// Recorded work: the first time it is done as it is, then recorded; the next call of its kind updates the graph.
void check_graphs() {
  fake::State& state = fake::state();
  const auto call = [&](const char* kind, cudaStream_t stream, int times) {
    state = {};
    CudaRuntime runtime(0, stream);
    float params = 0;
    runtime.repeat(kind, times, [&] { runtime.launch(&kernels[0], shape_of(0), &params); });
    expect(state.count("cudaStreamSynchronize") == 0, "a recorded graph is waited for");
    expect(state.streams.front() == stream && state.streams.back() == stream, "work on another stream");
  };
  const auto made = [&] { return state.count("cudaGraphInstantiate"); };
  call("a", kStream, 1);
  expect(state.count("cudaStreamBeginCapture") == 0, "what is done once was recorded");
  call("a", kStream, 5);
  expect(made() == 1 && state.count("cudaGraphLaunch") == 4 && state.count("cudaLaunchKernelExC") == 2, "a new graph");
  call("a", kStream, 3);
  expect(made() == 0 && state.count("cudaGraphExecUpdate") == 1 && state.count("cudaGraphLaunch") == 2,
         "a known graph");
  expect(state.count("cudaStreamCreateWithFlags") == 0, "another stream to record on");
  call("b", kStream, 3);
  expect(made() == 1, "a graph of another kind was taken");
  call("a", nullptr, 3);
  expect(made() == 1, "a graph of another stream was taken");
  state = {};
  CudaRuntime runtime(0, kStream);
  float params = 0;
  state.other_graph = true;
  runtime.repeat("a", 3, [&] { runtime.launch(&kernels[0], shape_of(0), &params); });
  expect(made() == 1 && state.count("cudaGraphExecDestroy") == 1, "a graph that cannot be updated");
  try {
    runtime.repeat("c", 3, [&] {
      if (state.count("cudaStreamBeginCapture") > 1) throw CudaError(1, "while it is recorded");
      runtime.launch(&kernels[0], shape_of(0), &params);
    });
    expect(false, "no error");
  } catch (const CudaError&) {
  }
  runtime.launch(&kernels[0], shape_of(0), &params);
  expect(state.streams.back() == kStream, "after an error the runtime is on another stream");
}

/// Products by the library that computes on the host, which asks for a workspace.
void check_products() {
  fake::State& state = fake::state();
  state = {};
  alignas(256) std::vector<float> a(64, 1), b(64, 1), c(64, 0);
  {
    CudaRuntime runtime(0, kStream);
    for (int i = 0; i < 3; ++i) runtime.multiply({1, 40, 1, {a.data(), 1}, {b.data(), 40}, c.data(), 40});
    expect(c[39] == 1, "a product by the library");
    expect(state.count("cudaMallocFromPoolAsync") == 1, "a workspace for each product");
    expect(state.count("cudaLaunchKernelExC") == 0, "a product of the library's by the project's kernel");
    runtime.multiply({1, 1, 19, {a.data(), 19}, {b.data(), 1}, c.data(), 1});
    expect(state.count("cudaLaunchKernelExC") == 1, "a product that the library does not support");
  }
  expect(state.live == 0, "a workspace was left behind");
}

}  // namespace

int main() {
  setenv("FASTRNN_CUBLASLT", FASTRNN_FAKE_CUBLASLT, 1);
  check_devices();
  check_images();
  check_attributes();
  check_memory();
  check_marks();
  check_graphs();
  check_products();
  return emulation::finish("CUDA runtime");
}
