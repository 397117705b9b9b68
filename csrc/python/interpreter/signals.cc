#include "python/interpreter/signals.h"

#include <pthread.h>

namespace fastrnn::python {

namespace {

unsigned long main_thread = 0;

}  // namespace

void find_main_thread() {
  const auto thread = pybind11::module_::import("threading").attr("main_thread")();
  main_thread = thread.attr("ident").cast<unsigned long>();
  // The main thread of a child is the one that forked.
  pthread_atfork(nullptr, nullptr, [] { main_thread = PyThread_get_thread_ident(); });
}

bool in_main_thread() noexcept { return PyThread_get_thread_ident() == main_thread; }

}  // namespace fastrnn::python
