// The contract of simd/tiles_amx.hpp in software, as Intel's manual describes TDPBF16PS (volume 2):
// so that the kernels around the instruction are tested where there are no tiles, and the
// instruction where there are. Included by kernels/tiles.cpp in a test alone.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "simd/vec.hpp"

namespace chainrule {
namespace {

class Tiles {
 public:
  static constexpr int64_t kTileBytes = 1024;

  void clear() {
    for (auto& row : sums_) {
      for (float& sum : row) sum = 0;
    }
  }
  void load(const float* c, int64_t stride) {
    for (int64_t i = 0; i < 32; ++i) {
      for (int64_t j = 0; j < 32; ++j) sums_[i][j] = row_of(c, i, stride)[j];
    }
  }
  void store(float* c, int64_t stride) {
    for (int64_t i = 0; i < 32; ++i) {
      for (int64_t j = 0; j < 32; ++j) {
        const_cast<float*>(row_of(c, i, stride))[j] = sums_[i][j];
      }
    }
  }
  void load_left(const std::byte* a) { copy(a, left_); }
  void load_right(const std::byte* b) { copy(b, right_); }
  void multiply() {
    for (int64_t i = 0; i < 32; ++i) {
      for (int64_t j = 0; j < 32; ++j) {
        // Tiles of 16 rows of 16 words of two elements.
        const uint32_t* a = left_ + i * 16;
        const uint32_t* b = right_ + j / 16 * 256 + j % 16;
        float even = 0, odd = 0;
        for (int64_t p = 0; p < 16; ++p) {
          even = __builtin_fmaf(lower(a[p]), lower(b[p * 16]), even);
          odd = __builtin_fmaf(upper(a[p]), upper(b[p * 16]), odd);
        }
        sums_[i][j] += even + odd;
      }
    }
  }
  static void fence() {}

 private:
  static const float* row_of(const float* c, int64_t i, int64_t stride) {
    return reinterpret_cast<const float*>(reinterpret_cast<const char*>(c) + i * stride);
  }
  static float lower(uint32_t word) { return __builtin_bit_cast(float, word << 16); }
  static float upper(uint32_t word) { return __builtin_bit_cast(float, word & 0xffff0000U); }
  static void copy(const std::byte* from, uint32_t (&to)[512]) {
    __builtin_memcpy(to, from, sizeof(to));
  }

  float sums_[32][32];
  uint32_t left_[512], right_[512];
};

}  // namespace
}  // namespace chainrule
