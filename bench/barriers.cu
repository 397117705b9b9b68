// How long blocks need to tell each other what they have computed, in seven ways and for messages of 64 bytes to 4 KB:
// the figures that csrc/cuda/plan/plan.cc assumes. Every round each block publishes its message and reads, and checks,
// those of all others.
//
//   grid_sync     cooperative groups' barrier, then loads past L1
//   flags         a release store by one thread of a block, acquire loads of all flags by all threads, then the data
//   flags_warp    likewise, but one warp polls: as many looks, at an eighth of the places
//   flags_fence   one warp polls by relaxed loads, and fences once when all flags are there
//   in_band       64-bit words, half of each the round's number, read until all have it: no flag at all
//   in_band_wide  128-bit words, a quarter of each the round's number
//   cluster       stores into the others' shared memory and the cluster's barrier: as Tier::cluster does
//
// Usage: barriers [stress seconds, of all ways together]
// prints a line of JSON for each way and size; without a device {"skipped": "why"}
// and exit status 77; with a word that is wrong or lost 1.
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
constexpr int kSizes[] = {64, 256, 1024, 4096};  // bytes of a message; 8 rows of 4 units in 16 bits are 64
constexpr int kMostWords = 4096 / 4;
constexpr unsigned kLooks = 20 * 1000 * 1000;  // seconds; who waits longer gives up
constexpr int kRounds = 4000;

struct Params {
  unsigned* flags;   // a word for each block
  unsigned* data;    // two slots of 4 * kMostWords for each block: room for tags beside the data
  unsigned* status;  // 1: gave up, 2: a wrong word
  int words;         // of a message
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

__device__ unsigned* slot_of(const Params& p, int round) {
  return p.data + std::size_t(round & 1) * grid_blocks() * 4 * kMostWords;
}

__device__ void publish(const Params& p, int round) {
  unsigned* slot = slot_of(p, round) + block_index() * p.words;
  for (int i = thread_index(); i < p.words; i += block_threads()) slot[i] = word_of(block_index(), i, round);
}

/// True if all is as it was published.
__device__ bool gather(const Params& p, int round) {
  bool right = true;
  const unsigned* slot = slot_of(p, round);
  for (int i = thread_index(); i < grid_blocks() * p.words; i += block_threads())
    right = right && load_past_l1(slot + i) == word_of(i / p.words, i % p.words, round);
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

enum class Poll { all, warp, fence };

template <Poll poll>
__global__ void __launch_bounds__(kThreads) flags(Params p) {
  const int pollers = poll == Poll::all ? block_threads() : kWarp;
  for (int round = 1; round <= p.rounds; ++round) {
    linger(p, round);
    publish(p, round);
    sync_block();
    if (thread_index() == 0) store_release(p.flags + block_index(), unsigned(round));
    bool lost = false;
    if (thread_index() < pollers) {
      for (int b = thread_index(); b < grid_blocks(); b += pollers) {
        const auto look = [&] { return poll == Poll::fence ? load_past_l1(p.flags + b) : load_acquire(p.flags + b); };
        unsigned looks = 0;
        while (look() < unsigned(round) && ++looks < kLooks) fastrnn::cuda::pause();
        lost = lost || looks >= kLooks;
      }
      if (poll == Poll::fence) __threadfence();
    }
    if (sync_block_or(lost)) {
      *p.status = 1;
      return;
    }
    if (!gather(p, round)) *p.status = 2;
  }
}

/// A piece of a message with the number of its round beside it, written and read at once.
struct Pair {
  static constexpr int kData = 1;
  unsigned v[2];
  __device__ void store(unsigned* to) const {
    asm volatile("st.relaxed.gpu.global.u64 [%0], %1;" ::"l"(to), "l"((unsigned long long)(v[1]) << 32 | v[0])
                 : "memory");
  }
  __device__ void load(const unsigned* from) {
    unsigned long long both;
    asm volatile("ld.relaxed.gpu.global.u64 %0, [%1];" : "=l"(both) : "l"(from) : "memory");
    v[0] = unsigned(both);
    v[1] = unsigned(both >> 32);
  }
};
/// PTX 8.3, sm_70: a 128-bit access is one access; a vector of four words need not be.
struct Quad {
  static constexpr int kData = 3;
  unsigned v[4];
  __device__ void store(unsigned* to) const {
    asm volatile(
        "{\n\t.reg .b64 a, b;\n\t.reg .b128 q;\n\tmov.b64 a, {%1, %2};\n\tmov.b64 b, {%3, %4};\n\t"
        "mov.b128 q, {a, b};\n\tst.relaxed.gpu.global.b128 [%0], q;\n\t}" ::"l"(to),
        "r"(v[0]), "r"(v[1]), "r"(v[2]), "r"(v[3])
        : "memory");
  }
  __device__ void load(const unsigned* from) {
    asm volatile(
        "{\n\t.reg .b64 a, b;\n\t.reg .b128 q;\n\tld.relaxed.gpu.global.b128 q, [%4];\n\tmov.b128 {a, b}, q;\n\t"
        "mov.b64 {%0, %1}, a;\n\tmov.b64 {%2, %3}, b;\n\t}"
        : "=r"(v[0]), "=r"(v[1]), "=r"(v[2]), "=r"(v[3])
        : "l"(from)
        : "memory");
  }
};

template <class Piece>
__global__ void __launch_bounds__(kThreads) in_band(Params p) {
  constexpr int kData = Piece::kData, kWhole = kData + 1;
  const int pieces = (p.words + kData - 1) / kData;  // the last one may carry words that nobody looks at
  for (int round = 1; round <= p.rounds; ++round) {
    linger(p, round);
    unsigned* slot = slot_of(p, round);
    for (int i = thread_index(); i < pieces; i += block_threads()) {
      Piece piece;
      for (int j = 0; j < kData; ++j) piece.v[j] = word_of(block_index(), i * kData + j, round);
      piece.v[kData] = unsigned(round);
      piece.store(slot + (block_index() * pieces + i) * kWhole);
    }
    bool lost = false;
    for (int i = thread_index(); i < grid_blocks() * pieces; i += block_threads()) {
      Piece piece;
      unsigned looks = 0;
      do {
        piece.load(slot + i * kWhole);
      } while (piece.v[kData] != unsigned(round) && ++looks < kLooks);
      lost = lost || looks >= kLooks;
      for (int j = 0; j < kData; ++j)
        if (!lost && piece.v[j] != word_of(i / pieces, i % pieces * kData + j, round)) *p.status = 2;
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
    unsigned* slot = slots + (round & 1) * members * p.words;
    for (int i = thread_index(); i < members * p.words; i += block_threads())
      store_cluster(slot + cluster_rank() * p.words + i % p.words, i / p.words,
                    word_of(cluster_rank(), i % p.words, round));
    sync_cluster();
    for (int i = thread_index(); i < members * p.words; i += block_threads())
      if (slot[i] != word_of(i / p.words, i % p.words, round)) *p.status = 2;
  }
  sync_cluster();  // nobody leaves while another may still write here
}

void check(cudaError_t code, const char* what) {
  if (code == cudaSuccess) return;
  const bool nothing = code == cudaErrorNoDevice || code == cudaErrorInsufficientDriver;
  std::printf("{\"%s\": \"%s: %s (%d)\"}\n", nothing ? "skipped" : "failed", what, cudaGetErrorName(code), int(code));
  std::exit(nothing ? 77 : 1);
}

struct Way {
  const char* name;
  const void* kernel;
  int members;  // of a cluster, 0: none
};

/// Milliseconds of a launch, or a negative number where it does not fit.
float run(const Way& way, int blocks, Params params) {
  check(cudaMemset(params.flags, 0, 4 * blocks), "cudaMemset");
  check(cudaMemset(params.data, 0, std::size_t(blocks) * 32 * kMostWords), "cudaMemset");  // no tag of an older round
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(blocks);
  config.blockDim = dim3(kThreads);
  config.dynamicSmemBytes = std::size_t(2 * way.members * params.words) * 4;
  if (way.members > 0)
    check(cudaFuncSetAttribute(way.kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, int(config.dynamicSmemBytes)),
          "cudaFuncSetAttribute");
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

template <class Kernel>
const void* address(Kernel* kernel) {
  return reinterpret_cast<const void*>(kernel);
}

int main(int count, char** arguments) {
  const double stress = count > 1 ? std::atof(arguments[1]) : 0;
  cudaDeviceProp device{};
  int devices = 0;
  check(cudaGetDeviceCount(&devices), "no device");
  check(cudaGetDeviceProperties(&device, 0), "cudaGetDeviceProperties");
  const int blocks = device.multiProcessorCount;
  Params params{};
  check(cudaMalloc(&params.flags, 4 * blocks), "cudaMalloc");
  check(cudaMalloc(&params.data, std::size_t(blocks) * 32 * kMostWords), "cudaMalloc");
  check(cudaMalloc(&params.status, 4), "cudaMalloc");

  std::vector<Way> ways = {
      {"grid_sync", address(&grid_sync), 0},          {"flags", address(&flags<Poll::all>), 0},
      {"flags_warp", address(&flags<Poll::warp>), 0}, {"flags_fence", address(&flags<Poll::fence>), 0},
      {"in_band", address(&in_band<Pair>), 0},        {"in_band_wide", address(&in_band<Quad>), 0}};
  if (device.major >= 9)
    for (int members = 2; members <= 16; members *= 2) ways.push_back({"cluster", address(&cluster), members});

  const int sizes = stress > 0 ? 1 : int(sizeof kSizes / sizeof *kSizes);
  for (int size = 0; size < sizes; ++size) {
    for (const Way& way : ways) {
      const int used = way.members > 0 ? way.members : blocks;
      std::vector<float> ns;
      long launches = 0;
      params.words = kSizes[size] / 4;
      params.rounds = kRounds;
      params.delay = stress > 0 ? 3000 : 0;
      check(cudaMemset(params.status, 0, 4), "cudaMemset");
      const auto start = std::chrono::steady_clock::now();
      const auto seconds = [&] {
        return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
      };
      while (launches < 6 || seconds() < stress / double(ways.size())) {
        const float ms = run(way, used, params);
        if (ms < 0) break;
        if (launches++ > 0) ns.push_back(ms * 1e6f / float(kRounds));  // the first one warms up
        if (seconds() > 5 + stress) break;
      }
      unsigned status = 0;
      check(cudaMemcpy(&status, params.status, 4, cudaMemcpyDeviceToHost), "cudaMemcpy");
      std::sort(ns.begin(), ns.end());
      std::printf(
          "{\"way\": \"%s\", \"bytes\": %d, \"blocks\": %d, \"launches\": %ld, \"ns\": %.1f, \"ns_min\": %.1f, "
          "\"delay\": %u, \"status\": \"%s\"}\n",
          way.name, kSizes[size], used, launches, ns.empty() ? 0.0 : double(ns[ns.size() / 2]),
          ns.empty() ? 0.0 : double(ns[0]), params.delay,
          launches == 0 ? "did not fit"
          : status == 0 ? "right"
          : status == 1 ? "gave up"
                        : "wrong words");
      std::fflush(stdout);
      if (status != 0) return 1;
    }
  }
  return 0;
}
