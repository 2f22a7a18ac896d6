#include "ops/bf16_product.hpp"

#include <algorithm>
#include <cmath>

#include "base/one_nan.hpp"
#include "kernels/registry.hpp"

namespace chainrule {
namespace {

int64_t blocks_of(int64_t steps) { return (steps + kBf16Depth - 1) / kBf16Depth; }
int64_t strips_of(int64_t lines, int64_t strip_lines) {
  return (lines + strip_lines - 1) / strip_lines;
}
int64_t block_bytes(const Bf16Kernels& kernels, Precision precision, int64_t lines) {
  return lines * kBf16Depth * term_count(precision) * kernels.element_bytes;
}

// How a product is cut: into stretches of k, and rows of A, whose strips over such a stretch stay
// in a second-level cache beside a strip of B.
struct Cut {
  int64_t blocks, rows;

  Cut(const Bf16Kernels& kernels, Precision precision, int64_t m, int64_t k) {
    const int64_t of_b = block_bytes(kernels, precision, kernels.right_lines);
    blocks = std::clamp(kBf16StripBytes / of_b, int64_t{1}, std::max(blocks_of(k), int64_t{1}));
    const int64_t of_a = block_bytes(kernels, precision, kernels.left_lines);
    const int64_t strips = std::max(kBf16LeftBytes / (blocks * of_a), int64_t{1});
    rows = std::min(strips, strips_of(m, kernels.left_lines)) * kernels.left_lines;
  }
};

Bf16Lines rows_of(const Operand<float>& a, int64_t row, int64_t rows, int64_t step, int64_t steps) {
  return {a.data + row * a.row_stride + step * a.column_stride, a.row_stride, a.column_stride, rows,
          steps};
}
Bf16Lines columns_of(const Operand<float>& b, int64_t column, int64_t columns, int64_t step,
                     int64_t steps) {
  return {b.data + step * b.row_stride + column * b.column_stride, b.column_stride, b.row_stride,
          columns, steps};
}

// The products that were left out, in the order of k. None of their sums is finite, so that it does
// not matter what else was added before.
void add_not_finite(int64_t m, int64_t n, int64_t k, const Operand<float>& a,
                    const Operand<float>& b, float* c, int64_t c_row_stride) {
  const auto element = [](const Operand<float>& of, int64_t i, int64_t j) {
    return of.data[i * of.row_stride + j * of.column_stride];
  };
  for (int64_t p = 0; p < k; ++p) {
    for (int64_t i = 0; i < m; ++i) {
      const float left = element(a, i, p);
      if (std::isfinite(left)) continue;
      for (int64_t j = 0; j < n; ++j) c[i * c_row_stride + j] += left * element(b, p, j);
    }
    for (int64_t j = 0; j < n; ++j) {
      const float right = element(b, p, j);
      if (std::isfinite(right)) continue;
      for (int64_t i = 0; i < m; ++i) {
        const float left = element(a, i, p);
        if (std::isfinite(left)) c[i * c_row_stride + j] += left * right;
      }
    }
  }
  for (int64_t i = 0; i < m; ++i) {
    for (int64_t j = 0; j < n; ++j) c[i * c_row_stride + j] = one_nan(c[i * c_row_stride + j]);
  }
}

}  // namespace

int64_t bf16_strip_bytes(const Bf16Kernels& kernels, Precision precision, int64_t k) {
  return blocks_of(k) * block_bytes(kernels, precision, kernels.right_lines);
}

bool bf16_pack(const Bf16Kernels& kernels, Precision precision, const Operand<float>& b, int64_t k,
               int64_t n, std::byte* strip) {
  return kernels.pack_right(columns_of(b, 0, n, 0, k), term_count(precision), strip);
}

void bf16_product(Context& context, Precision precision, int64_t m, int64_t n, int64_t k,
                  const Operand<float>& a, const Operand<float>& b,
                  const PackedOperand<float>* packed, const Result<float>& c) {
  const Bf16Kernels& kernels = *context.kernels<float>().bf16;
  const Cut cut(kernels, precision, m, k);
  const int terms = term_count(precision);
  const int64_t width = kernels.right_lines;
  const int64_t right_bytes = block_bytes(kernels, precision, width);
  const int64_t left_bytes = block_bytes(kernels, precision, kernels.left_lines);
  std::byte* left = context.bf16_left();
  bool all_finite = true;
  for (int64_t i = 0; i < m; i += cut.rows) {
    const int64_t rows = std::min(cut.rows, m - i);
    int64_t block = 0;
    do {  // once for k = 0 too, to write the start
      const int64_t step = block * kBf16Depth;
      const int64_t steps = std::min(cut.blocks * kBf16Depth, k - step);
      const int64_t blocks = blocks_of(steps);
      for (int64_t r = 0; r < rows; r += kernels.left_lines) {
        const int64_t lines = std::min(kernels.left_lines, rows - r);
        all_finite &= kernels.pack_left(rows_of(a, i + r, lines, step, steps), terms,
                                        left + r / kernels.left_lines * blocks * left_bytes);
      }
      for (int64_t j = 0; j < n; j += width) {
        const int64_t columns = std::min(width, n - j);
        const std::byte* right = nullptr;
        if (packed != nullptr) {
          right = packed->strip(j / width) + block * right_bytes;
        } else {
          all_finite &= kernels.pack_right(columns_of(b, j, columns, step, steps), terms,
                                           context.bf16_right());
          right = context.bf16_right();
        }
        kernels.product({rows, columns, blocks, terms, left, blocks * left_bytes, right,
                         c.data + i * c.row_stride + j, c.row_stride,
                         block == 0 && c.bias != nullptr ? c.bias + j : nullptr,
                         c.continues || block > 0});
        if (context.stop_requested(rows * columns * steps)) return;
      }
      block += cut.blocks;
    } while (block * kBf16Depth < k);
  }
  if (packed != nullptr) all_finite &= packed->is_finite();
  if (!all_finite) add_not_finite(m, n, k, a, b, c.data, c.row_stride);
}

}  // namespace chainrule
