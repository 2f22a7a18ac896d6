// How many floating-point operations a second this machine does at most, on one variant: what
// products are compared with. Called by the bindings; calls a kernel and base's thread pool.
#pragma once

#include "kernels/registry.hpp"

namespace chainrule {

// Of T = float or double, on `threads` threads, or with 0 as many as the process is set to. A
// multiply-add counts as two operations. Takes some tens of milliseconds. Throws
// std::invalid_argument for the environment variable of the threads.
template <class T>
double peak_flops(int threads, const Variant& variant = active_variant());

}  // namespace chainrule
