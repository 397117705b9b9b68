// Native work that a signal can end, such as Ctrl-C.
#pragma once

#include <cstddef>
#include <optional>

#include "fastrnn/interrupt.hpp"
#include "python/interpreter/gil.h"

namespace fastrnn::python {

/// Remembers which thread Python's signal handlers run in: the main one. Once, with the GIL.
void find_main_thread();
bool in_main_thread() noexcept;

/// Work over fewer weights than this takes a few microseconds; releasing the GIL would cost as much.
constexpr std::size_t kShortWork = 100'000;

/// Calls work() without the GIL. In the main thread, Python's signal handlers run meanwhile; if one raises, the work
/// ends early (fastrnn/interrupt.hpp) and the exception is raised here. Python runs no handlers in other threads.
template <class Work>
void run_interruptible(const Work& work) {
  const auto call_handlers = [](void*) noexcept {
    const GilAcquire gil;
    return PyErr_CheckSignals() != 0;
  };
  bool raised = false;
  {
    const GilRelease release;
    std::optional<Interruption> interruption;
    if (in_main_thread()) interruption.emplace(call_handlers, nullptr);
    try {
      work();
    } catch (const Interrupted&) {  // what was raised is told below
    }
    raised = interruption.has_value() && interruption->requested();
  }
  if (raised) throw pybind11::error_already_set();
}

/// Calls work() on so many weights in so many steps: as run_interruptible(), unless giving up the GIL would take as
/// long.
template <class Work>
void run_by_length(std::size_t weights, std::ptrdiff_t steps, const Work& work) {
  if (weights * std::size_t(steps) < kShortWork)
    work();
  else
    run_interruptible(work);
}

}  // namespace fastrnn::python
