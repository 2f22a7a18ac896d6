// Matrix products by register tiles: kTileRows x kPanelVectors vectors of C stay in registers over
// the whole of k; each step of k broadcasts one element of A a row and multiplies it with the
// vectors of B's row. Compiled per variant; called by ops/product.cpp through the table.
//
//   C(i, j) = start(i, j) + sum over p = 0 .. k-1 of A(i, p) B(p, j)
//
// Every element is one chain of multiply_adds in the order of p, so neither the tile nor the
// vector width nor a split of k (continued with `accumulate`) changes a bit.
#pragma once

#include "kernels/loops-inl.hpp"

namespace chainrule {
namespace {

// Registers: avx512 12x2 = 24 accumulators + 2 of B + 1 of A of 32; avx2 6x2 = 12 + 2 + 1 of 16;
// neon 8x2 of 32 leaves room for the loads; baseline 4x2 of 16.
// Sanitizers take minutes to instrument that many tiles, so their builds have fewer.
#if defined(CHAINRULE_TILE_ROWS)
inline constexpr int kTileRows = CHAINRULE_TILE_ROWS;
#elif defined(CHAINRULE_VARIANT_AVX512)
inline constexpr int kTileRows = 12;
#elif defined(CHAINRULE_VARIANT_AVX2)
inline constexpr int kTileRows = 6;
#elif defined(CHAINRULE_VARIANT_NEON)
inline constexpr int kTileRows = 8;
#else
inline constexpr int kTileRows = 4;
#endif
inline constexpr int kPanelVectors = 2;

template <class T>
inline constexpr int64_t kPanelColumns = kPanelVectors * Vec<T>::kLanes;

// Some rows of C again, of which some have NaNs.
template <class T>
CHAINRULE_OUTLINE void store_one_nan(T* c, int64_t row_stride, int64_t rows, int64_t columns) {
  for (int64_t r = 0; r < rows; ++r, c += row_stride) {
    for_vectors<T>(columns, [&](int64_t j, auto lanes) { lanes.store(c + j, lanes.load(c + j)); });
  }
}

// One tile of kRows rows and kVectors vectors, the last of which has p.n - (kVectors - 1) kLanes
// columns when kTail.
template <class T, int kRows, int kVectors, bool kTail>
void tile(const PanelProduct<T>& p, const T* a, T* c) {
  constexpr int64_t kLanes = Vec<T>::kLanes;
  const int64_t last = p.n - (kVectors - 1) * kLanes;
  const auto load = [last](const T* row, int v) CHAINRULE_INLINE_LAMBDA {
    return kTail && v == kVectors - 1 ? Vec<T>::load_partial(row + v * kLanes, last)
                                      : Vec<T>::load(row + v * kLanes);
  };
  // Copies: the compiler would read `p` again after every store.
  const int64_t k = p.k, a_row_stride = p.a_row_stride, a_column_stride = p.a_column_stride;
  const int64_t b_row_stride = p.b_row_stride, c_row_stride = p.c_row_stride;

  Vec<T> sums[kRows][kVectors];
  if (p.bias != nullptr) {
    unrolled<kVectors>([&](int v) CHAINRULE_INLINE_LAMBDA {
      const Vec<T> start = load(p.bias, v);
      unrolled<kRows>([&](int r) CHAINRULE_INLINE_LAMBDA { sums[r][v] = start; });
    });
  } else {
    unrolled<kRows>([&](int r) CHAINRULE_INLINE_LAMBDA {
      unrolled<kVectors>([&](int v) CHAINRULE_INLINE_LAMBDA {
        sums[r][v] = p.accumulate ? load(c + r * c_row_stride, v) : Vec<T>::zero();
      });
    });
  }
  // One pointer for every three rows, which an address reaches as pointer, pointer + stride and
  // pointer + 2 stride: an offset for each row would not fit into the registers that hold
  // addresses.
  constexpr int kGroupRows = 3, kGroups = (kRows + kGroupRows - 1) / kGroupRows;
  const T* groups[kGroups];
  unrolled<kGroups>([&](int g)
                        CHAINRULE_INLINE_LAMBDA { groups[g] = a + kGroupRows * g * a_row_stride; });
  const T* b = p.b;
  for (int64_t step = 0; step < k; ++step) {
    Vec<T> row[kVectors];
    unrolled<kVectors>([&](int v) CHAINRULE_INLINE_LAMBDA { row[v] = load(b, v); });
    unrolled<kRows>([&](int r) CHAINRULE_INLINE_LAMBDA {
      const T* group = groups[r / kGroupRows];
      const Vec<T> element = Vec<T>::broadcast(group[r % kGroupRows * a_row_stride]);
      unrolled<kVectors>([&](int v) CHAINRULE_INLINE_LAMBDA {
        sums[r][v] = multiply_add(element, row[v], sums[r][v]);
      });
    });
    unrolled<kGroups>([&](int g) CHAINRULE_INLINE_LAMBDA { groups[g] += a_column_stride; });
    b += b_row_stride;
  }
  unrolled<kRows>([&](int r) CHAINRULE_INLINE_LAMBDA {
    unrolled<kVectors>([&](int v) CHAINRULE_INLINE_LAMBDA {
      T* to = c + r * c_row_stride + v * kLanes;
      if (kTail && v == kVectors - 1) {
        sums[r][v].store_partial(to, last);
      } else {
        sums[r][v].store(to);
      }
    });
  });
  // Looked for a pair of vectors at a time, which costs less than to store none but the one.
  Mask<T> found = is_nan(sums[0][0], sums[0][kVectors - 1]);
  unrolled<kRows>([&](int r) CHAINRULE_INLINE_LAMBDA {
    if (r > 0) found = found | is_nan(sums[r][0], sums[r][kVectors - 1]);
  });
  if (any(found)) [[unlikely]] {
    store_one_nan(c, c_row_stride, kRows, (kVectors - 1) * kLanes + (kTail ? last : kLanes));
  }
}

// The last rows of a panel: a tile of exactly `rows` < kTileRows rows.
template <class T, int kRows, int kVectors, bool kTail>
void last_rows(const PanelProduct<T>& p, int64_t rows, const T* a, T* c) {
  if constexpr (kRows > 0) {
    if (rows == kRows) {
      tile<T, kRows, kVectors, kTail>(p, a, c);
    } else {
      last_rows<T, kRows - 1, kVectors, kTail>(p, rows, a, c);
    }
  }
}

// Asks for rows of C while the tile before them is computed: in a large C they lie on as many
// pages.
template <class T, int kVectors>
void prefetch_rows(const PanelProduct<T>& p, int64_t first) {
  const int64_t end = first + kTileRows < p.m ? first + kTileRows : p.m;
  for (int64_t i = first; i < end; ++i) {
    for (int v = 0; v < kVectors; ++v) prefetch(p.c + i * p.c_row_stride + v * Vec<T>::kLanes);
  }
}

template <class T, int kVectors, bool kTail>
void panel_rows(const PanelProduct<T>& p) {
  int64_t i = 0;
  for (; i + kTileRows <= p.m; i += kTileRows) {
    prefetch_rows<T, kVectors>(p, i + kTileRows);
    tile<T, kTileRows, kVectors, kTail>(p, p.a + i * p.a_row_stride, p.c + i * p.c_row_stride);
  }
  last_rows<T, kTileRows - 1, kVectors, kTail>(p, p.m - i, p.a + i * p.a_row_stride,
                                               p.c + i * p.c_row_stride);
}

template <class T>
void panel_product(const PanelProduct<T>& p) {
  CHAINRULE_ASSERT(p.m >= 0 && p.k >= 0 && 0 <= p.n && p.n <= kPanelColumns<T>);
  CHAINRULE_ASSERT(p.m <= 1 || p.c_row_stride >= p.n);
  CHAINRULE_ASSERT(is_there(p.a, p.m * p.k) && is_there(p.b, p.k * p.n) &&
                   is_there(p.c, p.m * p.n));
  constexpr int64_t kLanes = Vec<T>::kLanes;
  static_assert(kPanelVectors == 2);
  if (p.n == 2 * kLanes) {
    panel_rows<T, 2, false>(p);
  } else if (p.n > kLanes) {
    panel_rows<T, 2, true>(p);
  } else if (p.n == kLanes) {
    panel_rows<T, 1, false>(p);
  } else if (p.n > 0) {
    panel_rows<T, 1, true>(p);
  }
}

template <class T>
void pack_panel(const T* b, int64_t b_row_stride, int64_t k, int64_t n, T* panel) {
  CHAINRULE_ASSERT(k >= 0 && 0 <= n && n <= kPanelColumns<T>);
  CHAINRULE_ASSERT(is_there(b, k * n) && is_there(panel, k));
  constexpr int64_t kLanes = Vec<T>::kLanes;
  for (int64_t p = 0; p < k; ++p, b += b_row_stride, panel += kPanelColumns<T>) {
    if (n == kPanelColumns<T>) {
      unrolled<kPanelVectors>([&](int v) CHAINRULE_INLINE_LAMBDA {
        Vec<T>::load(b + v * kLanes).store(panel + v * kLanes);
      });
    } else {
      for (int64_t j = 0; j < n; ++j) panel[j] = b[j];
      for (int64_t j = n; j < kPanelColumns<T>; ++j) panel[j] = 0;
    }
  }
}

// Square by square of kLanes rows of b, which become columns of the panel.
template <class T>
void pack_transposed_panel(const T* b, int64_t b_row_stride, int64_t k, int64_t n, T* panel) {
  CHAINRULE_ASSERT(k >= 0 && 0 <= n && n <= kPanelColumns<T>);
  CHAINRULE_ASSERT(is_there(b, k * n) && is_there(panel, k));
  constexpr int64_t kLanes = Vec<T>::kLanes;
  for (int64_t j = 0; j < kPanelColumns<T>; j += kLanes) {
    const int64_t rows = n - j;
    for (int64_t p = 0; p < k; p += kLanes) {
      const T* from = b + j * b_row_stride + p;
      const int64_t steps = k - p;
      Vec<T> square[kLanes];
      if (rows >= kLanes && steps >= kLanes) {
        unrolled<kLanes>([&](int r) CHAINRULE_INLINE_LAMBDA {
          square[r] = Vec<T>::load(from + r * b_row_stride);
        });
      } else {
        const int64_t count = steps < kLanes ? steps : kLanes;
        for (int64_t r = 0; r < kLanes; ++r) {
          square[r] =
              r < rows ? Vec<T>::load_partial(from + r * b_row_stride, count) : Vec<T>::zero();
        }
      }
      transpose(square);
      T* to = panel + p * kPanelColumns<T> + j;
      for (int64_t q = 0; q < kLanes && q < steps; ++q) square[q].store(to + q * kPanelColumns<T>);
    }
  }
}

// Columns by columns of several vectors, so that as many sums run side by side.
template <class T>
void column_sums(const T* x, int64_t rows, int64_t columns, int64_t row_stride, T* sums,
                 bool accumulate) {
  CHAINRULE_ASSERT(rows >= 0 && columns >= 0 && (rows <= 1 || row_stride >= columns));
  CHAINRULE_ASSERT(is_there(x, rows * columns) && is_there(sums, columns));
  CHAINRULE_ASSERT(are_apart(sums, columns, x, rows > 0 ? (rows - 1) * row_stride + columns : 0));
  constexpr int kVectors = kPanelVectors;
  constexpr int64_t kLanes = Vec<T>::kLanes;
  int64_t j = 0;
  for (; j + kVectors * kLanes <= columns; j += kVectors * kLanes) {
    Vec<T> sum[kVectors];
    unrolled<kVectors>([&](int v) CHAINRULE_INLINE_LAMBDA {
      sum[v] = accumulate ? Vec<T>::load(sums + j + v * kLanes) : Vec<T>::zero();
    });
    for (int64_t i = 0; i < rows; ++i) {
      const T* row = x + i * row_stride + j;
      unrolled<kVectors>(
          [&](int v) CHAINRULE_INLINE_LAMBDA { sum[v] = sum[v] + Vec<T>::load(row + v * kLanes); });
    }
    unrolled<kVectors>(
        [&](int v) CHAINRULE_INLINE_LAMBDA { with_one_nan(sum[v]).store(sums + j + v * kLanes); });
  }
  for_vectors<T>(columns - j, [&](int64_t rest, auto lanes) {
    Vec<T> sum = accumulate ? lanes.load(sums + j + rest) : Vec<T>::zero();
    for (int64_t i = 0; i < rows; ++i) sum = sum + lanes.load(x + i * row_stride + j + rest);
    lanes.store(sums + j + rest, sum);
  });
}

}  // namespace
}  // namespace chainrule
