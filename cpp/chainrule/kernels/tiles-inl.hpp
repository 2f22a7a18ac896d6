// Products of bf16 terms by the tiles of AMX: a strip is 32 lines, two tiles a term and block.
// Compiled in kernels/tiles.cpp; called by ops/bf16_product.cpp through the table.
//
// 32 x 32 sums stay in four tiles over the whole of k; the other four are two of A and two of B,
// loaded anew only where the next product of terms has others: 4, 8 and 14 loads for 4, 12 and 24
// multiplications, which take twice as long as a load.
#pragma once

#include "kernels/bf16_terms-inl.hpp"
#include "simd/tiles_amx.hpp"

namespace chainrule {
namespace {

inline constexpr int64_t kStripLines = 32, kTileLines = 16;
// A term of a block of a strip.
inline constexpr int64_t kPartBytes = kStripLines * kBf16Depth * 2;

// Sixteen words of two bf16 each, from numbers that are bf16 already: the even ones in the lower
// halves.
CHAINRULE_INLINE Vec<float> interleave(Vec<float> even, Vec<float> odd) {
  const __m512i lower = _mm512_maskz_srli_epi32(0xffff, _mm512_castps_si512(even.raw), 16);
  return {_mm512_castsi512_ps(_mm512_or_si512(lower, _mm512_castps_si512(odd.raw)))};
}
// And from 32 numbers in their order: the upper halves of both.
alignas(64) constexpr int16_t kUpperHalves[32] = {1,  3,  5,  7,  9,  11, 13, 15, 17, 19, 21,
                                                  23, 25, 27, 29, 31, 33, 35, 37, 39, 41, 43,
                                                  45, 47, 49, 51, 53, 55, 57, 59, 61, 63};
CHAINRULE_INLINE Vec<float> join(Vec<float> first, Vec<float> second) {
  return {_mm512_castsi512_ps(_mm512_permutex2var_epi16(_mm512_castps_si512(first.raw),
                                                        _mm512_load_si512(kUpperHalves),
                                                        _mm512_castps_si512(second.raw)))};
}

// For each term the words of 16 lines of a block: a square of lines and pairs of steps, one vector
// for each line or, where lines lie side by side in memory, for each pair.
struct Words {
  Vec<float> of_term[kMostTerms][16];
};

CHAINRULE_INLINE void split_pair(Vec<float> first, Vec<float> second, int terms, bool joins,
                                 int index, Words& words, bool& all_finite) {
  Vec<float> rest[2] = {finite_or_zero(first, all_finite), finite_or_zero(second, all_finite)};
  for (int term = 0; term < terms; ++term) {
    const Vec<float> a = take_term(rest[0]), b = take_term(rest[1]);
    words.of_term[term][index] = joins ? join(a, b) : interleave(a, b);
  }
}

// Those of up to 16 lines; what is past the end is 0.
CHAINRULE_INLINE void read_words(const Bf16Lines& from, int64_t first_line, int64_t first_step,
                                 int terms, Words& words, bool& all_finite) {
  const auto within = [](int64_t count) CHAINRULE_INLINE_LAMBDA {
    return count < 0 ? 0 : (count < 16 ? count : 16);
  };
  const int64_t lines = within(from.lines - first_line), steps = from.steps - first_step;
  const float* data = from.data + first_line * from.line_stride + first_step * from.step_stride;
  const bool joins = from.step_stride == 1;
  for (int i = 0; i < 16; ++i) {
    Vec<float> first = Vec<float>::zero(), second = first;
    if (joins && i < lines) {
      const float* line = data + i * from.line_stride;
      first = Vec<float>::load_partial(line, within(steps));
      if (steps > 16) second = Vec<float>::load_partial(line + 16, within(steps - 16));
    } else if (!joins) {
      const float* step = data + 2 * i * from.step_stride;
      if (2 * i < steps) first = Vec<float>::load_partial(step, lines);
      if (2 * i + 1 < steps) second = Vec<float>::load_partial(step + from.step_stride, lines);
    }
    split_pair(first, second, terms, joins, i, words, all_finite);
  }
}

// A tile of A has a row for each line, one of B a row for each pair of steps.
template <bool kIsLeft>
bool pack_tiles(const Bf16Lines& lines, int terms, std::byte* strip) {
  const bool transposes = (lines.step_stride == 1) != kIsLeft;
  bool all_finite = true;
  for (int64_t step = 0; step < lines.steps; step += kBf16Depth, strip += terms * kPartBytes) {
    for (int64_t line = 0; line < kStripLines; line += kTileLines) {
      Words words;
      read_words(lines, line, step, terms, words, all_finite);
      for (int term = 0; term < terms; ++term) {
        if (transposes) transpose(words.of_term[term]);
        std::byte* tile = strip + term * kPartBytes + line * 64;
        for (int i = 0; i < 16; ++i) {
          words.of_term[term][i].store(reinterpret_cast<float*>(tile + i * 64));
        }
      }
    }
  }
  return all_finite;
}

CHAINRULE_INLINE void multiply_strips(Tiles& tiles, const std::byte* a, const std::byte* b,
                                      int64_t blocks, int terms) {
  for (int64_t block = 0; block < blocks; ++block) {
    const std::byte* left = a + block * terms * kPartBytes;
    const std::byte* right = b + block * terms * kPartBytes;
    TermProduct loaded{-1, -1};
    for_term_products(terms, [&](const TermProduct& product) CHAINRULE_INLINE_LAMBDA {
      if (product.a != loaded.a) tiles.load_left(left + product.a * kPartBytes);
      if (product.b != loaded.b) tiles.load_right(right + product.b * kPartBytes);
      loaded = product;
      tiles.multiply();
    });
  }
}

void tile_product(const Bf16Product& p) {
  Tiles tiles;
  const int64_t stride = p.c_row_stride * int64_t{sizeof(float)};
  alignas(64) float edge[kStripLines * kStripLines];
  constexpr int64_t kEdgeStride = kStripLines * int64_t{sizeof(float)};
  for (int64_t i = 0; i < p.m; i += kStripLines) {
    const int64_t rows = p.m - i < kStripLines ? p.m - i : kStripLines;
    const bool is_whole = rows == kStripLines && p.n == kStripLines;
    float* c = p.c + i * p.c_row_stride;
    if (p.bias == nullptr && !p.accumulate) {
      tiles.clear();
    } else if (p.bias == nullptr && is_whole) {
      tiles.load(c, stride);
    } else {
      for (int64_t r = 0; r < kStripLines; ++r) {
        for (int64_t j = 0; j < kStripLines; ++j) {
          const bool is_there = r < rows && j < p.n;
          edge[r * kStripLines + j] =
              !is_there ? 0 : (p.bias != nullptr ? p.bias[j] : c[r * p.c_row_stride + j]);
        }
      }
      Tiles::fence();
      tiles.load(edge, kEdgeStride);
    }
    multiply_strips(tiles, p.a + i / kStripLines * p.a_strip_stride, p.b, p.blocks, p.terms);
    if (is_whole) {
      tiles.store(c, stride);
    } else {
      tiles.store(edge, kEdgeStride);
      for (int64_t r = 0; r < rows; ++r) {
        for (int64_t j = 0; j < p.n; ++j) c[r * p.c_row_stride + j] = edge[r * kStripLines + j];
      }
    }
  }
}

}  // namespace
}  // namespace chainrule
