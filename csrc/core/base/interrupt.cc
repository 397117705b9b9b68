#include "core/base/interrupt.h"

#include <chrono>
#include <utility>

#include "core/base/float_mode.h"

namespace fastrnn {

namespace {

/// Polls are rare, since one may wait for a lock, and drives the computation out of the cache.
constexpr std::chrono::nanoseconds kBetweenPolls = std::chrono::milliseconds(50);

thread_local Watch* current = nullptr;

long long now() noexcept {
  return std::chrono::nanoseconds(std::chrono::steady_clock::now().time_since_epoch()).count();
}

}  // namespace

Watch* current_watch() noexcept { return current; }
Watch* exchange_watch(Watch* watch) noexcept { return std::exchange(current, watch); }

void check_interrupted(Index work) {
  if (stops(current, work)) throw Interrupted();
}

Interruption::Interruption(Poll poll, void* context) noexcept
    : Watch{kLookAfter, false, ask},
      poll_(poll),
      context_(context),
      outer_(exchange_watch(this)),
      float_mode_(float_mode()) {}

Interruption::~Interruption() { exchange_watch(outer_); }

void Interruption::ask(Watch& watch) noexcept {
  auto& self = static_cast<Interruption&>(watch);
  self.left = kLookAfter;
  if (self.stopped) return;
  const long long time = now();
  if (self.asked_ == 0) self.asked_ = time;  // the first look: the 50 ms count from here
  if (time - self.asked_ < kBetweenPolls.count()) return;
  const unsigned long long mode = float_mode();
  set_float_mode(self.float_mode_);
  self.stopped = self.poll_(self.context_);
  set_float_mode(mode);
  self.asked_ = now();
}

}  // namespace fastrnn
