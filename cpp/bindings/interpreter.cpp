#include "interpreter.hpp"

#include <atomic>

#if !defined(_WIN32)
#include <pthread.h>
#endif

namespace chainrule::bindings {
namespace {

std::atomic<unsigned long> main_thread{0};

}  // namespace

Interrupt::Poll signal_poll() {
  return PyThread_get_thread_ident() == main_thread ? signal_raised : nullptr;
}

void remember_main_thread() {
  namespace py = pybind11;
  const py::object thread = py::module_::import("threading").attr("main_thread")();
  main_thread = thread.attr("ident").cast<unsigned long>();
#if !defined(_WIN32)
  // The thread that forks is the child's main thread.
  pthread_atfork(nullptr, nullptr, [] { main_thread = PyThread_get_thread_ident(); });
#endif
}

}  // namespace chainrule::bindings
