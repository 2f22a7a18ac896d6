// Sixteen by sixteen blocks in the tile registers of AMX. Included by kernels/tiles-inl.hpp.
//
//   Tiles()                     configures the tiles of this thread, ~Tiles() releases them
//   clear()                     the 32 x 32 sums of C, four tiles, are 0
//   load(c, stride)             they are those at c, with rows `stride` bytes apart
//   store(c, stride)
//   load_left(a)                32 rows of 32 bf16 of A: two tiles of 16 rows, each 64 bytes
//   load_right(b)               32 columns of B, two tiles of 16: row p of a tile has the elements
//                               2 p and 2 p + 1 of each column side by side
//   multiply()                  sums += left right, as kernels/bf16_kernels.hpp says
//
// Nothing but memory and tiles is touched. The intrinsics do not tell the compiler that they read
// memory: whoever writes what a tile loads calls fence() in between. store() is such a fence.
#pragma once

#include <immintrin.h>

#include <cstdint>

#include "simd/vec.hpp"

namespace chainrule {
namespace {

// Palette 1: rows of 64 bytes (from byte 16 on, two bytes a tile), 16 of them (from byte 48 on).
struct TileConfiguration {
  uint8_t palette = 1, start_row = 0, reserved[14] = {};
  uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};
static_assert(sizeof(TileConfiguration) == 64);
alignas(64) constexpr TileConfiguration kTileConfiguration;

// Tiles 0 to 3 are the sums, 4 and 5 the left, 6 and 7 the right operand.
class Tiles {
 public:
  static constexpr int64_t kTileBytes = 1024;

  Tiles() { _tile_loadconfig(&kTileConfiguration); }
  ~Tiles() { _tile_release(); }
  Tiles(const Tiles&) = delete;
  Tiles& operator=(const Tiles&) = delete;

  CHAINRULE_INLINE void clear() {
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
  }
  CHAINRULE_INLINE void load(const float* c, int64_t stride) {
    const char* lower = reinterpret_cast<const char*>(c) + 16 * stride;
    _tile_loadd(0, c, stride);
    _tile_loadd(1, c + 16, stride);
    _tile_loadd(2, lower, stride);
    _tile_loadd(3, lower + 64, stride);
  }
  CHAINRULE_INLINE void store(float* c, int64_t stride) {
    char* lower = reinterpret_cast<char*>(c) + 16 * stride;
    _tile_stored(0, c, stride);
    _tile_stored(1, c + 16, stride);
    _tile_stored(2, lower, stride);
    _tile_stored(3, lower + 64, stride);
    fence();
  }
  CHAINRULE_INLINE void load_left(const std::byte* a) {
    _tile_loadd(4, a, 64);
    _tile_loadd(5, a + kTileBytes, 64);
  }
  CHAINRULE_INLINE void load_right(const std::byte* b) {
    _tile_loadd(6, b, 64);
    _tile_loadd(7, b + kTileBytes, 64);
  }
  CHAINRULE_INLINE void multiply() {
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 4, 7);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
  }
  static CHAINRULE_INLINE void fence() {
#if defined(_MSC_VER) && !defined(__clang__)
    _ReadWriteBarrier();
#else
    __asm__ volatile("" ::: "memory");
#endif
  }
};

}  // namespace
}  // namespace chainrule
