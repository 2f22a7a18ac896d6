// The bf16 kernels of the variant `amx`, which is avx512 but for them: compiled once, with the
// flags of avx512 and of AMX. Their table is the one external symbol; everything else has internal
// linkage, as in kernels/variant.cpp. A test compiles them with tiles in software.
#if defined(CHAINRULE_SOFTWARE_TILES)
#include "tiles_software.hpp"
#else
#include "simd/tiles_amx.hpp"
#endif

#include "kernels/tiles-inl.hpp"

namespace chainrule {

extern const Bf16Kernels CHAINRULE_TILE_KERNELS;
constinit const Bf16Kernels CHAINRULE_TILE_KERNELS = {
    kStripLines, kStripLines, 2, true, pack_tiles<true>, pack_tiles<false>, tile_product};

}  // namespace chainrule
