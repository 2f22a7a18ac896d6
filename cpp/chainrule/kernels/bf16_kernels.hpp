// The contracts of products of float32 matrices as sums of products of bf16 terms: what every
// variant implements. Filled by kernels/variant.cpp and kernels/tiles.cpp, called by
// ops/bf16_product.cpp. The rules of kernels/kernel_table.hpp hold.
//
// A number x becomes terms x1 + x2 + x3, each the bf16 nearest to what the terms before it leave,
// and a product of numbers becomes some products of their terms, in the order of kTermProducts.
// Steps of k are taken in blocks of kBf16Depth; missing steps of the last block count as 0. For
// each block and each product of terms, an element of C gets
//
//   even = one chain of FMAs from 0 over the block's even steps, odd = one over its odd steps,
//   C(i, j) = C(i, j) + (even + odd),
//
// every operation rounded to nearest even and denormals flushed. That is the instruction TDPBF16PS
// of AMX (Intel's manual, volume 2); other variants compute the same with FMAs. Every variant
// with FMA therefore gives the same bits.
#pragma once

#include <cstddef>
#include <cstdint>

namespace chainrule {

inline constexpr int64_t kBf16Depth = 32;
inline constexpr int kMostTerms = 3;

// Which terms of A and of B are multiplied, from 0: an order in which a tile that was loaded for
// one product serves the next one too. Of internal linkage: a shared copy would be a symbol of
// every variant.
struct TermProduct {
  int a, b;
};
constexpr TermProduct kTermProducts1[] = {{0, 0}};
constexpr TermProduct kTermProducts2[] = {{1, 0}, {0, 0}, {0, 1}};
constexpr TermProduct kTermProducts3[] = {{2, 0}, {1, 0}, {1, 1}, {0, 1}, {0, 0}, {0, 2}};

// Lines of an operand, that is rows of A or columns of B: element p of line l is
// data[l * line_stride + p * step_stride], and one of the strides is 1.
struct Bf16Lines {
  const float* data;
  int64_t line_stride, step_stride;
  int64_t lines, steps;
};

// C (m x n) = start + A B for some rows and n <= right_lines columns, over `blocks` blocks of
// steps.
struct Bf16Product {
  int64_t m, n, blocks;
  int terms;
  const std::byte* a;  // strips of left_lines rows each, a_strip_stride bytes apart
  int64_t a_strip_stride;
  const std::byte* b;  // one strip of right_lines columns
  float* c;            // C(i, j) = c[i * c_row_stride + j]; aliases neither A nor B
  int64_t c_row_stride;
  const float* bias;  // start(i, j) = bias[j] when given
  bool accumulate;    // else start(i, j) = C(i, j) when set, else 0
};

struct Bf16Kernels {
  // Lines of A or of B in a strip. A strip has a block for every kBf16Depth steps; in a block, one
  // after the other, `terms` parts of lines x kBf16Depth elements of element_bytes. right_lines is
  // the table's panel_columns.
  int64_t left_lines, right_lines, element_bytes;
  bool uses_tiles;  // of AMX
  // Packs up to left_lines (right_lines) lines with all their steps into a 64-byte aligned strip.
  // Missing lines and steps are 0, and so are elements that are not finite. Returns whether all
  // were finite.
  bool (*pack_left)(const Bf16Lines& lines, int terms, std::byte* strip);
  bool (*pack_right)(const Bf16Lines& lines, int terms, std::byte* strip);
  void (*product)(const Bf16Product&);
};

}  // namespace chainrule
