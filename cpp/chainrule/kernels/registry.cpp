#include "kernels/registry.hpp"

#include <atomic>
#include <cstdlib>
#include <stdexcept>
#include <string>

#include "base/cpu_features.hpp"

namespace chainrule {

// CMake writes variants.inc from its table of variants: CHAINRULE_VARIANT(name, required feature),
// best first. Each variant is the one external symbol of its unit.
#define CHAINRULE_VARIANT(name, feature) extern const Variant variant_##name;
#include "variants.inc"
#undef CHAINRULE_VARIANT

namespace {

struct Entry {
  const Variant* variant;
  bool supported;
};

const std::vector<Entry>& entries() {
  static const std::vector<Entry> all = [] {
    const CpuFeatures cpu = detect_cpu_features();
    return std::vector<Entry>{
#define CHAINRULE_VARIANT(name, feature) {&variant_##name, cpu.feature},
#include "variants.inc"
#undef CHAINRULE_VARIANT
    };
  }();
  return all;
}

const Variant& find(std::string_view name, const char* source) {
  std::string names;
  for (const Variant* variant : supported_variants()) {
    if (name == variant->name) return *variant;
    names += names.empty() ? "" : ", ";
    names += variant->name;
  }
  throw std::invalid_argument(std::string(source) +
                              " must be one of the variants that this machine runs (" + names +
                              "), got '" + std::string(name) + "'");
}

std::atomic<const Variant*> active{nullptr};

}  // namespace

std::vector<const Variant*> compiled_variants() {
  std::vector<const Variant*> variants;
  for (const Entry& entry : entries()) variants.push_back(entry.variant);
  return variants;
}

std::vector<const Variant*> supported_variants() {
  std::vector<const Variant*> variants;
  for (const Entry& entry : entries()) {
    if (entry.supported) variants.push_back(entry.variant);
  }
  return variants;
}

const Variant& variant_named(std::string_view name) { return find(name, "name"); }

const Variant& active_variant() {
  const Variant* variant = active.load(std::memory_order_relaxed);
  if (variant == nullptr) {
    const char* forced = std::getenv("CHAINRULE_VARIANT");
    variant = forced != nullptr && *forced != '\0'
                  ? &find(forced, "the environment variable CHAINRULE_VARIANT")
                  : supported_variants().front();
    active.store(variant, std::memory_order_relaxed);
  }
  return *variant;
}

void set_active_variant(const Variant& variant) {
  active.store(&variant, std::memory_order_relaxed);
}

}  // namespace chainrule
