// What the processor and the operating system offer. Called by kernels/registry.cpp, once; compiled
// without any instruction-set flag.
#pragma once

namespace chainrule {

struct CpuFeatures {
  bool baseline = true;
  bool avx2 = false;    // AVX2 and FMA, with the operating system saving YMM state
  bool avx512 = false;  // F, BW, DQ and VL, with the operating system saving ZMM and mask state
  bool amx = false;     // avx512, and tiles of bf16 that the operating system saves and permits
  bool neon = false;    // AArch64's Advanced SIMD, always there
};

// Linux gives a process the state of tiles only on request, which this makes; threads and children
// have it too. Where it is refused, there is no amx.
CpuFeatures detect_cpu_features();

}  // namespace chainrule
