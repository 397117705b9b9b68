// What a thread team does to the process around it: threads, signals, floating-point mode, memory and processor time.
#include <pthread.h>
#include <signal.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <limits>
#include <new>
#include <thread>

#include "core/base/threads.h"
#include "problem.h"

namespace {
std::atomic<long> allocations{0};

void* counted(void* memory) {
  ++allocations;
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}
}  // namespace

void* operator new(std::size_t n) { return counted(std::malloc(n)); }
void* operator new(std::size_t n, std::align_val_t a) {
  const std::size_t alignment = std::size_t(a);
  return counted(std::aligned_alloc(alignment, (n + alignment - 1) / alignment * alignment));
}
void operator delete(void* p) noexcept { std::free(p); }
void operator delete(void* p, std::size_t) noexcept { std::free(p); }
void operator delete(void* p, std::align_val_t) noexcept { std::free(p); }
void operator delete(void* p, std::size_t, std::align_val_t) noexcept { std::free(p); }

namespace {

using fastrnn::Team;

int threads_of_process() {
  int count = 0;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/task")) count += entry.is_directory();
  return count;
}

/// Every thread waits in its slice for all others, so that all take part, and looks around.
struct Gathering final : fastrnn::Job {
  explicit Gathering(int threads) : Job(1, threads, 1000), threads_(threads) {}
  void compute(int, int, void* buffer) noexcept override {
    ++arrived_;
    while (arrived_ < threads_) std::this_thread::yield();
    volatile float smallest = std::numeric_limits<float>::min();
    if (smallest * 0.5f != 0) ++denormals_;
    if (reinterpret_cast<std::uintptr_t>(buffer) % 64 != 0) ++misaligned_;
    if (std::this_thread::get_id() == caller_) return;
    sigset_t blocked;
    pthread_sigmask(SIG_BLOCK, nullptr, &blocked);
    if (!sigismember(&blocked, SIGINT) || !sigismember(&blocked, SIGALRM) || sigismember(&blocked, SIGSEGV)) ++open_;
    char name[16];
    pthread_getname_np(pthread_self(), name, sizeof name);
    if (std::string(name).rfind("fastrnn-", 0) != 0) ++nameless_;
  }
  const std::thread::id caller_ = std::this_thread::get_id();
  const int threads_;
  std::atomic<int> arrived_{0}, denormals_{0}, misaligned_{0}, open_{0}, nameless_{0};
};

void test_threads() {
  const int before = threads_of_process();
  test::check(fastrnn::num_threads() == 1, "num_threads: not one by default");
  for (const int n : {0, -1, fastrnn::kMostThreads + 1}) {
    bool thrown = false;
    try {
      fastrnn::set_num_threads(n);
    } catch (const fastrnn::Error& error) {
      const std::string expected = "n: expected 1.." + std::to_string(fastrnn::kMostThreads);
      thrown = error.what() == expected + ", got " + std::to_string(n);
    }
    test::check(thrown, "set_num_threads: accepted " + std::to_string(n));
  }
  fastrnn::set_num_threads(4);
  test::check(fastrnn::num_threads() == 4, "set_num_threads: forgotten");
  fastrnn::set_num_threads(1);
  {
    Team team(fastrnn::num_threads());
    team.run(std::make_shared<Gathering>(1));
  }
  test::check(threads_of_process() == before, "one thread: a thread was started");

  pthread_attr_t ordinary, huge;  // the system refuses stacks that large
  pthread_getattr_default_np(&ordinary);
  pthread_attr_init(&huge);
  pthread_attr_setstacksize(&huge, std::size_t(1) << 50);
  pthread_setattr_default_np(&huge);
  {
    Team team(3);
    test::check(team.threads() == 1, "no threads to be had: the team thinks it has some");
    team.run(std::make_shared<Gathering>(1));
  }
  pthread_setattr_default_np(&ordinary);

  for (int round = 0; round < 20; ++round) {
    Team team(2 + round % 3);
    test::check(team.threads() == 2 + round % 3, "idle workers were not found");
    const auto job = std::make_shared<Gathering>(team.threads());
    team.run(job);
    test::check(job->denormals_ == 0, "a denormal survived in a compute");
    test::check(job->misaligned_ == 0, "a buffer is not aligned");
    test::check(job->open_ == 0, "a worker takes the program's signals, or not its own faults");
    test::check(job->nameless_ == 0, "a worker has no name");
  }
  {
    const Team first(3), second(3), third(3);  // share the workers there are
    test::check(first.threads() == 3 && second.threads() == 2 && third.threads() == 1, "teams at once: other sizes");
  }
  test::check(threads_of_process() == before + 3, "threads: not as many as the largest team has workers");
  sigset_t blocked;
  pthread_sigmask(SIG_BLOCK, nullptr, &blocked);
  test::check(!sigismember(&blocked, SIGINT), "the caller's signals stayed blocked");
  volatile float smallest = std::numeric_limits<float>::min();
  test::check(smallest * 0.5f != 0, "the caller's floating-point mode was not restored");
}

void test_allocations() {
  std::vector<std::shared_ptr<Gathering>> jobs(10);
  for (auto& job : jobs) job = std::make_shared<Gathering>(3);
  const long before = allocations;
  for (const auto& job : jobs) {
    Team team(3);
    team.run(job);
  }
  const long made = allocations - before;
  test::check(made == 0, "memory was allocated though all buffers were there");
}

/// Whether the process sleeps: a thread that spins takes as much processor time as the clock on the wall.
void test_sleep(const std::string& when) {
  const std::clock_t before = std::clock();
  std::this_thread::sleep_for(std::chrono::milliseconds(400));
  const double used = double(std::clock() - before) / CLOCKS_PER_SEC;
  test::check(used < 0.1, when + ": " + std::to_string(used) + " s of processor time in 0.4 s of sleep");
}

}  // namespace

int main() {
  test_threads();
  test_allocations();
  test_sleep("between calls");
  {
    Team team(3);
    team.run(std::make_shared<Gathering>(3));
    test_sleep("between the jobs of a call");
  }
  return test::finish("team_process");
}
