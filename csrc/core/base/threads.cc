#include "core/base/threads.h"

#include <pthread.h>
#include <signal.h>

#include <algorithm>
#include <chrono>
#include <exception>
#include <new>
#include <string>
#include <thread>

#include "core/base/aligned.h"
#include "core/base/float_mode.h"
#include "core/base/interrupt.h"
#include "fastrnn/fastrnn.hpp"

namespace fastrnn {

namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::nanoseconds;

/// A thread that waits spins for about as long as it costs to sleep and be woken.
constexpr nanoseconds kSpin = std::chrono::microseconds(20);
/// While it spins, it looks at the clock once in so many looks at what it waits for.
constexpr int kLooks = 16;
/// A sleeping thread wakes this often to see whether the caller was interrupted.
constexpr nanoseconds kLookUp = std::chrono::milliseconds(50);
/// Slices are timed in some phases only, as the clock costs half a barrier: in two together, since the first may be
/// unlike the rest.
constexpr bool timed(int phase) { return phase % 32 < 2; }

/// The word of a slice: in its upper half the latest phase that claimed it, counted from one; in its lower half how
/// many threads have attempted it, or kTaken once one of them may commit.
constexpr std::uint64_t kTaken = 0xffffffff;
constexpr std::uint64_t tag(int phase) { return (std::uint64_t(phase) + 1) << 32; }

void relax() {
#if defined(__x86_64__)
  _mm_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

/// Spins until ready() or for kSpin.
template <class Ready>
bool spin(Ready&& ready) {
  Clock::time_point end{};
  for (int look = 0; !ready(); ++look) {
    relax();
    if (look % kLooks != 0) continue;
    const Clock::time_point now = Clock::now();
    if (look == 0) end = now + kSpin;
    if (now >= end) return false;
  }
  return true;
}

/// std::condition_variable::wait, of which GCC 12 makes a symbol that the libstdc++ of GCC 11 does not have.
template <class Ready>
void sleep_until(std::condition_variable& condition, std::unique_lock<std::mutex>& lock, Ready&& ready) {
  while (!ready()) pthread_cond_wait(condition.native_handle(), lock.mutex()->native_handle());
}

void grow(AlignedBuffer& buffer, std::size_t bytes) {
  if (buffer.bytes() < bytes) buffer = AlignedBuffer(bytes);
}

std::atomic<int> default_threads{1};
thread_local bool within_job = false;
thread_local AlignedBuffer kept_buffer;  // memory of a calling thread for its slices, kept for the next call

}  // namespace

void set_num_threads(int n) {
  if (n < 1 || n > kMostThreads)
    throw Error("n: expected 1.." + std::to_string(kMostThreads) + ", got " + std::to_string(n));
  default_threads.store(n, std::memory_order_relaxed);
}

int num_threads() noexcept { return default_threads.load(std::memory_order_relaxed); }

// ---- Job: what everyone who takes part does.

Job::Job(int phases, int slices, std::size_t buffer_bytes, bool overtake)
    : phases_(phases),
      slices_(slices),
      buffer_bytes_(buffer_bytes),
      overtake_(overtake),
      words_(static_cast<std::size_t>(slices)) {}

Job::~Job() = default;

void Job::commit(int, int, const void*) noexcept {}

/// The watch of a thread while it takes part in a job. The one of the caller's thread asks the watch it replaces.
struct Job::ThreadWatch : Watch {
  ThreadWatch(Job& job, Watch* outer)
      : Watch{outer != nullptr ? outer->left : kLookAfter, false, ask},
        job_(job),
        outer_(outer),
        before_(exchange_watch(job.watched_ ? this : nullptr)) {}
  ~ThreadWatch() {
    exchange_watch(before_);
    if (outer_ != nullptr) outer_->left = left;
  }
  ThreadWatch(const ThreadWatch&) = delete;
  ThreadWatch& operator=(const ThreadWatch&) = delete;

  static void ask(Watch& watch) noexcept {
    auto& self = static_cast<ThreadWatch&>(watch);
    self.left = kLookAfter;
    if (self.outer_ != nullptr) {
      self.outer_->look(*self.outer_);
      self.left = self.outer_->left;
      if (self.outer_->stopped) self.job_.stopped_.store(true, std::memory_order_relaxed);
    }
    self.stopped = self.job_.stopped_.load(std::memory_order_relaxed);
  }

 private:
  Job& job_;
  Watch* const outer_;
  Watch* const before_;
};

void Job::take_part(int thread, int threads, void* buffer) noexcept {
  const FlushDenormals flush;
  const ThreadWatch watch(*this, thread == 0 ? current_watch() : nullptr);
  const bool outer = std::exchange(within_job, true);
  const int home = int(std::int64_t(slices_) * thread / threads);
  for (;;) {
    const std::int64_t done = done_.load();
    if (done >= std::int64_t(phases_) * slices_) break;
    const int phase = int(done / slices_);
    for (int i = 0, slice = home; i < slices_; ++i, slice = slice + 1 < slices_ ? slice + 1 : 0)
      if (claim(phase, slice)) attempt(phase, slice, buffer);
    wait(phase, buffer);
  }
  within_job = outer;
}

/// A slice whose word is below the phase's is free: the phase cannot end without it, so no later one has begun.
bool Job::claim(int phase, int slice) noexcept {
  std::atomic<std::uint64_t>& word = words_[slice].word;
  std::uint64_t seen = word.load(std::memory_order_relaxed);
  return seen < tag(phase) && word.compare_exchange_strong(seen, tag(phase) + 1, std::memory_order_relaxed);
}

/// Takes the slice for this attempt's commit, unless another has. Words only say who does what; what was written before
/// reaches the next phase through done_.
bool Job::take(int phase, int slice) noexcept {
  std::atomic<std::uint64_t>& word = words_[slice].word;
  std::uint64_t seen = word.load(std::memory_order_relaxed);
  while (seen < tag(phase) + kTaken)
    if (word.compare_exchange_weak(seen, tag(phase) + kTaken, std::memory_order_relaxed)) return true;
  return false;
}

void Job::attempt(int phase, int slice, void* buffer) noexcept {
  const bool measure = overtake_ && timed(phase);
  const Clock::time_point begin = measure ? Clock::now() : Clock::time_point();
  if (!stopped_.load(std::memory_order_relaxed)) compute(phase, slice, buffer);
  if (overtake_ && !take(phase, slice)) return;
  if (!stopped_.load(std::memory_order_relaxed)) commit(phase, slice, buffer);
  if (measure) pace_.store(nanoseconds(Clock::now() - begin).count(), std::memory_order_relaxed);
  // In the one order of sequentially consistent operations, either this thread sees the sleeper or the sleeper the end.
  if (done_.fetch_add(1) + 1 == end_of(phase) && sleepers_.load() > 0) {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
    }
    wake_.notify_all();
  }
}

void Job::wait(int phase, void* buffer) noexcept {
  const auto ready = [&] { return done_.load() >= end_of(phase); };
  if (spin(ready)) return;
  const Clock::time_point begin = Clock::now() - kSpin;
  while (!ready()) {
    // What is waited for began before the wait: at twice the time of a slice, whoever computes it is not running.
    const nanoseconds patience = std::max(kSpin, nanoseconds(2 * pace_.load(std::memory_order_relaxed)));
    const nanoseconds waited = Clock::now() - begin;
    if (overtake_ && overtake(phase, waited / patience, buffer)) continue;
    {
      std::unique_lock<std::mutex> lock(mutex_);
      sleepers_.fetch_add(1);
      if (overtake_ || watched_)
        wake_.wait_until(lock, overtake_ ? begin + std::max(patience, 2 * waited) : Clock::now() + kLookUp, ready);
      else
        sleep_until(wake_, lock, ready);
      sleepers_.fetch_sub(1);
    }
    if (Watch* const watch = current_watch()) watch->look(*watch);
  }
}

/// Computes a slice a second time, if one has had at most `attempts` attempts and is not committed.
bool Job::overtake(int phase, std::int64_t attempts, void* buffer) noexcept {
  for (int slice = 0; slice < slices_; ++slice) {
    std::atomic<std::uint64_t>& word = words_[slice].word;
    std::uint64_t seen = word.load(std::memory_order_relaxed);
    if (seen <= tag(phase) || seen > tag(phase) + std::uint64_t(attempts)) continue;
    if (!word.compare_exchange_strong(seen, seen + 1, std::memory_order_relaxed)) continue;
    attempt(phase, slice, buffer);
    return true;
  }
  return false;
}

// ---- Workers and their pool.

/// A thread that sleeps until a team has a job for it. Never destroyed: at exit it sleeps, or is late in a job whose
/// memory it keeps alive.
struct Worker {
  Worker* next = nullptr;         // in the pool's list, or in its team's
  std::atomic<bool> lent{false};  // a team has it, and may soon have a job for it
  std::atomic<bool> posted{false};
  std::mutex mutex;
  std::condition_variable wake;
  std::shared_ptr<Job> job;  // guarded by the mutex, as the next two are
  int thread = 0;
  int threads = 1;
  AlignedBuffer buffer;  // the thread's own

  /// A worker that was stopped while it held its mutex is left alone.
  void post(const std::shared_ptr<Job>& work, int index, int count) {
    std::unique_lock<std::mutex> lock(mutex, std::defer_lock);
    if (!spin([&] { return lock.try_lock(); })) return;
    job = work;
    thread = index;
    threads = count;
    posted.store(true, std::memory_order_relaxed);
    lock.unlock();
    wake.notify_one();
  }

  /// Takes back a job that the worker has not begun, so that its memory lives no longer than it must. A worker that
  /// holds its mutex is about to begin, and finds the job finished.
  void withdraw() {
    const std::unique_lock<std::mutex> lock(mutex, std::try_to_lock);
    if (!lock.owns_lock()) return;
    job.reset();
    posted.store(false, std::memory_order_relaxed);
  }

  [[noreturn]] void run() {
    for (;;) {
      spin([&] { return posted.load(std::memory_order_relaxed) || !lent.load(std::memory_order_relaxed); });
      std::unique_lock<std::mutex> lock(mutex);
      sleep_until(wake, lock, [&] { return job != nullptr; });
      const std::shared_ptr<Job> work = std::move(job);
      posted.store(false, std::memory_order_relaxed);
      const int index = thread, count = threads;
      lock.unlock();
      try {
        grow(buffer, work->buffer_bytes());
      } catch (const std::bad_alloc&) {
        continue;  // no memory: the other threads compute the slices
      }
      work->take_part(index, count, buffer.data());
    }
  }
};

namespace {

/// No lock, so that nobody waits for a caller that was stopped while it held one: who wants workers takes the whole
/// list and puts back what is too much.
struct Pool {
  std::atomic<Worker*> idle{nullptr};
  std::atomic<int> started{0};

  void put(Worker* first, Worker* last) noexcept {
    last->next = idle.load();
    while (!idle.compare_exchange_weak(last->next, first)) {
    }
  }
};
Pool pool;

/// After a fork the child has none of its parent's threads: it starts with an empty pool.
[[maybe_unused]] const int at_fork = pthread_atfork(nullptr, nullptr, [] { new (&pool) Pool; });

/// A new thread, or null when the system has none to give. Signals are for the program's own threads, but for those
/// that a fault of this thread raises.
Worker* start(int number) noexcept {
  sigset_t blocked, before;
  sigfillset(&blocked);
  for (const int fault : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP}) sigdelset(&blocked, fault);
  pthread_sigmask(SIG_SETMASK, &blocked, &before);
  std::unique_ptr<Worker> worker;
  try {
    worker = std::make_unique<Worker>();
    std::thread thread(&Worker::run, worker.get());
#if defined(__linux__)
    pthread_setname_np(thread.native_handle(), ("fastrnn-" + std::to_string(number)).c_str());
#endif
    thread.detach();
  } catch (const std::exception&) {
    worker.reset();
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return worker.release();
}

}  // namespace

Team::Team(int threads) noexcept {
  if (threads <= 1 || within_job) return;
  first_ = pool.idle.exchange(nullptr);
  Worker** end = &first_;
  for (; *end != nullptr && threads_ < threads; end = &(*end)->next) ++threads_;
  if (*end != nullptr) {
    Worker *const rest = std::exchange(*end, nullptr), *last = rest;
    while (last->next != nullptr) last = last->next;
    pool.put(rest, last);
  }
  for (int started = pool.started.load(); threads_ < threads && started < threads - 1;) {
    if (!pool.started.compare_exchange_weak(started, started + 1)) continue;
    *end = start(started + 1);
    if (*end == nullptr) {
      --pool.started;
      break;
    }
    end = &(*end)->next;
    ++threads_;
    ++started;
  }
  for (Worker* worker = first_; worker != nullptr; worker = worker->next)
    worker->lent.store(true, std::memory_order_relaxed);
}

Team::~Team() {
  Worker* last = nullptr;
  for (Worker* worker = first_; worker != nullptr; worker = worker->next) {
    worker->lent.store(false, std::memory_order_relaxed);
    last = worker;
  }
  if (last != nullptr) pool.put(first_, last);
}

void Team::run(const std::shared_ptr<Job>& job) {
  const int threads = std::max(1, std::min(threads_, job->slices()));
  job->watched_ = current_watch() != nullptr;
  AlignedBuffer buffer = std::move(kept_buffer);  // a job within a job finds none and brings its own
  grow(buffer, job->buffer_bytes());
  Worker* worker = first_;
  for (int i = 1; i < threads; ++i, worker = worker->next) worker->post(job, i, threads);
  Worker* const unused = worker;
  job->take_part(0, threads, buffer.data());
  for (worker = first_; worker != unused; worker = worker->next) worker->withdraw();
  kept_buffer = std::move(buffer);
}

}  // namespace fastrnn
