// CUDA's execution model on one processor thread, for the tests: what csrc/cuda/kernels/primitives.h calls where nvcc
// does not compile it. One fibre per CUDA thread, all blocks of a launch alive together, a seeded scheduler that
// switches at every barrier, shuffle, atomic, acquire load and pause.
//
// What it cannot show: weak memory (a fibre sees every store at once), what ptxas makes of a kernel, whether blocks
// really fit a device together, bits, speed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <stdexcept>
#include <string>

namespace fastrnn::cuda::emulation {

/// Where a kernel calls a primitive.
struct Site {
  const char* file;
  int line;
  constexpr Site(const char* file = __builtin_FILE(), int line = __builtin_LINE()) : file(file), line(line) {}
};

/// A kernel that would hang, or does what CUDA leaves undefined.
struct Error : std::runtime_error {
  using std::runtime_error::runtime_error;
};

enum class Order { ascending, descending, random };

/// Which fibre runs: always that of the highest priority which can. Priorities are the thread numbers, or random; a
/// random schedule lowers that of the running fibre now and then (PCT: Burckhardt et al., ASPLOS 2010). A fibre that
/// pauses goes behind all others, or a spinning one would keep the processor for ever.
struct Schedule {
  Order order = Order::ascending;
  std::uint64_t seed = 0;
};

/// A device as far as a launch can fail on it. `registers` is what the compiler gave a thread of the kernel.
struct Device {
  int processors = 132;
  int registers = 255;
  int registers_per_processor = 65536;
  int threads_per_processor = 2048;
  int blocks_per_processor = 32;
  std::size_t shared_per_block = 227 << 10;
  std::size_t shared_per_processor = 228 << 10;
  int cluster = 8;
};

struct Launch {
  int blocks = 1, threads = 32;
  int cluster = 1;
  bool cooperative = false;
  std::size_t shared = 0;
};

/// Pauses of all fibres together, with no store, barrier or end of a thread between them, that count as a deadlock.
constexpr long kIdlePauses = 2'000'000;

/// Runs `thread` as every thread of the launch. Throws Error for a launch that the device refuses, for a deadlock or a
/// divergent barrier.
void run(const Launch& launch, const std::function<void()>& thread);
void set_schedule(const Schedule& schedule);
void set_device(const Device& device);

int thread_index();
int block_index();
int block_threads();
int grid_blocks();
char* shared_memory();

void point();                      // a place to switch
void point_of_wait(Site s);        // likewise, and others come first
unsigned long long nanoseconds();  // a microsecond later each time
void progress();                   // something that a waiting fibre may wait for has happened
bool sync_block(bool value, Site site);
void sync_warp(Site site);
unsigned exchange_warp(unsigned value, int from, Site site);  // the value of lane `from`
unsigned ballot(bool value, Site site);
void sync_cluster(Site site);
int cluster_rank();
int cluster_blocks();
void* cluster_address(void* local, int rank, Site site);
/// Counted stores into the shared memory of a cluster's blocks. They land, in any order, when somebody looks for them.
void init_arrivals(void* arrivals);
void expect_bytes(void* arrivals, unsigned bytes);
bool have_arrived(void* arrivals, unsigned parity);
void store_counted(void* local, int rank, const void* value, std::size_t bytes, void* arrivals, Site site);
[[noreturn]] void trap(Site site);
void copy_async(void* to, const void* from, std::size_t bytes);
void wait_copies();
/// What all lanes of the warp pass, side by side: (32, words).
const unsigned* gather_warp(const unsigned* words, int count, Site site);

}  // namespace fastrnn::cuda::emulation
