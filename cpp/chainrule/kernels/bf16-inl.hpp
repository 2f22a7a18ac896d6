// Products of bf16 terms by FMAs, with the bits of AMX's tiles (kernels/bf16_kernels.hpp). Terms
// are kept as float32, step by step: a block has, for each term and each of its steps, the elements
// of a strip's lines. Compiled per variant; called by ops/bf16_product.cpp through the table.
#pragma once

#include "kernels/bf16_terms-inl.hpp"
#include "kernels/product-inl.hpp"

namespace chainrule {
namespace {

// Of a row of a tile kPanelVectors vectors each of C, of the even and of the odd chains stay in
// registers: 4 rows take 24 and three for the operands of 32, 2 rows 12 of 16.
inline constexpr int kBf16Rows = kTileRows >= 8 ? 4 : 2;
inline constexpr int64_t kLeftLines = kBf16Rows, kRightLines = kPanelColumns<float>;

// Some steps of some lines, step by step; those past the end as 0.
template <int64_t kLines>
CHAINRULE_INLINE void gather_block(const Bf16Lines& from, int64_t first_step, float* block) {
  const int64_t left = from.steps - first_step;
  const int64_t steps = left < kBf16Depth ? left : kBf16Depth;
  const float* data = from.data + first_step * from.step_stride;
  if (from.lines < kLines || steps < kBf16Depth) {
    for (int64_t i = 0; i < kLines * kBf16Depth; ++i) block[i] = 0;
  }
  if (from.line_stride == 1) {
    for (int64_t p = 0; p < steps; ++p) {
      for (int64_t l = 0; l < from.lines; ++l)
        block[p * kLines + l] = data[p * from.step_stride + l];
    }
  } else {
    for (int64_t l = 0; l < from.lines; ++l) {
      for (int64_t p = 0; p < steps; ++p) {
        block[p * kLines + l] = data[l * from.line_stride + p * from.step_stride];
      }
    }
  }
}

template <int64_t kLines>
bool pack_strip(const Bf16Lines& lines, int terms, std::byte* strip) {
  CHAINRULE_ASSERT(0 <= lines.lines && lines.lines <= kLines && lines.steps >= 0);
  CHAINRULE_ASSERT(lines.line_stride == 1 || lines.step_stride == 1);
  CHAINRULE_ASSERT(0 < terms && terms <= kMostTerms);
  CHAINRULE_ASSERT(is_there(lines.data, lines.lines * lines.steps));
  CHAINRULE_ASSERT(reinterpret_cast<uintptr_t>(strip) % 64 == 0);
  constexpr int64_t kLanes = Vec<float>::kLanes, kSize = kLines * kBf16Depth;
  static_assert(kSize % kLanes == 0);
  float* to = reinterpret_cast<float*>(strip);
  bool all_finite = true;
  for (int64_t step = 0; step < lines.steps; step += kBf16Depth, to += terms * kSize) {
    alignas(64) float block[kSize];
    gather_block<kLines>(lines, step, block);
    for (int64_t i = 0; i < kSize; i += kLanes) {
      Vec<float> rest = finite_or_zero(Vec<float>::load(block + i), all_finite);
      for (int term = 0; term < terms; ++term) take_term(rest).store(to + term * kSize + i);
    }
  }
  return all_finite;
}

// c += the products of one strip of A and one of B, for kVectors vectors of columns.
template <int kVectors>
void add_tile_product(const float* a, const float* b, int64_t blocks, int terms, float* c) {
  constexpr int64_t kLanes = Vec<float>::kLanes;
  const auto for_tile = [](const auto& body) CHAINRULE_INLINE_LAMBDA {
    unrolled<kBf16Rows>([&](int r) CHAINRULE_INLINE_LAMBDA {
      unrolled<kVectors>([&](int v) CHAINRULE_INLINE_LAMBDA { body(r, v); });
    });
  };
  Vec<float> sums[kBf16Rows][kVectors], even[kBf16Rows][kVectors], odd[kBf16Rows][kVectors];
  for_tile([&](int r, int v) CHAINRULE_INLINE_LAMBDA {
    sums[r][v] = Vec<float>::load(c + r * kRightLines + v * kLanes);
  });
  const auto add_step = [](const float* of_a, const float* of_b,
                           Vec<float>(&chains)[kBf16Rows][kVectors]) CHAINRULE_INLINE_LAMBDA {
    Vec<float> row[kVectors];
    unrolled<kVectors>(
        [&](int v) CHAINRULE_INLINE_LAMBDA { row[v] = Vec<float>::load(of_b + v * kLanes); });
    unrolled<kBf16Rows>([&](int r) CHAINRULE_INLINE_LAMBDA {
      const Vec<float> element = Vec<float>::broadcast(of_a[r]);
      unrolled<kVectors>([&](int v) CHAINRULE_INLINE_LAMBDA {
        chains[r][v] = multiply_add(element, row[v], chains[r][v]);
      });
    });
  };
  for (int64_t block = 0; block < blocks; ++block) {
    for_term_products(terms, [&](const TermProduct& product) CHAINRULE_INLINE_LAMBDA {
      const float* of_a = a + product.a * kLeftLines * kBf16Depth;
      const float* of_b = b + product.b * kRightLines * kBf16Depth;
      for_tile([&](int r, int v)
                   CHAINRULE_INLINE_LAMBDA { even[r][v] = odd[r][v] = Vec<float>::zero(); });
      for (int64_t p = 0; p < kBf16Depth; p += 2) {
        add_step(of_a, of_b, even);
        add_step(of_a + kLeftLines, of_b + kRightLines, odd);
        of_a += 2 * kLeftLines;
        of_b += 2 * kRightLines;
      }
      for_tile([&](int r, int v)
                   CHAINRULE_INLINE_LAMBDA { sums[r][v] = sums[r][v] + (even[r][v] + odd[r][v]); });
    });
    a += terms * kLeftLines * kBf16Depth;
    b += terms * kRightLines * kBf16Depth;
  }
  for_tile([&](int r, int v)
               CHAINRULE_INLINE_LAMBDA { sums[r][v].store(c + r * kRightLines + v * kLanes); });
}

void bf16_product(const Bf16Product& p) {
  CHAINRULE_ASSERT(p.m >= 0 && 0 <= p.n && p.n <= kRightLines && p.blocks >= 0);
  CHAINRULE_ASSERT(0 < p.terms && p.terms <= kMostTerms);
  CHAINRULE_ASSERT(p.m <= 1 || p.c_row_stride >= p.n);
  CHAINRULE_ASSERT(is_there(p.c, p.m * p.n) && is_there(p.a, p.m * p.blocks) &&
                   is_there(p.b, p.n * p.blocks));
  CHAINRULE_ASSERT(reinterpret_cast<uintptr_t>(p.a) % 64 == 0 &&
                   reinterpret_cast<uintptr_t>(p.b) % 64 == 0 && p.a_strip_stride % 64 == 0);
  alignas(64) float c[kLeftLines * kRightLines];
  for (int64_t i = 0; i < p.m; i += kLeftLines) {
    const int64_t rows = p.m - i < kLeftLines ? p.m - i : kLeftLines;
    float* to = p.c + i * p.c_row_stride;
    for (int64_t r = 0; r < kLeftLines; ++r) {
      for (int64_t j = 0; j < kRightLines; ++j) {
        const bool is_there = r < rows && j < p.n;
        c[r * kRightLines + j] = !is_there           ? 0
                                 : p.bias != nullptr ? p.bias[j]
                                 : p.accumulate      ? to[r * p.c_row_stride + j]
                                                     : 0;
      }
    }
    const float* a = reinterpret_cast<const float*>(p.a + i / kLeftLines * p.a_strip_stride);
    const float* b = reinterpret_cast<const float*>(p.b);
    if (p.n > Vec<float>::kLanes) {
      add_tile_product<2>(a, b, p.blocks, p.terms, c);
    } else {
      add_tile_product<1>(a, b, p.blocks, p.terms, c);
    }
    for (int64_t r = 0; r < rows; ++r) {
      for (int64_t j = 0; j < p.n; ++j)
        to[r * p.c_row_stride + j] = one_nan(c[r * kRightLines + j]);
    }
  }
}

constexpr Bf16Kernels kBf16Kernels = {
    kLeftLines,  kRightLines, sizeof(float), false, pack_strip<kLeftLines>, pack_strip<kRightLines>,
    bf16_product};

}  // namespace
}  // namespace chainrule
