#include "base/cpu_features.hpp"

#if defined(__x86_64__) || defined(_M_X64)
#if defined(_MSC_VER)
#include <intrin.h>
#else
#include <cpuid.h>
#endif
#include <cstdint>
#define CHAINRULE_X86_64 1
#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#endif
#endif

#if defined(CHAINRULE_EMULATE_TILES)
#include "emulated_tiles.hpp"
#endif

namespace chainrule {

#if defined(CHAINRULE_X86_64)
namespace {

struct Registers {
  uint32_t eax = 0, ebx = 0, ecx = 0, edx = 0;
};

Registers cpuid(uint32_t leaf, uint32_t subleaf) {
  Registers r;
#if defined(_MSC_VER)
  int values[4];
  __cpuid(values, 0);
  if (leaf > static_cast<uint32_t>(values[0])) return r;
  __cpuidex(values, static_cast<int>(leaf), static_cast<int>(subleaf));
  r.eax = static_cast<uint32_t>(values[0]);
  r.ebx = static_cast<uint32_t>(values[1]);
  r.ecx = static_cast<uint32_t>(values[2]);
  r.edx = static_cast<uint32_t>(values[3]);
#else
  __get_cpuid_count(leaf, subleaf, &r.eax, &r.ebx, &r.ecx, &r.edx);
#endif
  return r;
}

// XCR0: the register states that the operating system saves on a context switch.
uint64_t saved_states() {
#if defined(_MSC_VER)
  return _xgetbv(0);
#else
  uint32_t low = 0, high = 0;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return (static_cast<uint64_t>(high) << 32) | low;
#endif
}

// A build for tests has tiles wherever it has AVX-512.
#if defined(CHAINRULE_EMULATE_TILES)
constexpr bool kEmulatesTiles = true;
#else
constexpr bool kEmulatesTiles = false;
void emulate_tiles() {}
#endif

// Asks for the right to use tiles (Linux 5.16; Documentation/arch/x86/xstate.rst). Other systems
// are not asked, and have none. A kernel without tiles may be asked about emulated ones, and says
// that it does not know them.
bool tiles_are_permitted(bool are_emulated) {
#if defined(__linux__) && defined(SYS_arch_prctl)
  constexpr int kRequestPermission = 0x1023, kTileData = 18;
  if (syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0) return true;
  return are_emulated && (errno == EOPNOTSUPP || errno == EINVAL);
#else
  return are_emulated;
#endif
}

bool bit(uint32_t word, int index) { return ((word >> index) & 1U) != 0; }

}  // namespace

CpuFeatures detect_cpu_features() {
  CpuFeatures features;
  const Registers basic = cpuid(1, 0);
  const bool osxsave = bit(basic.ecx, 27);
  if (!osxsave) return features;
  const uint64_t saved = saved_states();
  const bool saves_ymm = (saved & 0x06) == 0x06;  // XMM, YMM
  const bool saves_zmm = (saved & 0xe6) == 0xe6;  // and the masks and both parts of ZMM
  const Registers extended = cpuid(7, 0);
  const bool fma = bit(basic.ecx, 12);
  features.avx2 = saves_ymm && fma && bit(extended.ebx, 5);
  features.avx512 = features.avx2 && saves_zmm && bit(extended.ebx, 16) && bit(extended.ebx, 17) &&
                    bit(extended.ebx, 30) && bit(extended.ebx, 31);
  const bool saves_tiles = (saved & 0x60000) == 0x60000;  // their configuration and their data
  const bool has_tiles =
      saves_tiles && bit(extended.edx, 22) && bit(extended.edx, 24);  // AMX-BF16, AMX-TILE
  if (features.avx512 && (has_tiles || kEmulatesTiles)) {
    features.amx = tiles_are_permitted(!has_tiles);
    if (features.amx && !has_tiles) emulate_tiles();
  }
  return features;
}

#else

CpuFeatures detect_cpu_features() {
  CpuFeatures features;
#if defined(__aarch64__) || defined(_M_ARM64)
  features.neon = true;
#endif
  return features;
}

#endif

}  // namespace chainrule
