// Products of bf16 terms by the tiles of AMX: a strip is 32 lines, two tiles a term and block.
// Compiled in kernels/tiles.cpp; called by ops/bf16_product.cpp through the table.
//
// 32 x 32 sums stay in four tiles over the whole of k; the other four are two of A and two of B,
// loaded anew only where the next product of terms has others: 4, 8 and 14 loads for 4, 12 and 24
// multiplications, which take twice as long as a load.
#pragma once

#include "kernels/bf16_terms-inl.hpp"
#include "kernels/loops-inl.hpp"
#include "simd/tiles_amx.hpp"

namespace chainrule {
namespace {

inline constexpr int64_t kStripLines = 32;
// A term of a block of a strip.
inline constexpr int64_t kPartBytes = kStripLines * kBf16Depth * 2;
inline constexpr int64_t kPageBytes = 4096;

// So many of the numbers at from + offset, if any, and 0 for the rest.
CHAINRULE_INLINE Vec<float> load_up_to_16(const float* from, int64_t offset, int64_t count) {
  if (count <= 0) return Vec<float>::zero();
  return Vec<float>::load_partial(from + offset, count < 16 ? count : 16);
}

// Sixteen words as float32: of each the even step and the odd one.
struct Pairs {
  __m512 even, odd;
};

alignas(64) constexpr int32_t kEven[16] = {0,  2,  4,  6,  8,  10, 12, 14,
                                           16, 18, 20, 22, 24, 26, 28, 30};
alignas(64) constexpr int32_t kOdd[16] = {1,  3,  5,  7,  9,  11, 13, 15,
                                          17, 19, 21, 23, 25, 27, 29, 31};

// A block of a strip as 32 rows of words: a row for each line, where steps lie side by side in
// memory; else one for the first 16 lines of each pair of steps and one for the others, in turns,
// as memory has them. What is past the end is 0.
template <bool kStepsAdjoin>
class BlockReader {
 public:
  BlockReader(const Bf16Lines& from, int64_t first_step)
      : data_(from.data + first_step * from.step_stride),
        stride_(kStepsAdjoin ? from.line_stride : from.step_stride),
        lines_(from.lines),
        steps_(from.steps - first_step < kBf16Depth ? from.steps - first_step : kBf16Depth) {}

  CHAINRULE_INLINE Pairs read(int64_t row) const {
    if constexpr (kStepsAdjoin) {
      if (row >= lines_) return {_mm512_setzero_ps(), _mm512_setzero_ps()};
      const int64_t line = row * stride_;
      fetch(line + 4 * kBf16Depth);
      fetch(line + 4 * kBf16Depth + 16);
      const __m512 first = load(line, steps_), second = load(line + 16, steps_ - 16);
      return {_mm512_permutex2var_ps(first, _mm512_load_si512(kEven), second),
              _mm512_permutex2var_ps(first, _mm512_load_si512(kOdd), second)};
    } else {
      const int64_t step = row / 2 * 2, line = row % 2 * 16;
      const int64_t even = step * stride_ + line, odd = even + stride_;
      fetch(even + kBf16Depth * stride_);
      fetch(odd + kBf16Depth * stride_);
      return {load(even, step < steps_ ? lines_ - line : 0),
              load(odd, step + 1 < steps_ ? lines_ - line : 0)};
    }
  }
  // Where it belongs, in vectors.
  static CHAINRULE_INLINE int64_t place(int64_t row) {
    return kStepsAdjoin ? row : row / 2 + row % 2 * 16;
  }

 private:
  CHAINRULE_INLINE __m512 load(int64_t offset, int64_t count) const {
    return load_up_to_16(data_, offset, count).raw;
  }
  // Of a later block, which from page to page few processors do by themselves; perhaps past the
  // end. Into the second-level cache: in the first one rows a multiple of a page apart share a set.
  CHAINRULE_INLINE void fetch(int64_t offset) const {
    constexpr int64_t kSize = sizeof(float);
    if (stride_ * kSize < kPageBytes) return;
    const auto address =
        reinterpret_cast<uintptr_t>(data_) + static_cast<uintptr_t>(offset * kSize);
    _mm_prefetch(reinterpret_cast<const char*>(address), _MM_HINT_T1);
  }

  const float* data_;
  int64_t stride_, lines_, steps_;
};

// Its upper half is the bf16 nearest to x, to even; the lower one is of no use. Not for what rounds
// to infinity.
CHAINRULE_INLINE __m512i round_upper_half(__m512 x) {
  const __m512i bits = _mm512_castps_si512(x);
  const __mmask16 is_odd = _mm512_test_epi32_mask(bits, _mm512_set1_epi32(0x10000));
  const __m512i sum = _mm512_add_epi32(bits, _mm512_set1_epi32(0x7fff));
  return _mm512_mask_add_epi32(sum, is_odd, sum, _mm512_set1_epi32(1));
}

// What a term leaves. Exact, but for denormals.
CHAINRULE_INLINE __m512 without(__m512 x, __m512i rounded) {
  const __m512i term = _mm512_and_si512(rounded, _mm512_set1_epi32(~0xffff));
  return _mm512_sub_ps(x, _mm512_castsi512_ps(term));
}

CHAINRULE_INLINE __m512i join_upper_halves(__m512i even, __m512i odd) {
  return _mm512_mask_blend_epi16(0xaaaaaaaaU, _mm512_maskz_srli_epi32(0xffff, even, 16), odd);
}

// Without the sign.
CHAINRULE_INLINE __m512i twice_the_bits(__m512 x) {
  return _mm512_add_epi32(_mm512_castps_si512(x), _mm512_castps_si512(x));
}

// Numbers up to the largest bf16: 5 operations a term and number, some for the words among them.
// Returns false if some are larger or not finite, whose terms are then wrong.
template <int kTerms, class Reader>
bool split_block(const Reader& from, std::byte* block) {
  constexpr uint32_t kLargest = 0x7f7f0000;
  __m512i largest = _mm512_setzero_si512();
  for (int64_t row = 0; row < kStripLines; ++row) {
    Pairs rest = from.read(row);
    largest = _mm512_maskz_max_epu32(0xffff, largest, twice_the_bits(rest.even));
    largest = _mm512_maskz_max_epu32(0xffff, largest, twice_the_bits(rest.odd));
    unrolled<kTerms>([&](int term) CHAINRULE_INLINE_LAMBDA {
      const __m512i even = round_upper_half(rest.even), odd = round_upper_half(rest.odd);
      rest = {without(rest.even, even), without(rest.odd, odd)};
      _mm512_store_si512(block + term * kPartBytes + Reader::place(row) * 64,
                         join_upper_halves(even, odd));
    });
  }
  return _mm512_cmpgt_epu32_mask(largest, _mm512_set1_epi32(static_cast<int>(2 * kLargest))) == 0;
}

// Any numbers. Returns whether all are finite; those that are not are 0.
template <int kTerms, class Reader>
bool split_any_block(const Reader& from, std::byte* block) {
  bool all_finite = true;
  for (int64_t row = 0; row < kStripLines; ++row) {
    const Pairs pairs = from.read(row);
    Vec<float> even = finite_or_zero({pairs.even}, all_finite);
    Vec<float> odd = finite_or_zero({pairs.odd}, all_finite);
    for (int term = 0; term < kTerms; ++term) {
      const __m512i lower = _mm512_castps_si512(take_term(even).raw);
      const __m512i upper = _mm512_castps_si512(take_term(odd).raw);
      _mm512_store_si512(block + term * kPartBytes + Reader::place(row) * 64,
                         join_upper_halves(lower, upper));
    }
  }
  return all_finite;
}

CHAINRULE_INLINE void transpose_tile(std::byte* tile) {
  float* words = reinterpret_cast<float*>(tile);
  Vec<float> rows[16];
  unrolled<16>([&](int i) CHAINRULE_INLINE_LAMBDA { rows[i] = Vec<float>::load(words + i * 16); });
  transpose(rows);
  unrolled<16>([&](int i) CHAINRULE_INLINE_LAMBDA { rows[i].store(words + i * 16); });
}

// A tile of A has a row for each line, one of B a row for each pair of steps.
template <bool kIsLeft, int kTerms, bool kStepsAdjoin>
bool pack_blocks(const Bf16Lines& lines, std::byte* strip) {
  bool all_finite = true;
  for (int64_t step = 0; step < lines.steps; step += kBf16Depth, strip += kTerms * kPartBytes) {
    const BlockReader<kStepsAdjoin> from(lines, step);
    if (!split_block<kTerms>(from, strip)) all_finite &= split_any_block<kTerms>(from, strip);
    if constexpr (kStepsAdjoin != kIsLeft) {
      for (int tile = 0; tile < 2 * kTerms; ++tile)
        transpose_tile(strip + tile * Tiles::kTileBytes);
    }
  }
  return all_finite;
}

template <bool kIsLeft>
bool pack_tiles(const Bf16Lines& lines, int terms, std::byte* strip) {
  const auto pack = [&](const auto& one, const auto& two,
                        const auto& three) CHAINRULE_INLINE_LAMBDA {
    return terms == 1 ? one(lines, strip) : (terms == 2 ? two(lines, strip) : three(lines, strip));
  };
  return lines.step_stride == 1
             ? pack(pack_blocks<kIsLeft, 1, true>, pack_blocks<kIsLeft, 2, true>,
                    pack_blocks<kIsLeft, 3, true>)
             : pack(pack_blocks<kIsLeft, 1, false>, pack_blocks<kIsLeft, 2, false>,
                    pack_blocks<kIsLeft, 3, false>);
}

// The sums of a block of C, on their way between the tiles and C.
struct Sums {
  static constexpr int64_t kStride = kStripLines * int64_t{sizeof(float)};
  alignas(64) float rows[kStripLines][kStripLines];
};

// The first `columns` of a row of sums.
template <bool kWhole>
CHAINRULE_INLINE void write_row(const float* sums, int64_t columns, float* c) {
  for (int64_t j = 0; j < kStripLines; j += 16) {
    const Vec<float> part = Vec<float>::load(sums + j);
    if constexpr (kWhole) {
      WholeLanes<float>{}.store(c + j, part);
    } else if (j < columns) {
      FirstLanes<float>{columns - j < 16 ? columns - j : 16}.store(c + j, part);
    }
  }
}

// Work on the rows of C that overlaps with multiplications: it writes the previous block and
// fetches the next one. A store from the tiles takes some 60 ns, a check for NaN waits for it, and
// rows of C are often on different pages; done between two blocks, this cost bf16 a third of its
// time.
template <bool kWhole>
struct RowWork {
  const float* sums;  // the next of to_write rows, and where it goes
  float* to;
  const float* next;  // the next of to_fetch rows
  int64_t to_write, to_fetch, stride, columns;

  CHAINRULE_INLINE void take(int64_t rows) {
    for (int64_t r = rows; r > 0 && to_write > 0; --r, --to_write) {
      write_row<kWhole>(sums, columns, to);
      sums += kStripLines;
      to += stride;
    }
    for (int64_t r = rows; r > 0 && to_fetch > 0; --r, --to_fetch) {
      _mm_prefetch(reinterpret_cast<const char*>(next), _MM_HINT_T0);
      if (kWhole || columns > 16) {
        _mm_prefetch(reinterpret_cast<const char*>(next + 16), _MM_HINT_T0);
      }
      next += stride;
    }
  }
};

template <int kTerms, bool kWhole>
CHAINRULE_INLINE void multiply_strips(Tiles& tiles, const std::byte* a, const std::byte* b,
                                      int64_t blocks, RowWork<kWhole>& work) {
  const int64_t rows = blocks > 0 ? (kStripLines + blocks - 1) / blocks : 0;
  for (int64_t block = 0; block < blocks; ++block) {
    const std::byte* left = a + block * kTerms * kPartBytes;
    const std::byte* right = b + block * kTerms * kPartBytes;
    TermProduct loaded{-1, -1};
    for_term_products(kTerms, [&](const TermProduct& product) CHAINRULE_INLINE_LAMBDA {
      if (product.a != loaded.a) tiles.load_left(left + product.a * kPartBytes);
      if (product.b != loaded.b) tiles.load_right(right + product.b * kPartBytes);
      loaded = product;
      tiles.multiply();
    });
    work.take(rows);
  }
  work.take(kStripLines);
}

template <int kTerms, bool kWhole>
void multiply_tiles(const Bf16Product& p) {
  Tiles tiles;
  Sums sums[2];
  alignas(64) float bias[kStripLines];
  if (p.bias != nullptr) {
    for (int64_t j = 0; j < kStripLines; j += 16) {
      load_up_to_16(p.bias, j, p.n - j).store(bias + j);
    }
    Tiles::fence();
  }
  const int64_t stride = p.c_row_stride * int64_t{sizeof(float)};
  const auto rows_from = [&](int64_t i) CHAINRULE_INLINE_LAMBDA {
    return p.m - i < kStripLines ? p.m - i : kStripLines;
  };
  RowWork<kWhole> work{nullptr, p.c, nullptr, 0, 0, p.c_row_stride, p.n};
  for (int64_t i = 0; i < p.m; i += kStripLines) {
    float* c = p.c + i * p.c_row_stride;
    Sums& own = sums[i / kStripLines % 2];
    if (p.bias != nullptr) {
      tiles.load(bias, 0);  // the same row for all
    } else if (!p.accumulate) {
      tiles.clear();
    } else if (kWhole && rows_from(i) == kStripLines) {
      tiles.load(c, stride);
    } else {
      for (int64_t r = 0; r < kStripLines; ++r) {
        for (int64_t j = 0; j < kStripLines; j += 16) {
          const int64_t columns = r < rows_from(i) ? p.n - j : 0;
          load_up_to_16(c, r * p.c_row_stride + j, columns).store(own.rows[r] + j);
        }
      }
      Tiles::fence();
      tiles.load(own.rows[0], Sums::kStride);
    }
    if (p.accumulate && i + kStripLines < p.m) {
      work.next = c + kStripLines * p.c_row_stride;
      work.to_fetch = rows_from(i + kStripLines);
    }
    multiply_strips<kTerms>(tiles, p.a + i / kStripLines * p.a_strip_stride, p.b, p.blocks, work);
    tiles.store(own.rows[0], Sums::kStride);
    work.sums = own.rows[0];
    work.to = c;
    work.to_write = rows_from(i);
    work.to_fetch = 0;
  }
  work.take(kStripLines);
}

void tile_product(const Bf16Product& p) {
  const auto multiply = [&](const auto& whole, const auto& part) CHAINRULE_INLINE_LAMBDA {
    return p.n == kStripLines ? whole(p) : part(p);
  };
  if (p.terms == 1) {
    multiply(multiply_tiles<1, true>, multiply_tiles<1, false>);
  } else if (p.terms == 2) {
    multiply(multiply_tiles<2, true>, multiply_tiles<2, false>);
  } else {
    multiply(multiply_tiles<3, true>, multiply_tiles<3, false>);
  }
}

}  // namespace
}  // namespace chainrule
