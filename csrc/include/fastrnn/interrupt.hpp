// How to end a long call early: from time to time it calls a function that the caller has given.
#pragma once

#include "fastrnn/export.h"
#include "fastrnn/types.h"

namespace fastrnn {

/// Thrown by a call that an Interruption ended. Not a std::exception, so that no handler of errors catches it.
struct FASTRNN_API Interrupted{};

/// Internal: what a computation looks at between its pieces (csrc/core/base/interrupt.h).
struct Watch {
  Index left;            // multiply-adds until the next look
  bool stopped = false;  // the computation is to end
  void (*look)(Watch&) noexcept;
};

/// As long as it lives, long calls that this thread makes ask `poll` whether to end: at most every 50 ms, whatever
/// their sizes, in this thread, with its own floating-point mode. Short calls do not read a clock. Once poll has
/// returned true it is not asked again, and calls end as soon as they can:
///   - those that may throw throw Interrupted; what they were to write is undefined;
///   - Session::run and ModelSession::run return, with the states from before the call; StreamPool::advance returns 0,
///     with all streams as they were. requested() tells it from a call that did all its work.
/// step(), and what runs on a GPU, do not ask. Interruptions of one thread are nested; the innermost one is asked.
class FASTRNN_API Interruption : private Watch {
 public:
  using Poll = bool (*)(void* context) noexcept;
  Interruption(Poll poll, void* context) noexcept;
  ~Interruption();
  Interruption(const Interruption&) = delete;
  Interruption& operator=(const Interruption&) = delete;

  /// Whether poll has returned true.
  bool requested() const noexcept { return stopped; }

 private:
  static void ask(Watch& watch) noexcept;

  const Poll poll_;
  void* const context_;
  Watch* const outer_;
  unsigned long long float_mode_;
  long long asked_ = 0;  // when, ns
};

}  // namespace fastrnn
