// Watches: how pieces of a computation learn that it is to end.
//
// A thread that computes has at most one. The caller's asks the poll of its Interruption; those of a team's threads
// look at their job, which the caller's tells (threads.cc). Nothing is thrown through kernels and jobs: they leave what
// they compute unfinished and return, and whoever called them throws Interrupted where that is allowed.
#pragma once

#include "fastrnn/interrupt.hpp"

namespace fastrnn {

/// Multiply-adds between two looks, which read the clock: some milliseconds on a slow machine.
constexpr Index kLookAfter = 8'000'000;
/// What elements cost that are no multiply-adds: copied, converted, or drawn at random.
constexpr Index kPerElement = 16;

/// Whether to stop, before so many multiply-adds more.
inline __attribute__((always_inline)) bool stops(Watch* watch, Index work) {
  if (watch == nullptr) return false;
  if ((watch->left -= work) < 0) watch->look(*watch);
  return watch->stopped;
}
inline __attribute__((always_inline)) bool stopped(const Watch* watch) { return watch != nullptr && watch->stopped; }

/// This thread's, or null.
Watch* current_watch() noexcept;
/// Sets it and returns the one before.
Watch* exchange_watch(Watch* watch) noexcept;

/// Throws Interrupted if this thread's says so, before so many multiply-adds more.
void check_interrupted(Index work = 0);

}  // namespace fastrnn
