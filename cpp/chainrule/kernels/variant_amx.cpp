// The variant `amx`: the kernels of avx512, except that tiles compute products of bf16 terms.
// Compiled without any instruction-set flag.
#include "kernels/kernel_table.hpp"

namespace chainrule {

extern const Variant variant_avx512;
extern const Bf16Kernels tile_kernels;

namespace {

Variant with_tiles(Variant variant) {
  variant.name = "amx";
  variant.single_precision.bf16 = &tile_kernels;
  return variant;
}

}  // namespace

extern const Variant variant_amx;
const Variant variant_amx = with_tiles(variant_avx512);

}  // namespace chainrule
