// The registry of variants: what is compiled, what this processor runs, how one is chosen.
#include <doctest/doctest.h>

#if defined(__linux__) && defined(__x86_64__)
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#endif

#include <cerrno>
#include <cstddef>
#include <iterator>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <vector>

#include "base/cpu_features.hpp"
#include "kernels/lists.hpp"
#include "kernels/registry.hpp"

namespace {

using chainrule::active_variant;
using chainrule::compiled_variants;
using chainrule::kCountOf;
using chainrule::KernelTable;
using chainrule::set_active_variant;
using chainrule::supported_variants;
using chainrule::Variant;
using chainrule::variant_named;

std::vector<std::string> names(const std::vector<const Variant*>& variants) {
  std::vector<std::string> result;
  for (const Variant* variant : variants) result.emplace_back(variant->name);
  return result;
}

TEST_CASE("the supported variants are the compiled ones that the processor runs, best first") {
  auto compiled = names(compiled_variants());
  const auto supported = names(supported_variants());
  const chainrule::CpuFeatures cpu = chainrule::detect_cpu_features();
  std::vector<std::string> expected;
  for (const std::string& name : compiled) {
    if (name == "amx" && !cpu.amx) continue;
    if (name == "avx512" && !cpu.avx512) continue;
    if (name == "avx2" && !cpu.avx2) continue;
    if (name == "neon" && !cpu.neon) continue;
    expected.push_back(name);
  }
  CHECK(supported == expected);
  CHECK(compiled.back() == "baseline");
  CHECK(supported.back() == "baseline");
#if defined(__x86_64__) || defined(_M_X64)
  if (compiled.front() == "amx") compiled.erase(compiled.begin());  // where the compiler knows it
  CHECK(compiled == std::vector<std::string>{"avx512", "avx2", "baseline"});
#elif defined(__aarch64__) || defined(_M_ARM64)
  CHECK(compiled == std::vector<std::string>{"neon", "baseline"});
#endif
}

TEST_CASE("a processor that has AVX-512 has AVX2") {
  const chainrule::CpuFeatures cpu = chainrule::detect_cpu_features();
  CHECK((cpu.avx2 || !cpu.avx512));
  CHECK((cpu.avx512 || !cpu.amx));
}

#if defined(__linux__) && defined(__x86_64__)
// From here on the kernel refuses this process the right to use tiles, with that error.
bool refuse_tiles(unsigned int error) {
  constexpr unsigned int kRequestPermission = 0x1023;
  const auto skip_unless = [](unsigned int value, unsigned char skipped) {
    return sock_filter{BPF_JMP | BPF_JEQ | BPF_K, 0, skipped, value};
  };
  const auto load = [](size_t offset) {
    return sock_filter{BPF_LD | BPF_W | BPF_ABS, 0, 0, static_cast<unsigned int>(offset)};
  };
  sock_filter filter[] = {
      load(offsetof(seccomp_data, nr)),
      skip_unless(SYS_arch_prctl, 3),
      load(offsetof(seccomp_data, args)),  // the lower half of the first
      skip_unless(kRequestPermission, 1),
      {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ERRNO | error},
      {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW},
  };
  const sock_fprog program{std::size(filter), filter};
  return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

TEST_CASE("where tiles are refused there are none, and all else is there") {
  const chainrule::CpuFeatures before = chainrule::detect_cpu_features();
  if (!before.amx) {
    MESSAGE("this processor has no tiles, nor AVX-512 to emulate them");
    return;
  }
  // ENOSPC: some thread's alternate stack for signals is too small for tiles.
  for (const unsigned int error : {EPERM, ENOSPC}) {
    CAPTURE(error);
    const pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0) {
      if (!refuse_tiles(error)) _exit(2);
      const chainrule::CpuFeatures after = chainrule::detect_cpu_features();
      _exit(!after.amx && after.avx512 && after.avx2 && after.baseline ? 0 : 1);
    }
    int status = -1;
    REQUIRE(waitpid(child, &status, 0) == child);
    REQUIRE(WIFEXITED(status));
    CHECK(WEXITSTATUS(status) == 0);
  }
}
#endif

TEST_CASE("every supported variant can be made the active one") {
  const Variant& before = active_variant();
  for (const Variant* variant : supported_variants()) {
    CHECK(&variant_named(variant->name) == variant);
    set_active_variant(*variant);
    CHECK(&active_variant() == variant);
    CHECK(&kernels_of<float>(*variant) == &variant->single_precision);
    CHECK(&kernels_of<double>(*variant) == &variant->double_precision);
  }
  set_active_variant(before);
}

TEST_CASE("a name that is not supported is an error that lists those that are") {
  for (const char* name : {"", "sse9", "AVX2", "baseline "}) {
    CAPTURE(std::string(name));
    std::string message;
    try {
      variant_named(name);
    } catch (const std::invalid_argument& error) {
      message = error.what();
    }
    std::string quoted("'");
    quoted += name;
    quoted += '\'';
    CHECK(message.find(quoted) != std::string::npos);
    for (const std::string& right : names(supported_variants())) {
      CHECK(message.find(right) != std::string::npos);
    }
  }
}

template <class Function>
bool is_set(Function* function) {
  return function != nullptr;
}

template <class T>
void check_table_is_full(const KernelTable<T>& table) {
  CHECK(table.panel_columns > 0);
  CHECK(table.tile_rows > 0);
  CHECK(is_set(table.panel_product));
  CHECK(is_set(table.pack_panel));
  CHECK(is_set(table.pack_transposed_panel));
  CHECK(is_set(table.column_sums));
  CHECK((table.bf16 != nullptr) == std::is_same_v<T, float>);
  if (table.bf16 != nullptr) {
    CHECK(table.bf16->left_lines > 0);
    CHECK(table.bf16->right_lines == table.panel_columns);
    CHECK(is_set(table.bf16->pack_left));
    CHECK(is_set(table.bf16->pack_right));
    CHECK(is_set(table.bf16->product));
  }
  for (int i = 0; i < kCountOf<chainrule::Activation>; ++i) {
    CHECK(is_set(table.activations[i].forward));
    CHECK(is_set(table.activations[i].backward));
  }
  for (int i = 0; i < kCountOf<chainrule::Loss>; ++i) CHECK(is_set(table.losses[i]));
  for (int i = 0; i < kCountOf<chainrule::Optimizer>; ++i) {
    CHECK(is_set(table.optimizers[i].prepare));
    CHECK(is_set(table.optimizers[i].step));
  }
  for (int i = 0; i < kCountOf<chainrule::MathFunction>; ++i) {
    CHECK(is_set(table.math_functions[i]));
  }
  CHECK(is_set(table.layer_norm_forward));
  CHECK(is_set(table.layer_norm_backward));
  CHECK(is_set(table.norm_parameter_gradients));
  CHECK(is_set(table.batch_norm_statistics));
  CHECK(is_set(table.batch_norm_backward));
  CHECK(is_set(table.batch_norm_predict));
  CHECK(is_set(table.dropout_mask));
  CHECK(is_set(table.multiply));
  CHECK(is_set(table.finish_gradient));
  CHECK(is_set(table.all_finite));
  CHECK(is_set(table.dot));
  CHECK(is_set(table.add_scaled));
}

TEST_CASE("every compiled variant fills its tables") {
  for (const Variant* variant : compiled_variants()) {
    CAPTURE(std::string(variant->name));
    check_table_is_full(variant->single_precision);
    check_table_is_full(variant->double_precision);
  }
}

}  // namespace
