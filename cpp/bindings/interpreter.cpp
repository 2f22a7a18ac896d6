#include "interpreter.hpp"

#include <atomic>

#if !defined(_WIN32)
#include <pthread.h>
#endif

namespace chainrule::bindings {
namespace {

namespace py = pybind11;

std::atomic<unsigned long> main_thread{0};

// A contextvars.ContextVar whose values are capsules of variants. Made by the first block: before
// it, calls are spared a look-up of 5 to 12 ns. Never freed: daemon threads may call while Python
// ends.
PyObject* variant_context = nullptr;

PyObject* made_variant_context() {
  if (variant_context == nullptr) {
    variant_context = PyContextVar_New("chainrule variant", nullptr);
    if (variant_context == nullptr) throw py::error_already_set();
  }
  return variant_context;
}

}  // namespace

Interrupt::Poll signal_poll() {
  return PyThread_get_thread_ident() == main_thread ? signal_raised : nullptr;
}

void remember_main_thread() {
  const py::object thread = py::module_::import("threading").attr("main_thread")();
  main_thread = thread.attr("ident").cast<unsigned long>();
#if !defined(_WIN32)
  // The thread that forks is the child's main thread.
  pthread_atfork(nullptr, nullptr, [] { main_thread = PyThread_get_thread_ident(); });
#endif
}

const Variant& variant_of_call() {
  if (variant_context == nullptr) return active_variant();
  PyObject* named = nullptr;
  if (PyContextVar_Get(variant_context, nullptr, &named) != 0) throw py::error_already_set();
  if (named == nullptr) return active_variant();
  const auto capsule = py::reinterpret_steal<py::capsule>(named);
  return *capsule.get_pointer<const Variant>();
}

py::object enter_variant(const Variant& variant) {
  const py::capsule named(&variant);
  auto token =
      py::reinterpret_steal<py::object>(PyContextVar_Set(made_variant_context(), named.ptr()));
  if (!token) throw py::error_already_set();
  return token;
}

void leave_variant(const py::object& token) {
  if (PyContextVar_Reset(made_variant_context(), token.ptr()) != 0) throw py::error_already_set();
}

}  // namespace chainrule::bindings
