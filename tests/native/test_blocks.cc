// A process may fork while another of its threads is at the list of a pool: the child, in which that thread never goes
// on, takes memory from the pool all the same.
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <thread>

#include "core/base/blocks.h"

int main() {
  constexpr std::size_t kBytes = 8192;
  fastrnn::Blocks pool;
  std::atomic<bool> done{false};
  std::thread busy([&] {
    while (!done) pool.give(pool.take(kBytes), kBytes);
  });
  int hung = 0;
  for (int i = 0; i < 200 && hung == 0; ++i) {
    const pid_t child = fork();
    if (child == 0) {
      alarm(20);
      pool.give(pool.take(kBytes), kBytes);
      _exit(0);
    }
    int status = 0;
    if (child < 0 || waitpid(child, &status, 0) != child || status != 0) ++hung;
  }
  done = true;
  busy.join();
  std::printf("blocks: %s\n", hung == 0 ? "passed" : "FAILED: a child did not end well");
  return hung;
}
