// The variants: which are compiled, which this machine runs, which one is active. The active
// variant's table is fetched once per operation by ops; a test or a user may force another.
#pragma once

#include <string_view>
#include <type_traits>
#include <vector>

#include "kernels/kernel_table.hpp"

namespace chainrule {

// Best first.
std::vector<const Variant*> compiled_variants();
std::vector<const Variant*> supported_variants();

// The best supported one, or the one that CHAINRULE_VARIANT or set_active_variant named.
// Throws std::invalid_argument, naming the right ones, when CHAINRULE_VARIANT names no supported
// variant.
const Variant& active_variant();

// Throws std::invalid_argument, naming the right ones, when no supported variant has this name.
void set_active_variant(std::string_view name);

template <class T>
const KernelTable<T>& kernels_of(const Variant& variant) {
  if constexpr (std::is_same_v<T, float>) {
    return variant.single_precision;
  } else {
    static_assert(std::is_same_v<T, double>);
    return variant.double_precision;
  }
}

template <class T>
const KernelTable<T>& active_kernels() {
  return kernels_of<T>(active_variant());
}

}  // namespace chainrule
