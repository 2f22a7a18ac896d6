// The variants: which are compiled, which this machine runs, and the process's default, the active
// one. An operation takes its variant as an argument, which callers hand down; only where none is
// given is the default read, once, before the operation.
#pragma once

#include <string_view>
#include <type_traits>
#include <vector>

#include "kernels/kernel_table.hpp"

namespace chainrule {

// Best first.
std::vector<const Variant*> compiled_variants();
std::vector<const Variant*> supported_variants();

// The supported one of this name. Throws std::invalid_argument, naming the right ones, when there
// is none.
const Variant& variant_named(std::string_view name);

// The default of the process: the best supported one, or the one that CHAINRULE_VARIANT named at
// the first use, or the last that was set. Throws std::invalid_argument, naming the right ones,
// when CHAINRULE_VARIANT names no supported variant.
const Variant& active_variant();
void set_active_variant(const Variant& variant);

template <class T>
const KernelTable<T>& kernels_of(const Variant& variant) {
  if constexpr (std::is_same_v<T, float>) {
    return variant.single_precision;
  } else {
    static_assert(std::is_same_v<T, double>);
    return variant.double_precision;
  }
}

}  // namespace chainrule
