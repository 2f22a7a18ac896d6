// What the processor and the operating system offer. Called by kernels/registry.cpp, once; compiled
// without any instruction-set flag.
#pragma once

namespace chainrule {

struct CpuFeatures {
  bool baseline = true;
  bool avx2 = false;    // AVX2 and FMA, with the operating system saving YMM state
  bool avx512 = false;  // F, BW, DQ and VL, with the operating system saving ZMM and mask state
  bool neon = false;    // AArch64's Advanced SIMD, always there
};

CpuFeatures detect_cpu_features();

}  // namespace chainrule
