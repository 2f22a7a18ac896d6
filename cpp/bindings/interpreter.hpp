// Work without the interpreter's lock, and its signals. Used by the register_*.cpp files.
#pragma once

#include <pybind11/pybind11.h>

#include <type_traits>

#include "base/flush_to_zero.hpp"
#include "base/interrupt.hpp"
#include "ops/team.hpp"

namespace chainrule::bindings {

// Runs a function without the GIL.
//
// The GIL is not taken back in a destructor: when Python ends before a daemon thread does, taking
// it unwinds that thread's stack, which a destructor would turn into an abort.
template <class Function>
auto without_lock(const Function& function) {
  PyThreadState* state = PyEval_SaveThread();
  try {
    if constexpr (std::is_void_v<decltype(function())>) {
      function();
      PyEval_RestoreThread(state);
    } else {
      auto result = function();
      PyEval_RestoreThread(state);
      return result;
    }
  } catch (const std::exception&) {
    PyEval_RestoreThread(state);
    throw;
  }
}

// Runs arithmetic without the GIL and with denormals flushed.
template <class Function>
auto compute(const Function& function) {
  const FlushToZero flush;
  return without_lock(function);
}

// For Interrupt: true if a signal handler raised, such as Ctrl-C's KeyboardInterrupt.
inline bool signal_raised() {
  const pybind11::gil_scoped_acquire acquire;
  const KeepDenormals mode;  // the handler may be foreign code
  return PyErr_CheckSignals() != 0;
}

// Signal handlers run only on the main thread, so other threads need not poll.
Interrupt::Poll signal_poll();

// The same with a team, whose interrupt polls for signals; raises the exception of a handler. 0
// threads: the setting of the process.
template <class Function>
auto compute_interruptible(Team& team, int threads, const Function& function) {
  team.begin(threads);
  team.interrupt().begin(signal_poll());
  const auto end = [&team] {
    const bool is_stopped = team.interrupt().is_stopped();
    team.interrupt().end();
    if (is_stopped) throw pybind11::error_already_set();
  };
  if constexpr (std::is_void_v<decltype(function())>) {
    compute(function);
    end();
  } else {
    auto result = compute(function);
    end();
    return result;
  }
}

// At import.
void remember_main_thread();

}  // namespace chainrule::bindings
