// How long blocks need to tell each other what they have computed, in four ways: the figures that
// csrc/cuda/plan/plan.cc assumes. Every round each block publishes kWords words and reads those of all others, and
// checks them.
//
//   grid_sync   cooperative groups' barrier, then plain loads past L1
//   flags       a release store by one thread of a block, acquire loads of all flags, then the data: as Tier::grid does
//   in_band     the data carry the round's number, and are read until all have it: no flag at all
//   cluster     stores into the others' shared memory and the cluster's barrier: as Tier::cluster does
//
// Usage: barriers [stress seconds]     prints one JSON object; without a device {"skipped": "why"}.
#include <cooperative_groups.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "cuda/kernels/primitives.h"

using namespace fastrnn::cuda;

namespace {

constexpr int kThreads = 256;
constexpr int kWords = 16;                      // a block: 8 rows of 4 units in 16 bits
constexpr unsigned kLooks = 100 * 1000 * 1000;  // seconds; who waits longer gives up
constexpr int kRounds = 20000;

struct Params {
  unsigned* flags;             // a word for each block
  unsigned* data;              // two slots of kWords for each block
  unsigned long long* tagged;  // likewise
  unsigned* status;            // 1: gave up, 2: a wrong word
  int rounds;
  unsigned delay;  // nanoseconds at most, another for each block and round
};

__device__ unsigned word_of(int block, int word, int round) { return unsigned(block * 7919 + word * 31 + round); }

__device__ void linger(const Params& p, int round) {
  if (p.delay == 0) return;
  unsigned x = unsigned(block_index() * 2654435761u) ^ unsigned(round * 40503u);
  x ^= x >> 13;
  __nanosleep(x * 2246822519u % p.delay);
}

__device__ unsigned load_past_l1(const unsigned* p) {
  unsigned value;
  asm volatile("ld.relaxed.gpu.global.u32 %0, [%1];" : "=r"(value) : "l"(p) : "memory");
  return value;
}

__device__ void publish(const Params& p, int round) {
  if (thread_index() < kWords)
    p.data[((round & 1) * grid_blocks() + block_index()) * kWords + thread_index()] =
        word_of(block_index(), thread_index(), round);
}

/// True if all is as it was published.
__device__ bool gather(const Params& p, int round) {
  bool right = true;
  const unsigned* slot = p.data + (round & 1) * grid_blocks() * kWords;
  for (int i = thread_index(); i < grid_blocks() * kWords; i += block_threads())
    right = right && load_past_l1(slot + i) == word_of(i / kWords, i % kWords, round);
  return right;
}

__global__ void __launch_bounds__(kThreads) grid_sync(Params p) {
  const auto grid = cooperative_groups::this_grid();
  for (int round = 1; round <= p.rounds; ++round) {
    linger(p, round);
    publish(p, round);
    grid.sync();
    if (!gather(p, round)) *p.status = 2;
  }
}

__global__ void __launch_bounds__(kThreads) flags(Params p) {
  for (int round = 1; round <= p.rounds; ++round) {
    linger(p, round);
    publish(p, round);
    sync_block();
    if (thread_index() == 0) store_release(p.flags + block_index(), unsigned(round));
    bool lost = false;
    for (int b = thread_index(); b < grid_blocks(); b += block_threads()) {
      unsigned looks = 0;
      while (load_acquire(p.flags + b) < unsigned(round) && ++looks < kLooks) fastrnn::cuda::pause();
      lost = lost || looks >= kLooks;
    }
    if (sync_block_or(lost)) {
      *p.status = 1;
      return;
    }
    if (!gather(p, round)) *p.status = 2;
  }
}

__global__ void __launch_bounds__(kThreads) in_band(Params p) {
  for (int round = 1; round <= p.rounds; ++round) {
    linger(p, round);
    unsigned long long* slot = p.tagged + (round & 1) * grid_blocks() * kWords;
    if (thread_index() < kWords) {
      const unsigned long long word = (unsigned long long)(round) << 32 | word_of(block_index(), thread_index(), round);
      asm volatile("st.relaxed.gpu.global.u64 [%0], %1;" ::"l"(slot + block_index() * kWords + thread_index()),
                   "l"(word)
                   : "memory");
    }
    bool lost = false;
    for (int i = thread_index(); i < grid_blocks() * kWords; i += block_threads()) {
      unsigned long long word = 0;
      unsigned looks = 0;
      do {
        asm volatile("ld.relaxed.gpu.global.u64 %0, [%1];" : "=l"(word) : "l"(slot + i) : "memory");
      } while (unsigned(word >> 32) != unsigned(round) && ++looks < kLooks);
      lost = lost || looks >= kLooks;
      if (!lost && unsigned(word) != word_of(i / kWords, i % kWords, round)) *p.status = 2;
    }
    if (sync_block_or(lost)) {
      *p.status = 1;
      return;
    }
  }
}

__global__ void __launch_bounds__(kThreads) cluster(Params p, int members) {
  auto* slots = reinterpret_cast<unsigned*>(shared_memory());
  sync_cluster();
  for (int round = 1; round <= p.rounds; ++round) {
    linger(p, round);
    unsigned* slot = slots + (round & 1) * members * kWords;
    for (int i = thread_index(); i < members * kWords; i += block_threads())
      store_cluster(slot + cluster_rank() * kWords + i % kWords, i / kWords,
                    word_of(cluster_rank(), i % kWords, round));
    sync_cluster();
    for (int i = thread_index(); i < members * kWords; i += block_threads())
      if (slot[i] != word_of(i / kWords, i % kWords, round)) *p.status = 2;
  }
  sync_cluster();  // nobody leaves while another may still write here
}

void check(cudaError_t code, const char* what) {
  if (code == cudaSuccess) return;
  std::printf("{\"skipped\": \"%s: %s (%d)\"}\n", what, cudaGetErrorName(code), int(code));
  std::exit(0);
}

struct Way {
  const char* name;
  const void* kernel;
  int members;  // of a cluster, 0: none
};

/// Milliseconds of a launch, or a negative number where it does not fit.
float run(const Way& way, int blocks, Params params) {
  check(cudaMemset(params.flags, 0, 4 * blocks), "cudaMemset");
  check(cudaMemset(params.tagged, 0, 16 * blocks * kWords), "cudaMemset");
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(blocks);
  config.blockDim = dim3(kThreads);
  config.dynamicSmemBytes = way.members > 0 ? 2 * way.members * kWords * 4 : 0;
  cudaLaunchAttribute attribute{};
  if (way.members > 0) {
    attribute.id = cudaLaunchAttributeClusterDimension;
    attribute.val.clusterDim = {unsigned(way.members), 1, 1};
    if (way.members > 8)
      check(cudaFuncSetAttribute(way.kernel, cudaFuncAttributeNonPortableClusterSizeAllowed, 1),
            "cudaFuncSetAttribute");
  } else {
    attribute.id = cudaLaunchAttributeCooperative;
    attribute.val.cooperative = 1;
  }
  config.attrs = &attribute;
  config.numAttrs = 1;
  int members = way.members;
  void* arguments[] = {&params, &members};
  cudaEvent_t begin, end;
  check(cudaEventCreate(&begin), "cudaEventCreate");
  check(cudaEventCreate(&end), "cudaEventCreate");
  check(cudaEventRecord(begin), "cudaEventRecord");
  const cudaError_t launched = cudaLaunchKernelExC(&config, way.kernel, arguments);
  float ms = -1;
  if (launched == cudaSuccess) {
    check(cudaEventRecord(end), "cudaEventRecord");
    check(cudaEventSynchronize(end), way.name);
    check(cudaEventElapsedTime(&ms, begin, end), "cudaEventElapsedTime");
  } else {
    cudaGetLastError();
  }
  cudaEventDestroy(begin);
  cudaEventDestroy(end);
  return ms;
}

}  // namespace

int main(int count, char** arguments) {
  const double stress = count > 1 ? std::atof(arguments[1]) : 0;
  cudaDeviceProp device{};
  int devices = 0;
  check(cudaGetDeviceCount(&devices), "no device");
  check(cudaGetDeviceProperties(&device, 0), "cudaGetDeviceProperties");
  const int blocks = device.multiProcessorCount;
  Params params{};
  check(cudaMalloc(&params.flags, 4 * blocks), "cudaMalloc");
  check(cudaMalloc(&params.data, 8 * blocks * kWords), "cudaMalloc");
  check(cudaMalloc(&params.tagged, 16 * blocks * kWords), "cudaMalloc");
  check(cudaMalloc(&params.status, 4), "cudaMalloc");
  check(cudaMemset(params.status, 0, 4), "cudaMemset");

  std::vector<Way> ways = {{"grid_sync", reinterpret_cast<const void*>(&grid_sync), 0},
                           {"flags", reinterpret_cast<const void*>(&flags), 0},
                           {"in_band", reinterpret_cast<const void*>(&in_band), 0}};
  if (device.major >= 9)
    for (int members = 2; members <= 16; members *= 2)
      ways.push_back({"cluster", reinterpret_cast<const void*>(&cluster), members});

  std::printf("{\"device\": \"%s\", \"rounds\": %d, \"stress_seconds\": %g, \"ways\": [", device.name, kRounds, stress);
  bool first = true;
  for (const Way& way : ways) {
    const int used = way.members > 0 ? way.members : blocks;
    std::vector<float> ns;
    long launches = 0;
    params.rounds = kRounds;
    params.delay = stress > 0 ? 3000 : 0;
    const auto start = std::chrono::steady_clock::now();
    const auto seconds = [&] {
      return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    };
    while (launches < 8 || seconds() < stress) {
      const float ms = run(way, used, params);
      if (ms < 0) break;
      if (launches++ > 0) ns.push_back(ms * 1e6f / float(kRounds));  // the first one warms up
    }
    unsigned status = 0;
    check(cudaMemcpy(&status, params.status, 4, cudaMemcpyDeviceToHost), "cudaMemcpy");
    check(cudaMemset(params.status, 0, 4), "cudaMemset");
    std::sort(ns.begin(), ns.end());
    std::printf(
        "%s{\"way\": \"%s\", \"blocks\": %d, \"launches\": %ld, \"ns\": %.1f, \"ns_min\": %.1f, \"status\": \"%s\"}",
        first ? "" : ", ", way.name, used, launches, ns.empty() ? 0.0 : double(ns[ns.size() / 2]),
        ns.empty() ? 0.0 : double(ns[0]),
        launches == 0 ? "did not fit"
        : status == 0 ? "right"
        : status == 1 ? "gave up"
                      : "wrong words");
    first = false;
  }
  std::printf("]}\n");
  return 0;
}
