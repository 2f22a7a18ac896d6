// The extension module chainrule._core: a table of contents.
#include <pybind11/pybind11.h>

#include <stdexcept>

#include "interpreter.hpp"
#include "ops/team.hpp"
#include "register.hpp"

// For threadpoolctl, which calls functions of the loaded library by name. No exception may leave. 0
// stands for what the machine gives.
extern "C" {
PYBIND11_EXPORT int chainrule_get_num_threads();
PYBIND11_EXPORT void chainrule_set_num_threads(int threads);

int chainrule_get_num_threads() {
  try {
    return chainrule::thread_count();
  } catch (const std::exception&) {
    return 0;  // a bad CHAINRULE_NUM_THREADS; the first computation raises
  }
}
void chainrule_set_num_threads(int threads) { chainrule::set_thread_count(threads); }
}

PYBIND11_MODULE(_core, module) {
  using namespace chainrule::bindings;
  module.doc() = "The compiled core of chainrule; see _core.pyi. Trusts its caller.";
  module.attr("__version__") = CHAINRULE_VERSION;
  remember_main_thread();
  register_runtime(module);
  register_kernels(module);
  register_network(module);
  register_training(module);
}
