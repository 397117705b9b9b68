// The thread team: a caller and the workers it finds idle compute a job together.
//
// A job is a grid of phases and slices. The slices of a phase are independent; a phase begins when the one before it is
// committed. Whoever runs takes the next free slice, its own share first, so a worker that the system does not run
// costs nothing; one that is stopped within a slice is overtaken, if the job allows it: another thread computes the
// slice again, and the first to finish commits it.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

namespace fastrnn {

struct Worker;  // csrc/core/base/threads.cc

/// Work for a Team, run once. The last reference may go in a worker, so that a destructor must not need the caller's
/// thread.
///
/// With `overtake`, a compute() that was overtaken may still be running when run() has returned, or many phases later.
/// Then
///   - compute() writes to its buffer alone, and reads only what the job keeps alive and what is never written again
///     once the phase has begun: what phases hand on lies at a place of its own for each of them (cut long sequences
///     into jobs to bound that memory), and nothing of the caller's is read;
///   - commit() publishes the buffer, exactly once for each phase and slice; it alone may touch the caller's memory;
///   - slices of a phase take about equally long: how long one may take follows from the others.
/// Without, both may write where they like, run() waits for every compute(), and two phases may take turns in two
/// buffers.
///
/// When the caller's watch says stop, the watches of all threads do: compute() returns early, and the remaining phases
/// are counted as done without compute() or commit(), so that every waiting thread is released.
class Job {
 public:
  /// `buffer_bytes` of memory, aligned to a cache line and not initialised, are each compute's own until its commit.
  Job(int phases, int slices, std::size_t buffer_bytes = 0, bool overtake = false);
  virtual ~Job();
  Job(const Job&) = delete;
  Job& operator=(const Job&) = delete;

  int slices() const noexcept { return slices_; }
  std::size_t buffer_bytes() const noexcept { return buffer_bytes_; }

 private:
  friend class Team;
  friend struct Worker;
  struct ThreadWatch;

  virtual void compute(int phase, int slice, void* buffer) noexcept = 0;
  virtual void commit(int phase, int slice, const void* buffer) noexcept;  // does nothing: for jobs that work in place

  // A line of its own, which stays in the cache of the thread whose share the slice is.
  struct alignas(64) Slice {
    std::atomic<std::uint64_t> word{0};
  };

  /// Computes slices, as one of `threads`, until the last is committed.
  void take_part(int thread, int threads, void* buffer) noexcept;
  std::int64_t end_of(int phase) const noexcept { return (std::int64_t(phase) + 1) * slices_; }
  bool claim(int phase, int slice) noexcept;
  bool take(int phase, int slice) noexcept;
  void attempt(int phase, int slice, void* buffer) noexcept;
  void wait(int phase, void* buffer) noexcept;
  bool overtake(int phase, std::int64_t attempts, void* buffer) noexcept;

  const int phases_;
  const int slices_;
  const std::size_t buffer_bytes_;
  const bool overtake_;
  std::vector<Slice> words_;
  alignas(64) std::atomic<std::int64_t> done_{0};  // slices committed, of all phases
  std::atomic<std::int64_t> pace_{0};              // how long a slice took recently, in ns
  std::atomic<int> sleepers_{0};
  std::atomic<bool> stopped_{false};
  bool watched_ = false;  // whether the caller has a watch; set before anyone takes part
  alignas(64) std::mutex mutex_;
  std::condition_variable wake_;
};

/// The caller and up to `threads` - 1 workers, lent to it for the length of a call. They are whoever is idle, started
/// if there are not yet so many; a call that finds none does everything itself, and none waits for another's work.
/// Between the jobs of one team a worker spins for some microseconds, then sleeps; without a team it sleeps. In a
/// worker or within a job a team is the caller alone.
class Team {
 public:
  explicit Team(int threads) noexcept;
  ~Team();
  Team(const Team&) = delete;
  Team& operator=(const Team&) = delete;

  int threads() const noexcept { return threads_; }

  /// Returns when every slice is committed, or the job is stopped (see check_interrupted). Throws std::bad_alloc,
  /// before any work, when memory for a buffer is short.
  void run(const std::shared_ptr<Job>& job);

 private:
  Worker* first_ = nullptr;
  int threads_ = 1;
};

/// When threads pay, in floating-point operations. A call of fewer than this takes about 100 us: waking a worker costs
/// more than it gains.
constexpr double kWorthThreads = 8e6;
/// A call of more than this takes about 10 ms: waiting for a worker that the system has stopped costs less than the
/// copies by which it could be overtaken.
constexpr double kWorthWaiting = 8e8;
/// A step of fewer than this takes less than some microseconds: a barrier at its end, some hundred nanoseconds, is too
/// much.
constexpr double kWorthSharing = 2e5;
/// Rows that keep one thread at nearly full speed: with fewer for each, threads share the units instead.
constexpr std::ptrdiff_t kFewRows = 4;

/// work(slice) for 0 <= slice < count, each once, in any order and in place. `work` is noexcept.
template <class Work>
void run_slices(Team& team, int count, Work work) {
  struct Slices final : Job {
    Slices(int count, Work&& work) : Job(1, count), work_(std::move(work)) {}
    void compute(int, int slice, void*) noexcept override { work_(slice); }
    Work work_;
  };
  team.run(std::make_shared<Slices>(count, std::move(work)));
}

}  // namespace fastrnn
