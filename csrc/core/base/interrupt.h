// Watches: how a long computation learns that it is to end, because a signal came.
//
// Kernels count their work and now and then look at the watch of their thread. The watch of the calling thread polls
// (fastrnn/interrupt.hpp); the watches of a team's other threads ask their job, which the caller's watch stops
// (threads.cc). Nothing is thrown through kernels and jobs: they return early with their results unfinished, and the
// code that called them throws Interrupted where that is allowed.
#pragma once

#include "fastrnn/interrupt.hpp"

namespace fastrnn {

/// Multiply-adds between two looks, which read the clock: some milliseconds on a slow machine.
constexpr Index kLookAfter = 8'000'000;
/// The cost, in multiply-adds, of an element that is copied, converted or drawn at random.
constexpr Index kPerElement = 16;

/// Announces `work` multiply-adds; true if they are not to be done any more.
inline __attribute__((always_inline)) bool stops(Watch* watch, Index work) {
  if (watch == nullptr) return false;
  watch->left -= work;
  if (watch->left < 0) watch->look(*watch);
  return watch->stopped;
}
inline __attribute__((always_inline)) bool stopped(const Watch* watch) { return watch != nullptr && watch->stopped; }

/// The watch of this thread, or null.
Watch* current_watch() noexcept;
/// Makes `watch` that of this thread; returns the one before.
Watch* exchange_watch(Watch* watch) noexcept;

/// Announces work likewise; throws Interrupted if this thread is to stop.
void check_interrupted(Index work = 0);

}  // namespace fastrnn
