// The bf16 kernels of the variant `amx`, its only difference from avx512: compiled once, with the
// flags of avx512 and of AMX. Their table is the only external symbol; everything else has internal
// linkage, as in kernels/variant.cpp.
#include "kernels/tiles-inl.hpp"

namespace chainrule {

extern const Bf16Kernels tile_kernels;
constinit const Bf16Kernels tile_kernels = {kStripLines,      kStripLines,       2,           true,
                                            pack_tiles<true>, pack_tiles<false>, tile_product};

}  // namespace chainrule
