// Products of matrices: how one is cut into panels and blocks, and what is packed or copied first.
// Called by ops/dense.cpp and network/orthogonal.cpp; calls a variant's kernels.
//
// C (m x n) = start + A (m x k) B (k x n). C aliases neither A nor B. An element of C is one chain
// over k, whatever the cut: blocking, packing and copying change no bit, and neither does computing
// a product in several calls, by rows or columns of C or, of elements, by stretches of k whose
// results continue each other. Everything stops early, C unfinished, when the context says so.
#pragma once

#include <cstdint>

#include "ops/operand.hpp"
#include "ops/packed_operand.hpp"
#include "ops/precision.hpp"
#include "ops/team.hpp"

namespace chainrule {

struct ProductShape {
  int64_t m, n, k;
  Precision precision = Precision::kFull;  // not kAuto
};

// A and B are matrices or transposed ones. `packed` is B packed, or null: then B is packed where
// that pays, panel by panel.
template <class T>
void product(Context& context, const ProductShape& shape, const Operand<T>& a, const Operand<T>& b,
             const Result<T>& c, const PackedOperand<T>* packed = nullptr);

// The same by way of C^T = B^T A^T, for a C of at most kMostNarrowColumns whose rows would leave
// vectors empty but whose columns fill them. Of elements, not of bf16 terms.
template <class T>
void narrow_product(Context& context, const ProductShape& shape, const Operand<T>& a,
                    const Operand<T>& b, const Result<T>& c);

// Five eighths of the widest panel.
template <class T>
inline constexpr int64_t kMostNarrowColumns = 5 * kPanelRowBytes / (8 * int64_t{sizeof(T)});

// Whether rows of n elements leave a quarter of their one vector empty, or most of a second one:
// then n is at most five eighths of a panel.
template <class T>
bool is_narrow(const KernelTable<T>& kernels, int64_t n) {
  const int64_t width = kernels.panel_columns;
  return 8 * n <= 3 * width || (2 * n > width && 8 * n <= 5 * width);
}

// Whether `rows` rows of C make up for packing a B whose rows lie so far apart, in elements.
template <class T>
bool gains_from_packing(const KernelTable<T>& kernels, int64_t rows, int64_t row_stride);

// Whether a product (m x n) copies blocks of an A whose rows, or columns, lie so far apart.
template <class T>
bool gains_from_copy(const KernelTable<T>& kernels, int64_t m, int64_t n, int64_t a_stride);

// Packs all of B (k x n), the work divided among a team.
template <class T>
void pack(Team& team, Precision precision, int64_t k, int64_t n, const Operand<T>& b,
          PackedOperand<T>& packed);

}  // namespace chainrule
