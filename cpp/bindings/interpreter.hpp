// Work without the interpreter's lock, its signals, and the variant that its context names. Used by
// the register_*.cpp files.
#pragma once

#include <pybind11/pybind11.h>

#include <type_traits>

#include "base/flush_to_zero.hpp"
#include "base/interrupt.hpp"
#include "kernels/registry.hpp"
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

// The variant of a call: that of the innermost open block of runtime.use_variant in Python's
// context, else the process's default. Read with the GIL when the call begins, and handed down: the
// pool's threads have no context. Throws std::invalid_argument for the environment variable.
const Variant& variant_of_call();
template <class T>
const KernelTable<T>& kernels_of_call() {
  return kernels_of<T>(variant_of_call());
}

// Opens a block in Python's context; returns the token that closes it, in the same context only.
pybind11::object enter_variant(const Variant& variant);
void leave_variant(const pybind11::object& token);

// A team that signals stop: of a model, or of one call. Every call begins it anew.
struct SignalTeam {
  Interrupt interrupt;
  Team team{interrupt};
};

// Runs arithmetic as `compute` does, by a team that it hands to the function; raises the exception
// of a signal's handler. 0 threads: the setting of the process.
template <class Function>
auto compute_interruptible(SignalTeam& own, int threads, const Function& function) {
  Team& team = own.team;
  team.begin(threads, variant_of_call());
  own.interrupt.begin(signal_poll());
  const auto call = [&] { return function(team); };
  const auto end = [&own] {
    const bool is_stopped = own.interrupt.is_stopped();
    own.interrupt.end();
    if (is_stopped) throw pybind11::error_already_set();
  };
  if constexpr (std::is_void_v<decltype(call())>) {
    compute(call);
    end();
  } else {
    auto result = compute(call);
    end();
    return result;
  }
}

// At import.
void remember_main_thread();

}  // namespace chainrule::bindings
