// A stream's calls never enter the system: a child process that the kernel kills at its first system call (seccomp's
// strict mode: read, write and exit alone are left) takes a million steps. Where seccomp is not to be had, the status
// is 77, and says so.
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/seccomp.h>

#include "fastrnn/pool.hpp"
#include "models.h"

namespace {

using namespace fastrnn;

enum class End { finished, killed, unavailable };

/// Memory that the work needs was taken by the parent; the child's own pages are not system calls.
template <class Work>
End run_confined(Work work) {
  const pid_t child = fork();
  if (child == 0) {
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT) != 0) _exit(2);
    work();
    syscall(SYS_exit, 0);  // the exit of a process, exit_group, is not allowed
  }
  int status = 0;
  waitpid(child, &status, 0);
  if (WIFSIGNALED(status)) return End::killed;
  return WEXITSTATUS(status) == 0 ? End::finished : End::unavailable;
}

void check(const std::string& what, const std::shared_ptr<const Model>& model, Index steps) {
  std::vector<float> x(16 * model->inputs(), 0.5f), y(16 * model->outputs());
  ModelSession session(model);
  StreamPool pool(model, 3, 2);
  std::vector<char> state(session.state_bytes());
  const StreamPool::Stream streams[] = {pool.open(), pool.open()};
  const auto work = [&] {
    for (Index t = 0; t < steps; ++t) session.step(x.data(), y.data());
    for (Index t = 0; t < steps / 100; ++t) {
      session.run(x.data(), 16, y.data());
      session.get_state(state.data());
      session.reset();
      session.set_state(state.data(), state.size());
      for (const auto stream : streams) pool.push(stream, x.data(), 1 + t % 2);
      pool.advance();
      for (const auto stream : streams) pool.pull(stream, y.data(), 2);
      pool.close(pool.open());
    }
  };
  test::check(run_confined(work) == End::finished, what + ": a step entered the system");
}

}  // namespace

int main(int argc, char** argv) {
  const End end = run_confined([] { getppid(); });
  if (end == End::unavailable) {
    std::fprintf(stderr, "syscalls: not checked, this system has no seccomp\n");
    return 77;
  }
  test::check(end == End::killed, "the filter let a system call pass");
  // A million steps of the fastest set in float; the rest sees as much code in fewer.
  for (const std::string& isa : test::isas(argc, argv)) {
    set_isa(isa);
    for (const PackOptions& options : test::pack_options()) {
      const bool most = isa == available_isas().back() && options.precision == Precision::full;
      const std::string name = isa + " " + std::to_string(int(options.precision));
      check(name, test::load(test::stack_text(4, 8), options), most && !options.fast_activations ? 1'000'000 : 20'000);
    }
  }
  return test::finish("syscalls");
}
