// The extension module chainrule._core: a table of contents.
#include "register.hpp"

PYBIND11_MODULE(_core, module) {
  using namespace chainrule::bindings;
  module.doc() = "The compiled core of chainrule; see _core.pyi. Trusts its caller.";
  module.attr("__version__") = CHAINRULE_VERSION;
  register_runtime(module);
  register_kernels(module);
  register_network(module);
  register_training(module);
}
