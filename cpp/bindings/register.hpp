// The parts of the module, one per file.
#pragma once

#include <pybind11/pybind11.h>

namespace chainrule::bindings {

void register_runtime(pybind11::module_& module);
void register_kernels(pybind11::module_& module);
void register_network(pybind11::module_& module);
void register_training(pybind11::module_& module);

}  // namespace chainrule::bindings
