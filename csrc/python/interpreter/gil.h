// Letting go of the GIL around native work, and taking it back, so that the end of the interpreter cannot abort it.
#pragma once

#include <pybind11/pybind11.h>
#include <unistd.h>

namespace fastrnn::python {

/// Calls `take`, which waits for the GIL. Once the interpreter is shutting down, a thread other than its main one never
/// gets it: Python 3.14 leaves such a thread waiting for the end of the process, older ones end it with pthread_exit.
/// That unwinds the stack, which would drop references to Python objects without the GIL, and terminates the process at
/// the first noexcept destructor; so the unwinding stops here, and the thread waits as it does in 3.14.
template <class Take>
auto take_gil(const Take& take) noexcept {
  try {
    return take();
  } catch (...) {  // take() is C and throws nothing: this is pthread_exit, which must not be left by returning
    for (;;) pause();
  }
}

/// Without the GIL from here to the end of the scope.
class GilRelease {
 public:
  GilRelease() : state_(PyEval_SaveThread()) {}
  ~GilRelease() {
    take_gil([this] { PyEval_RestoreThread(state_); });
  }
  GilRelease(const GilRelease&) = delete;
  GilRelease& operator=(const GilRelease&) = delete;

 private:
  PyThreadState* state_;
};

/// With the GIL from here to the end of the scope, from any thread, whether it has it or not.
class GilAcquire {
 public:
  GilAcquire() : state_(take_gil([] { return PyGILState_Ensure(); })) {}
  ~GilAcquire() { PyGILState_Release(state_); }
  GilAcquire(const GilAcquire&) = delete;
  GilAcquire& operator=(const GilAcquire&) = delete;

 private:
  PyGILState_STATE state_;
};

}  // namespace fastrnn::python
