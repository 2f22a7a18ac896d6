#include "ops/product.hpp"

#include <algorithm>
#include <array>

#include "ops/bf16_product.hpp"

namespace chainrule {
namespace {

// Rows of a matrix this far apart share few cache sets, so that a panel read again and again is
// worth packing once several tiles of rows use it.
constexpr int64_t kFarApartBytes = 512, kTilesToGain = 4;

// Rows of A this far apart lie on pages of their own, and where that is a power of two, in the same
// few cache sets: copying a block of them is worth it when many panels use the copy.
constexpr int64_t kPageBytes = 4096, kPanelsToGain = 8;

}  // namespace

template <class T>
bool gains_from_packing(const KernelTable<T>& kernels, int64_t rows, int64_t row_stride) {
  return row_stride * int64_t{sizeof(T)} >= kFarApartBytes &&
         rows >= kTilesToGain * kernels.tile_rows;
}

template <class T>
bool gains_from_copy(const KernelTable<T>& kernels, int64_t m, int64_t n, int64_t a_stride) {
  return a_stride * int64_t{sizeof(T)} >= kPageBytes &&
         n >= kPanelsToGain * kernels.panel_columns && m >= kTilesToGain * kernels.tile_rows;
}

namespace {

template <class T>
void assert_multiplies(const ProductShape& shape, const Operand<T>& a, const Operand<T>& b,
                       const Result<T>& c) {
  const auto [m, n, k, precision] = shape;
  CHAINRULE_ASSERT(m >= 0 && n >= 0 && k >= 0 && precision != Precision::kAuto);
  CHAINRULE_ASSERT(is_valid(a, m, k) && is_valid(b, k, n) && is_valid(c, m, n));
  CHAINRULE_ASSERT(is_apart(c, m, n, a, m, k) && is_apart(c, m, n, b, k, n));
}

// Rows and columns of C, and a stretch of k.
struct Block {
  int64_t row, rows, column, columns, step, steps;
};

// Computes one panel of C's columns, for some rows and a stretch of k. `a` starts at the block.
template <class T>
void panel_block(Context& context, const Block& block, int64_t k, const Operand<T>& a,
                 const Operand<T>& b, const T* panels, bool packs, const Result<T>& c) {
  const KernelTable<T>& kernels = context.kernels<T>();
  const auto [row, rows, column, columns, step, steps] = block;
  PanelProduct<T> panel{rows,
                        columns,
                        steps,
                        a.data,
                        a.row_stride,
                        a.column_stride,
                        b.data + step * b.row_stride + column * b.column_stride,
                        b.row_stride,
                        c.data + row * c.row_stride + column,
                        c.row_stride,
                        step == 0 && c.bias != nullptr ? c.bias + column : nullptr,
                        c.continues || step > 0};
  if (panels != nullptr) {
    panel.b = panels + column * k + step * kernels.panel_columns;
    panel.b_row_stride = kernels.panel_columns;
  } else if (packs) {
    T* packed = context.panel<T>();
    pack_panel(kernels, {panel.b, b.row_stride, b.column_stride}, steps, columns, packed);
    panel.b = packed;
    panel.b_row_stride = kernels.panel_columns;
  }
  kernels.panel_product(panel);
}

// Copies A's elements so that rows (columns, of a transpose) lie one after the other and padded.
template <class T>
Operand<T> copy_block(const Operand<T>& a, int64_t rows, int64_t steps, T* to) {
  constexpr int64_t kPad = kBlockPadBytes / int64_t{sizeof(T)};
  const bool is_transposed = a.row_stride == 1;
  const int64_t lines = is_transposed ? steps : rows, length = is_transposed ? rows : steps;
  const int64_t from_stride = is_transposed ? a.column_stride : a.row_stride;
  const int64_t stride = length + kPad;
  for (int64_t i = 0; i < lines; ++i) {
    std::copy_n(a.data + i * from_stride, length, to + i * stride);
  }
  return is_transposed ? transposed(to, stride) : matrix(to, stride);
}

// The product by copied blocks of A, each of which stays in a second-level cache for all of C's
// columns.
template <class T>
void blocked_product(Context& context, int64_t m, int64_t n, int64_t k, const Operand<T>& a,
                     const Operand<T>& b, const T* panels, const Result<T>& c) {
  const int64_t width = context.kernels<T>().panel_columns;
  const int64_t most_rows = kBlockBytes / (kDepthBlock * int64_t{sizeof(T)});
  for (int64_t p = 0; p < k; p += kDepthBlock) {
    const int64_t steps = std::min(kDepthBlock, k - p);
    for (int64_t i = 0; i < m; i += most_rows) {
      const int64_t rows = std::min(most_rows, m - i);
      const Operand<T> corner{a.data + i * a.row_stride + p * a.column_stride, a.row_stride,
                              a.column_stride};
      const Operand<T> copy = copy_block(corner, rows, steps, context.block<T>());
      for (int64_t j = 0; j < n; j += width) {
        panel_block(context, {i, rows, j, std::min(width, n - j), p, steps}, k, copy, b, panels,
                    true, c);
        if (context.stop_requested(rows * width * steps)) return;
      }
    }
  }
}

}  // namespace

// Panel by panel of C's columns, and within it by blocks of k, whose chains continue where the last
// block's ended, so that blocking changes no bit. A transposed panel is always packed.
template <class T>
void product(Context& context, const ProductShape& shape, const Operand<T>& a, const Operand<T>& b,
             const Result<T>& c, const PackedOperand<T>* packed) {
  const auto [m, n, k, precision] = shape;
  const KernelTable<T>& kernels = context.kernels<T>();
  assert_multiplies(shape, a, b, c);
  CHAINRULE_ASSERT(packed == nullptr || packed->is_for(kernels, shape.precision, shape.k, shape.n));
  if constexpr (has_bf16<T>) {
    if (is_bf16<T>(precision)) {
      bf16_product(context, precision, m, n, k, a, b, packed, c);
      return;
    }
  }
  const T* panels = packed != nullptr ? packed->panels() : nullptr;
  if (k > 0 && gains_from_copy(kernels, m, n, std::max(a.row_stride, a.column_stride))) {
    blocked_product(context, m, n, k, a, b, panels, c);
    return;
  }
  const int64_t width = kernels.panel_columns;
  const bool packs = b.column_stride != 1 || gains_from_packing(kernels, m, b.row_stride);
  for (int64_t j = 0; j < n; j += width) {
    const int64_t columns = std::min(width, n - j);
    int64_t p = 0;
    do {  // once for k = 0 too, to write the start
      const int64_t steps = std::min(kDepthBlock, k - p);
      panel_block(context, {0, m, j, columns, p, steps}, k,
                  {a.data + p * a.column_stride, a.row_stride, a.column_stride}, b, panels, packs,
                  c);
      p += steps;
      if (context.stop_requested(m * columns * steps)) return;
    } while (p < k);
  }
}

template <class T>
void narrow_product(Context& context, const ProductShape& shape, const Operand<T>& a,
                    const Operand<T>& b, const Result<T>& c) {
  const auto [m, n, k, precision] = shape;
  assert_multiplies(shape, a, b, c);
  CHAINRULE_ASSERT(shape.n <= kMostNarrowColumns<T> && !is_bf16<T>(shape.precision));
  if (c.row_stride == 1) {  // one column: C^T is there already
    const bool has_bias = c.bias != nullptr;
    if (has_bias) std::fill_n(c.data, m, *c.bias);
    product<T>(context, {n, m, k}, transposed(b), transposed(a),
               {c.data, m, nullptr, has_bias || c.continues});
    return;
  }
  constexpr int64_t kMostWidth = kPanelRowBytes / int64_t{sizeof(T)};
  std::array<T, kMostNarrowColumns<T> * kMostWidth> rows;  // of C^T
  const int64_t width = context.kernels<T>().panel_columns;
  const bool has_start = c.bias != nullptr || c.continues;
  for (int64_t i = 0; i < m; i += width) {
    const int64_t count = std::min(width, m - i);
    T* to = c.data + i * c.row_stride;
    for (int64_t r = 0; has_start && r < count; ++r) {
      const T* start = c.bias != nullptr ? c.bias : to + r * c.row_stride;
      for (int64_t j = 0; j < n; ++j) rows[static_cast<size_t>(j * width + r)] = start[j];
    }
    product<T>(context, {n, count, k}, transposed(b), transposed(rows_from(a, i)),
               {rows.data(), width, nullptr, has_start});
    if (context.stop_requested()) return;
    for (int64_t r = 0; r < count; ++r) {
      for (int64_t j = 0; j < n; ++j) {
        to[r * c.row_stride + j] = rows[static_cast<size_t>(j * width + r)];
      }
    }
  }
}

template <class T>
void pack(Team& team, Precision precision, int64_t k, int64_t n, const Operand<T>& b,
          PackedOperand<T>& packed) {
  const KernelTable<T>& kernels = team.kernels<T>();
  packed.reserve(kernels, precision, k, n);
  team.run(packed.panel_count(), k * n * kElementWork,
           [&](Context&, int64_t panel) { packed.pack(kernels, b, panel); });
}

#define CHAINRULE_INSTANTIATE(T)                                                             \
  template void product(Context&, const ProductShape&, const Operand<T>&, const Operand<T>&, \
                        const Result<T>&, const PackedOperand<T>*);                          \
  template void narrow_product(Context&, const ProductShape&, const Operand<T>&,             \
                               const Operand<T>&, const Result<T>&);                         \
  template bool gains_from_packing(const KernelTable<T>&, int64_t, int64_t);                 \
  template bool gains_from_copy(const KernelTable<T>&, int64_t, int64_t, int64_t);           \
  template void pack(Team&, Precision, int64_t, int64_t, const Operand<T>&, PackedOperand<T>&);
CHAINRULE_INSTANTIATE(float)
CHAINRULE_INSTANTIATE(double)
#undef CHAINRULE_INSTANTIATE

}  // namespace chainrule
