// The thread team: a grid of slices gives the serial result whoever computes it, and nobody waits for a thread that the
// system has stopped. A stopped thread is imitated by a computation that waits for a flag: a team that waited for it
// would hang.
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstring>
#include <thread>

#include "core/base/aligned.h"
#include "core/base/threads.h"
#include "problem.h"

namespace {

using fastrnn::Team;
using Value = std::uint64_t;

template <class Condition>
void wait_until(Condition&& condition) {
  for (int i = 0; i < 60000 && !condition(); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  if (condition()) return;
  std::fprintf(stderr, "FAILED: waited for a minute\n");
  std::_Exit(1);
}

/// A recurrence in which every slice reads the whole state before it: a slice that came early, late or twice would
/// show. Phase p reads row p of the state and writes row p + 1: in place, or through the buffer with a copy for the
/// caller.
class Recurrence : public fastrnn::Job {
 public:
  Recurrence(int phases, int slices, bool overtake, std::vector<Value>* out)
      : Job(phases, slices, overtake ? sizeof(Value) : 0, overtake),
        phases_(phases),
        state_((phases + 1) * slices, 1),
        commits_(phases * slices),
        out_(out) {
    out->assign(slices, 0);
  }
  Value next(int phase, int slice) const {
    Value value = slice;
    for (int i = 0; i < slices(); ++i) value = value * 6364136223846793005u + state_[phase * slices() + i];
    return value;
  }
  std::vector<Value> serial() {
    for (int phase = 0; phase < phases_; ++phase)
      for (int slice = 0; slice < slices(); ++slice) state_[(phase + 1) * slices() + slice] = next(phase, slice);
    return {state_.end() - slices(), state_.end()};
  }
  bool each_once() const {
    for (const auto& count : commits_)
      if (count.load() != 1) return false;
    return true;
  }

  virtual void before(int /*phase*/, int /*slice*/) noexcept {}  // what a test does within a compute
  const std::atomic<int>& commits(int phase, int slice) const { return commits_[phase * slices() + slice]; }

 private:
  void compute(int phase, int slice, void* buffer) noexcept override {
    before(phase, slice);
    *(buffer != nullptr ? static_cast<Value*>(buffer) : place(phase, slice)) = next(phase, slice);
  }
  void commit(int phase, int slice, const void* buffer) noexcept override {
    ++commits_[phase * slices() + slice];
    if (buffer != nullptr) *place(phase, slice) = *static_cast<const Value*>(buffer);
    if (phase == phases_ - 1) (*out_)[slice] = *place(phase, slice);
  }
  Value* place(int phase, int slice) { return &state_[(phase + 1) * slices() + slice]; }

  const int phases_;
  std::vector<Value> state_;
  std::vector<std::atomic<int>> commits_;
  std::vector<Value>* const out_;
};

std::vector<Value> serial(int phases, int slices) {
  std::vector<Value> out;
  return Recurrence(phases, slices, false, &out).serial();
}

bool equals_serial(Team& team, int phases, int slices, bool overtake) {
  std::vector<Value> out;
  const auto job = std::make_shared<Recurrence>(phases, slices, overtake, &out);
  team.run(job);
  return job->each_once() && (phases == 0 || out == serial(phases, slices));
}

void test_grid() {
  for (const int threads : {1, 2, 3, 4})
    for (const int slices : {0, 1, 2, 3, 4, 9})
      for (const int phases : {0, 1, 2, 200})
        for (const bool overtake : {false, true}) {
          Team team(threads);  // two jobs of one team, as the stages of a call
          const bool ok = equals_serial(team, phases, slices, overtake) && equals_serial(team, 3, slices, overtake);
          test::check(ok, std::to_string(threads) + " threads, " + std::to_string(slices) + " slices, " +
                              std::to_string(phases) + " phases: another result than serially");
        }
}

/// Two threads leave their own slices together and reach for the third.
struct Rush final : Recurrence {
  using Recurrence::Recurrence;
  void before(int phase, int slice) noexcept override {
    if (slice == 2) return;
    ++arrived_;
    while (arrived_ < 2 * (phase + 1)) std::this_thread::yield();
  }
  std::atomic<int> arrived_{0};
};

void test_rush() {
  std::vector<Value> out;
  Team team(2);
  const auto job = std::make_shared<Rush>(500, 3, false, &out);
  team.run(job);
  test::check(job->each_once() && out == serial(500, 3), "rush: not each slice once");
}

void test_run_slices() {
  Team team(3);
  for (const int count : {0, 1, 2, 100}) {
    std::vector<int> calls(count, 0);
    fastrnn::run_slices(team, count, [&](int slice) { ++calls[slice]; });
    test::check(calls == std::vector<int>(count, 1), "run_slices: not each slice once");
  }
}

void test_concurrent_callers() {
  std::atomic<int> wrong{0};
  std::vector<std::thread> callers(4);
  for (int i = 0; i < 4; ++i)
    callers[i] = std::thread([&wrong, i] {
      for (int round = 0; round < 100; ++round) {
        Team team(1 + (i + round) % 4);
        if (!equals_serial(team, 20, 5, round % 2 == 0)) ++wrong;
      }
    });
  for (auto& caller : callers) caller.join();
  test::check(wrong == 0, "concurrent callers: another result than serially");
}

void test_nested() {
  std::atomic<int> wrong{0};
  Team team(3);
  fastrnn::run_slices(team, 6, [&](int) {
    Team inner(4);
    if (inner.threads() != 1 || !equals_serial(inner, 5, 3, true)) ++wrong;
  });
  test::check(wrong == 0, "nested: more than the caller's thread, or another result than serially");
}

/// Workers stop within their first compute until they are let go; the caller waits for them to be there.
struct Stopped final : Recurrence {
  struct Flags {
    std::atomic<int> entered{0}, left{0};
    std::atomic<bool> go{false};
  };
  Stopped(int phases, int workers, bool overtake, std::vector<Value>* out, Flags* flags)
      : Recurrence(phases, workers + 1, overtake, out), workers_(workers), flags_(flags) {}
  void before(int phase, int) noexcept override {
    if (std::this_thread::get_id() != caller_) {
      if (phase > 0) return;
      ++flags_->entered;
      wait_until([this] { return flags_->go.load(); });
      ++flags_->left;
    } else if (phase == 0) {
      wait_until([this] { return flags_->entered == workers_; });
    }
  }
  const std::thread::id caller_ = std::this_thread::get_id();
  const int workers_;
  Flags* const flags_;
};

void test_overtaken() {
  for (const int workers : {1, 3})
    for (const int phases : {1, 40}) {
      std::vector<Value> out;
      Stopped::Flags flags;
      auto job = std::make_shared<Stopped>(phases, workers, true, &out, &flags);
      {
        Team team(workers + 1);
        team.run(job);
      }
      test::check(flags.left == 0 && out == serial(phases, workers + 1), "overtaken: waited, or another result");
      {
        Team team(workers + 1);  // whose workers are late in the old job
        std::vector<Value> next;
        const auto unseen = std::make_shared<Recurrence>(10, 2, true, &next);
        team.run(unseen);
        test::check(next == serial(10, 2), "overtaken: the next call gives another result");
        test::check(unseen.use_count() == 1, "overtaken: a worker keeps a job that it never began");
      }
      const Recurrence& late = *job;
      const std::weak_ptr<Stopped> alive = job;
      job.reset();
      test::check(!alive.expired(), "overtaken: a late worker's job is gone");
      const bool once = late.each_once();  // its memory is the workers' now
      flags.go = true;
      wait_until([&] { return alive.expired(); });
      test::check(once && flags.left == workers && out == serial(phases, workers + 1), "overtaken: not each once");
    }
}

/// The worker goes on as soon as it is overtaken, and wins.
struct Race final : Recurrence {
  using Recurrence::Recurrence;
  void before(int, int slice) noexcept override {
    const int mine = ++attempts_[slice];
    if (std::this_thread::get_id() == caller_) {
      wait_until([this] { return attempts_[0] + attempts_[1] > 1; });
      if (mine > 1) wait_until([&] { return commits(0, slice) == 1; });
    } else {
      wait_until([&] { return attempts_[slice] > 1; });
    }
  }
  const std::thread::id caller_ = std::this_thread::get_id();
  std::atomic<int> attempts_[2] = {};
};

void test_race() {
  std::vector<Value> out;
  Team team(2);
  const auto job = std::make_shared<Race>(1, 2, true, &out);
  team.run(job);
  test::check(job->attempts_[0] + job->attempts_[1] == 3 && job->each_once() && out == serial(1, 2),
              "race: not committed once by the first to finish");
}

void test_in_place_waits() {
  std::vector<Value> out;
  Stopped::Flags flags;
  Team team(3);
  std::thread release([&] {
    wait_until([&] { return flags.entered == 2; });
    std::this_thread::sleep_for(std::chrono::milliseconds(20));  // long enough for the caller to go to sleep
    flags.go = true;
  });
  team.run(std::make_shared<Stopped>(5, 2, false, &out, &flags));
  test::check(flags.left == 2 && out == serial(5, 3), "in place: did not wait for the workers");
  release.join();
}

/// A child has workers of its own, whatever another thread's team was doing when it was made.
void test_fork() {
#if !defined(__SANITIZE_THREAD__)  // which forbids threads in such a child
  for (int round = 0; round < 20; ++round) {
    // The other thread neither takes nor frees memory at the fork, which a sanitizer's allocator would not survive.
    std::vector<Value> out;
    std::vector<std::shared_ptr<Recurrence>> jobs(200);
    for (auto& job : jobs) job = std::make_shared<Recurrence>(20, 3, true, &out);
    std::atomic<bool> busy{false}, forked{false};
    std::thread caller([&] {
      for (const auto& job : jobs) {
        Team team(3);
        team.run(job);
        busy = true;
      }
      wait_until([&] { return forked.load(); });
    });
    wait_until([&] { return busy.load(); });
    const pid_t child = fork();
    if (child == 0) {
      alarm(30);  // a deadlock is a failure
      Stopped::Flags flags;
      flags.go = true;
      Team team(3);
      team.run(std::make_shared<Stopped>(5, 2, false, &out, &flags));  // ends only if two workers come
      std::_Exit(out == serial(5, 3) && equals_serial(team, 20, 3, true) ? 0 : 1);
    }
    forked = true;
    int status = -1;
    waitpid(child, &status, 0);
    test::check(status == 0, "fork: the child failed");
    caller.join();
  }
#endif
}

}  // namespace

// `without_fork`: where no child may have threads.
int main(int argc, char** argv) {
  test_grid();
  test_rush();
  test_run_slices();
  test_concurrent_callers();
  test_nested();
  test_overtaken();
  test_race();
  test_in_place_waits();
  if (argc < 2 || std::strcmp(argv[1], "without_fork") != 0) test_fork();
  return test::finish("team");
}
