// Native work that a signal ends, Ctrl-C among them.
#pragma once

#include <optional>

#include "fastrnn/interrupt.hpp"
#include "python/interpreter/gil.h"

namespace fastrnn::python {

/// Remembers which thread Python's signal handlers run in: the main one. Once, with the GIL.
void find_main_thread();
bool in_main_thread() noexcept;

/// Calls work() without the GIL. In the main thread the handlers of signals that come meanwhile are called, and what
/// one of them raises ends the work, if it looks (fastrnn/interrupt.hpp), and is raised; in others none would be
/// called.
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

}  // namespace fastrnn::python
