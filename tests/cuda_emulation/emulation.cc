#include "emulation.h"

#include <algorithm>
#include <cstring>
#include <deque>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <vector>

#include "fibre.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#endif
#if defined(FASTRNN_TSAN)
extern "C" {
void __tsan_acquire(void* address);
void __tsan_release(void* address);
void __tsan_read_range(void* address, unsigned long bytes);
void __tsan_write_range(void* address, unsigned long bytes);
/// ThreadSanitizer ignores what library functions read and write: this file calls them, no kernel does.
__attribute__((visibility("default"))) const char* __tsan_default_options() { return "ignore_interceptors_accesses=1"; }
}
#endif

namespace fastrnn::cuda::emulation {

namespace {

constexpr int kWarp = 32;
constexpr unsigned char kPoison = 0xff;  // as float, bfloat16 or half: NaN

struct Copy {
  void* to;
  const void* from;
  std::size_t bytes;
};

/// Threads that wait for each other. What they pass is kept twice: a thread may come to the next meeting while others
/// have not yet read what was passed in the last one, but never to the one after it.
struct Meeting {
  explicit Meeting(const char* name, int expected = 0) : name(name), expected(expected) {}
  const char* name;
  int expected, arrived = 0;
  std::vector<int> waiting;
  Site site;
  bool any = false;
  std::vector<unsigned> passed[2];
  bool result[2] = {};
};

/// Bytes that are counted where they arrive.
struct Counter {
  unsigned phase = 0;
  long missing = 0;  // bytes; negative where some have come that were not yet announced
  bool announced = false;
};
struct CountedStore {
  std::size_t block;
  void* to;
  std::vector<char> value;
  void* arrivals;
};

struct Block {
  int index, cluster, alive;
  std::unique_ptr<char[]> shared;
  std::size_t bytes;
  Meeting barrier{"__syncthreads"};
  std::vector<Meeting> warps;
};

struct Thread {
  int block, index;
  Fibre* fibre;
  long priority;
  Meeting* waits = nullptr;
  Site site;
  bool done = false;
  unsigned warp_meetings = 0, block_meetings = 0;
  std::vector<Copy> copies;
};

struct State {
  Schedule schedule;
  Device device;
  Launch launch;
  const std::function<void()>* kernel = nullptr;
  std::deque<Block> blocks;
  std::deque<Thread> threads;
  std::vector<Meeting> clusters;
  std::map<void*, Counter> counters;  // by place in a block's shared memory
  std::deque<CountedStore> stores;    // that have not landed yet
  std::set<std::pair<long, int>> runnable;
  int current = 0;
  long lowest = 0, idle = 0;
  double demotion = 0;
  std::mt19937_64 random;
  std::string error;
  std::vector<std::unique_ptr<Fibre>> fibres;
} state;

/// What ThreadSanitizer is told: a release, and an acquire.
void happens_before([[maybe_unused]] const void* flag) {
#if defined(FASTRNN_TSAN)
  __tsan_release(const_cast<void*>(flag));
#endif
}

void happens_after([[maybe_unused]] const void* flag) {
#if defined(FASTRNN_TSAN)
  __tsan_acquire(const_cast<void*>(flag));
#endif
}

Thread& self() { return state.threads[state.current]; }
Block& block_of(const Thread& t) { return state.blocks[t.block - state.blocks.front().index]; }

std::string place(const Thread& t, Site site) {
  return "block " + std::to_string(t.block) + ", thread " + std::to_string(t.index) + " at " + site.file + ":" +
         std::to_string(site.line);
}

/// Ends the launch; state.error has been set before. Objects that are alive on this fibre's stack are never
/// destroyed.
[[noreturn]] void stop() {
  for (;;) self().fibre->leave(false);  // never entered again
}

void switch_away() { self().fibre->leave(false); }

void demote(Thread& t) { t.priority = --state.lowest; }

/// Whether a thread arrives where the others are.
void meet(Meeting& m, Site site) {
  Thread& t = self();
  if (m.arrived > 0 && (m.site.line != site.line || std::strcmp(m.site.file, site.file) != 0)) {
    state.error = std::string(m.name) + " is divergent: " + place(t, site) + ", others at " + m.site.file + ":" +
                  std::to_string(m.site.line);
    stop();
  }
  m.site = site;
  happens_before(&m);
  if (++m.arrived < m.expected) {
    t.waits = &m;
    t.site = site;
    m.waiting.push_back(state.current);
    switch_away();
  } else {
    m.arrived = 0;
    for (const int other : m.waiting) {
      state.threads[other].waits = nullptr;
      state.runnable.insert({state.threads[other].priority, other});
    }
    m.waiting.clear();
    progress();
    point();
  }
  happens_after(&m);
}

void finish_block(Block& b) {
  std::memset(b.shared.get(), kPoison, b.bytes);
#if defined(__SANITIZE_ADDRESS__)
  __asan_poison_memory_region(b.shared.get(), b.bytes);
#endif
}

void thread_main() {
  self().fibre->entered();
  (*state.kernel)();
  Thread& t = self();
  t.done = true;
  progress();
  happens_before(&state);
  Block& b = block_of(t);
  if (--b.alive == 0) finish_block(b);
  t.fibre->leave(true);
}

std::string deadlock() {
  std::string text = "deadlock:";
  int listed = 0;
  for (const Thread& t : state.threads) {
    if (t.done || ++listed > 8) continue;
    text += "\n  " + place(t, t.site) + (t.waits != nullptr ? std::string(" in ") + t.waits->name : " spins");
  }
  return listed > 8 ? text + "\n  and " + std::to_string(listed - 8) + " more" : text;
}

void schedule() {
  int alive = int(state.threads.size());
  while (alive > 0 && state.error.empty()) {
    if (state.runnable.empty() || state.idle > kIdlePauses) {
      state.error = deadlock();
      break;
    }
    const auto first = std::prev(state.runnable.end());
    state.current = first->second;
    state.runnable.erase(first);
    Thread& t = self();
    t.fibre->enter();
    if (t.done)
      --alive;
    else if (t.waits == nullptr)
      state.runnable.insert({t.priority, state.current});
  }
}

/// The counter at a place, which somebody must have made.
Counter* counter_at(void* arrivals) {
  const auto found = state.counters.find(arrivals);
  if (found != state.counters.end()) return &found->second;
  state.error = "mbarrier: not initialised: " + place(self(), self().site);
  stop();
}

void end_phase(Counter& counter) {
  if (!counter.announced || counter.missing != 0) return;
  counter.announced = false;
  ++counter.phase;
  progress();
}

/// Some of the stores that are under way land; in the end all do.
void land_stores() {
  for (std::size_t i = state.stores.size(); i-- > 0;) {
    if (state.schedule.order == Order::random && state.random() % 4 == 0) continue;
    const CountedStore store = std::move(state.stores[i]);
    state.stores.erase(state.stores.begin() + std::ptrdiff_t(i));
    if (state.blocks[store.block].alive == 0) {
      state.error = "st.async: into a block that has ended: " + place(self(), self().site);
      stop();
    }
    happens_after(store.value.data());  // the write is in the order of the thread that stored
    std::memcpy(store.to, store.value.data(), store.value.size());
#if defined(FASTRNN_TSAN)
    __tsan_write_range(store.to, store.value.size());
#endif
    happens_before(store.arrivals);
    Counter& counter = *counter_at(store.arrivals);
    counter.missing -= long(store.value.size());
    end_phase(counter);
  }
}

void start_blocks(int first, int count) {
  const Launch& l = state.launch;
  state.counters.clear();
  state.stores.clear();
  state.blocks.clear();
  state.threads.clear();
  state.runnable.clear();
  state.clusters.assign(count / l.cluster, Meeting("barrier.cluster", l.cluster * l.threads));
  state.lowest = state.idle = 0;
  while (state.fibres.size() < std::size_t(count) * l.threads) state.fibres.push_back(std::make_unique<Fibre>());
  std::vector<int> order(std::size_t(count) * l.threads);
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = int(i);
  if (state.schedule.order == Order::ascending) std::reverse(order.begin(), order.end());
  if (state.schedule.order == Order::random) std::shuffle(order.begin(), order.end(), state.random);
  for (int b = 0; b < count; ++b) {
    Block& block = state.blocks.emplace_back();
    block.index = first + b;
    block.cluster = b / l.cluster;
    block.alive = l.threads;
    block.bytes = l.shared;
    block.shared.reset(new char[l.shared + 1]);
    std::memset(block.shared.get(), kPoison, l.shared);
    block.barrier.expected = l.threads;
    block.barrier.passed[0].assign(1, 0);
    block.warps.assign(l.threads / kWarp, Meeting("warp", kWarp));
    for (int i = 0; i < l.threads; ++i) {
      const int id = b * l.threads + i;
      Thread& t = state.threads.emplace_back();
      t.block = block.index;
      t.index = i;
      t.fibre = state.fibres[id].get();
      t.fibre->reset(thread_main);
      t.priority = order[id];
      state.runnable.insert({t.priority, id});
    }
  }
}

void refuse(bool refused, const std::string& why) {
  if (refused) throw Error("launch refused: " + why);
}

void check_launch(const Launch& l) {
  const Device& d = state.device;
  refuse(l.threads < 1 || l.threads > 1024 || l.threads % kWarp != 0, std::to_string(l.threads) + " threads a block");
  refuse(l.blocks < 1 || l.blocks % l.cluster != 0,
         std::to_string(l.blocks) + " blocks in clusters of " + std::to_string(l.cluster));
  refuse(l.cluster > d.cluster, "clusters of " + std::to_string(l.cluster) + " blocks");
  refuse(l.shared > d.shared_per_block, std::to_string(l.shared) + " bytes of shared memory");
  const int registers = l.threads * ((d.registers + 7) / 8 * 8);
  refuse(registers > d.registers_per_processor, "too many registers");
  const int fit = std::min({d.registers_per_processor / registers, d.threads_per_processor / l.threads,
                            d.blocks_per_processor, int(d.shared_per_processor / (l.shared + 1024))});
  refuse(l.cooperative && l.blocks > fit * d.processors, "a cooperative grid of " + std::to_string(l.blocks) +
                                                             " blocks where " + std::to_string(fit * d.processors) +
                                                             " fit");
}

}  // namespace

void set_schedule(const Schedule& schedule) { state.schedule = schedule; }
void set_device(const Device& device) { state.device = device; }

void run(const Launch& launch, const std::function<void()>& thread) {
  check_launch(launch);
  constexpr double kDemotions[] = {0, 1.0 / 8, 1.0 / 64, 1.0 / 1024};
  state.launch = launch;
  state.kernel = &thread;
  state.error.clear();
  state.random.seed(state.schedule.seed);
  state.demotion = state.schedule.order == Order::random ? kDemotions[state.schedule.seed % 4] : 0;
  // Blocks that need not be resident together come in waves, as they do on a device.
  const int most = std::max(1, 16 / launch.cluster) * launch.cluster;
  const int wave = launch.cooperative ? launch.blocks : std::min(launch.blocks, most);
  for (int first = 0; first < launch.blocks && state.error.empty(); first += wave) {
    start_blocks(first, std::min(wave, launch.blocks - first));
    schedule();
    for ([[maybe_unused]] Block& b : state.blocks) {
#if defined(__SANITIZE_ADDRESS__)
      __asan_unpoison_memory_region(b.shared.get(), b.bytes);
#endif
    }
  }
  happens_after(&state);
  if (!state.error.empty()) throw Error(state.error);
}

int thread_index() { return self().index; }
int block_index() { return self().block; }
int block_threads() { return state.launch.threads; }
int grid_blocks() { return state.launch.blocks; }
char* shared_memory() { return block_of(self()).shared.get(); }

void point() {
  if (state.demotion == 0 || std::uniform_real_distribution<>()(state.random) >= state.demotion) return;
  demote(self());
  switch_away();
}

void point_of_wait(Site site) {
  self().site = site;
  ++state.idle;
  demote(self());
  switch_away();
}

void progress() { state.idle = 0; }

unsigned long long nanoseconds() {
  static unsigned long long now = 0;
  return now += 1000;
}

bool sync_block(bool value, Site site) {
  Thread& t = self();
  Meeting& m = block_of(t).barrier;
  bool& result = m.result[t.block_meetings++ % 2];
  if (m.arrived == 0) result = false;
  result = result || value;
  meet(m, site);
  return result;
}

const unsigned* gather_warp(const unsigned* words, int count, Site site) {
  Thread& t = self();
  Meeting& m = block_of(t).warps[t.index / kWarp];
  std::vector<unsigned>& passed = m.passed[t.warp_meetings++ % 2];
  if (m.arrived == 0) passed.resize(std::size_t(kWarp) * count);
  std::copy_n(words, count, passed.begin() + t.index % kWarp * count);
  meet(m, site);
  return passed.data();
}

void sync_warp(Site site) { gather_warp(nullptr, 0, site); }

unsigned exchange_warp(unsigned value, int from, Site site) { return gather_warp(&value, 1, site)[from % kWarp]; }

unsigned ballot(bool value, Site site) {
  const unsigned word = value;
  const unsigned* all = gather_warp(&word, 1, site);
  unsigned bits = 0;
  for (int lane = 0; lane < kWarp; ++lane) bits |= all[lane] << lane;
  return bits;
}

void sync_cluster(Site site) { meet(state.clusters[block_of(self()).cluster], site); }
int cluster_rank() { return self().block % state.launch.cluster; }
int cluster_blocks() { return state.launch.cluster; }

void* cluster_address(void* local, int rank, Site site) {
  const Block& own = block_of(self());
  const std::ptrdiff_t offset = static_cast<char*>(local) - own.shared.get();
  if (offset < 0 || std::size_t(offset) >= own.bytes || rank < 0 || rank >= state.launch.cluster) {
    state.error = "mapa: not an address in a cluster's shared memory: " + place(self(), site);
    stop();
  }
  return state.blocks[own.cluster * state.launch.cluster + rank].shared.get() + offset;
}

void init_arrivals(void* arrivals) { state.counters[arrivals] = {}; }

void expect_bytes(void* arrivals, unsigned bytes) {
  Counter& counter = *counter_at(arrivals);
  if (counter.announced) {
    state.error = "mbarrier: a phase is announced twice: " + place(self(), self().site);
    stop();
  }
  happens_before(arrivals);
  counter.announced = true;
  counter.missing += long(bytes);
  end_phase(counter);
  point();
}

bool have_arrived(void* arrivals, unsigned parity) {
  point();
  land_stores();
  if (counter_at(arrivals)->phase % 2 == parity) return false;
  happens_after(arrivals);
  return true;
}

void store_counted(void* local, int rank, const void* value, std::size_t bytes, void* arrivals, Site site) {
  void* const to = cluster_address(local, rank, site);
  void* const there = cluster_address(arrivals, rank, site);
  const char* const from = static_cast<const char*>(value);
  happens_before(there);
  const std::size_t block = std::size_t(block_of(self()).cluster * state.launch.cluster + rank);
  state.stores.push_back({block, to, std::vector<char>(from, from + bytes), there});
  happens_before(state.stores.back().value.data());
  point();
}

void trap(Site site) {
  state.error = "trap: " + place(self(), site);
  stop();
}

void copy_async(void* to, const void* from, std::size_t bytes) {
  std::memset(to, kPoison, bytes);  // until the copy has landed nothing may be read there
  self().copies.push_back({to, from, bytes});
}

void wait_copies() {
  for (const Copy& copy : self().copies) {
    std::memcpy(copy.to, copy.from, copy.bytes);
#if defined(FASTRNN_TSAN)
    __tsan_read_range(const_cast<void*>(copy.from), copy.bytes);
    __tsan_write_range(copy.to, copy.bytes);
#endif
  }
  self().copies.clear();
}

}  // namespace fastrnn::cuda::emulation
