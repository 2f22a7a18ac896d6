#include "ops/dense.hpp"

#include <algorithm>
#include <array>
#include <type_traits>

#include "kernels/registry.hpp"
#include "ops/bf16_product.hpp"
#include "ops/operand.hpp"

namespace chainrule {
namespace {

// Rows of a matrix this far apart share few cache sets, so that a panel read again and again is
// worth packing once several tiles of rows use it.
constexpr int64_t kFarApartBytes = 512, kTilesToGain = 4;

template <class T>
bool is_bf16(Precision precision) {
  return std::is_same_v<T, float> && precision != Precision::kFull;
}

// Elements of the packed panels of B (k x n).
template <class T>
int64_t packed_size(const KernelTable<T>& kernels, Precision precision, int64_t k, int64_t n) {
  return is_bf16<T>(precision) ? bf16_packed_size(*kernels.bf16, precision, k, n)
                               : k * panel_count(kernels, n) * kernels.panel_columns;
}

template <class T>
bool gains_from_packing(const KernelTable<T>& kernels, int64_t rows, int64_t row_stride) {
  return row_stride * int64_t{sizeof(T)} >= kFarApartBytes &&
         rows >= kTilesToGain * kernels.tile_rows;
}

template <class T>
void pack_block(const KernelTable<T>& kernels, const Operand<T>& b, int64_t k, int64_t n,
                T* panel) {
  if (b.column_stride == 1) {
    kernels.pack_panel(b.data, b.row_stride, k, n, panel);
  } else {
    kernels.pack_transposed_panel(b.data, b.column_stride, k, n, panel);
  }
}

// Rows and columns of C, and a stretch of k.
struct Block {
  int64_t row, rows, column, columns, step, steps;
};

// One panel of C's columns, for some rows and a stretch of k. A is that of the block.
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
    pack_block(kernels, {panel.b, b.row_stride, b.column_stride}, steps, columns, packed);
    panel.b = packed;
    panel.b_row_stride = kernels.panel_columns;
  }
  kernels.panel_product(panel);
}

// Rows of A this far apart lie on pages of their own, and where that is a power of two, in the same
// few cache sets: copying a block of them is worth it when many panels use the copy.
constexpr int64_t kPageBytes = 4096, kPanelsToGain = 8;

template <class T>
bool gains_from_copy(const KernelTable<T>& kernels, int64_t m, int64_t n, int64_t a_stride) {
  return a_stride * int64_t{sizeof(T)} >= kPageBytes &&
         n >= kPanelsToGain * kernels.panel_columns && m >= kTilesToGain * kernels.tile_rows;
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
void product(Context& context, Precision precision, int64_t m, int64_t n, int64_t k,
             const Operand<T>& a, const Operand<T>& b, const T* panels, const Result<T>& c) {
  const KernelTable<T>& kernels = context.kernels<T>();
  if (is_bf16<T>(precision)) {
    if constexpr (std::is_same_v<T, float>) {
      bf16_product(context, precision, m, n, k, a, b, panels, c);
    }
    return;
  }
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

namespace {

// Rows of a large weight gradient that make a piece.
constexpr int64_t kGradientRows = 128;
// Of bf16 terms, whole strips in every variant: some sixteen pieces, but of rows enough that
// reading the packed gradient of all outputs for each piece is little beside the products, and no
// more than stay in a second-level cache.
int64_t bf16_gradient_rows(int64_t rows) {
  constexpr int64_t kStrip = 32, kPieces = 16, kFewest = 2, kMost = 8;
  return std::clamp(rows / (kStrip * kPieces), kFewest, kMost) * kStrip;
}
// Rows of a batch whose gradient is packed as bf16 terms at a time; whole blocks of steps, so that
// it changes no bit.
constexpr int64_t kBf16GradientSteps = 4096;
// From so many rows on there are several blocks of them, which use the same packed weight.
constexpr int64_t kBf16RowsToGain = 32;

// A weight gradient of few panels is cut across its rows too, so that threads have pieces enough to
// end at the same time.
constexpr int64_t kFewestPieces = 16;

template <class T>
int64_t input_block_count(const KernelTable<T>& kernels, const DenseShape& shape) {
  const int64_t panels = std::max<int64_t>(1, panel_count(kernels, shape.out_features));
  const int64_t most = shape.in_features / kGradientRows;
  return std::max<int64_t>(1, std::min(most, (kFewestPieces + panels - 1) / panels));
}

// One of the panels of B (k x n), which lie one after the other.
template <class T>
void pack_one(const KernelTable<T>& kernels, Precision precision, const Operand<T>& b, int64_t k,
              int64_t n, int64_t panel, T* panels) {
  if (is_bf16<T>(precision)) {
    if constexpr (std::is_same_v<T, float>) {
      bf16_pack(*kernels.bf16, precision, k, n, b, panel, panels);
    }
    return;
  }
  const int64_t width = kernels.panel_columns, j = panel * width;
  pack_block(kernels, {b.data + j * b.column_stride, b.row_stride, b.column_stride}, k,
             std::min(width, n - j), panels + j * k);
}

// Whether rows of n elements leave a quarter of their one vector empty, or most of a second one:
// then n is at most five eighths of a panel.
template <class T>
bool is_narrow(const KernelTable<T>& kernels, int64_t n) {
  const int64_t width = kernels.panel_columns;
  return 8 * n <= 3 * width || (2 * n > width && 8 * n <= 5 * width);
}

// A block of x^T grad_z as the transpose of one of grad_z^T x, whose rows fill whole vectors, with
// the same chains.
template <class T>
void narrow_weight_gradient(Context& context, const DenseShape& shape, const Block& block,
                            const T* grad_z, const T* x, T* grad_weight, bool continues) {
  const auto [m, k, n, precision] = shape;
  constexpr int64_t kMostColumns = kPanelRowBytes / int64_t{sizeof(T)};
  std::array<T, 5 * kMostColumns / 8 * kMostColumns> rows;
  const int64_t width = context.kernels<T>().panel_columns, end = block.row + block.rows;
  for (int64_t i = block.row; i < end; i += width) {
    const int64_t count = std::min(width, end - i);
    T* to = grad_weight + i * n + block.column;
    for (int64_t r = 0; continues && r < count; ++r) {
      for (int64_t j = 0; j < block.columns; ++j) {
        rows[static_cast<size_t>(j * width + r)] = to[r * n + j];
      }
    }
    product<T>(context, precision, block.columns, count, m, transposed(grad_z + block.column, n),
               matrix(x + i, k), nullptr, {rows.data(), width, nullptr, continues});
    if (context.stop_requested()) return;
    for (int64_t r = 0; r < count; ++r) {
      for (int64_t j = 0; j < block.columns; ++j) {
        to[r * n + j] = rows[static_cast<size_t>(j * width + r)];
      }
    }
  }
}

}  // namespace

template <class T>
int64_t panel_count(const KernelTable<T>& kernels, int64_t columns) {
  return (columns + kernels.panel_columns - 1) / kernels.panel_columns;
}

template <class T>
int64_t panels_size(const KernelTable<T>& kernels, const DenseShape& shape) {
  return packed_size(kernels, shape.precision, shape.in_features, shape.out_features);
}

template <class T>
int64_t transposed_panels_size(const KernelTable<T>& kernels, const DenseShape& shape) {
  return packed_size(kernels, shape.precision, shape.out_features, shape.in_features);
}

template <class T>
bool gains_from_panels(const KernelTable<T>& kernels, const DenseShape& shape) {
  if (is_bf16<T>(shape.precision)) return shape.batch_size >= kBf16RowsToGain;
  return gains_from_packing(kernels, shape.batch_size, shape.out_features);
}

template <class T>
void pack_weight(const KernelTable<T>& kernels, const DenseShape& shape, const T* weight,
                 int64_t panel, T* panels) {
  pack_one(kernels, shape.precision, matrix(weight, shape.out_features), shape.in_features,
           shape.out_features, panel, panels);
}

template <class T>
void pack_transposed_weight(const KernelTable<T>& kernels, const DenseShape& shape, const T* weight,
                            int64_t panel, T* panels) {
  pack_one(kernels, shape.precision, transposed(weight, shape.out_features), shape.out_features,
           shape.in_features, panel, panels);
}

template <class T>
void dense_forward(Context& context, const DenseShape& shape, const T* x, const Weight<T>& weight,
                   const T* bias, Activation activation, T parameter, T* preactivation, T* y) {
  const auto [m, k, n, precision] = shape;
  const KernelTable<T>& kernels = context.kernels<T>();
  T* z = preactivation != nullptr ? preactivation : y;
  if (n == 1 && m >= kernels.panel_columns && !is_bf16<T>(precision)) {
    // As a row: z^T = b + w^T x^T fills whole vectors, with the same chains.
    std::fill_n(z, m, bias != nullptr ? *bias : T{0});
    product<T>(context, precision, 1, m, k, matrix(weight.data, k), transposed(x, k), nullptr,
               {z, m, nullptr, true});
  } else {
    product<T>(context, precision, m, n, k, matrix(x, k), matrix(weight.data, n), weight.panels,
               {z, n, bias});
  }
  if (activation != Activation::identity || z != y) {
    kernels.activations[static_cast<int>(activation)].forward(z, y, m * n, parameter);
  }
}

template <class T>
void dense_input_gradient(Context& context, const DenseShape& shape, const T* grad_z,
                          const Weight<T>& weight, T* grad_x) {
  const auto [m, k, n, precision] = shape;
  product<T>(context, precision, m, k, n, matrix(grad_z, n), transposed(weight.data, n),
             weight.transposed_panels, {grad_x, k});
}

template <class T>
int64_t gradient_piece_count(const KernelTable<T>& kernels, const DenseShape& shape) {
  return panel_count(kernels, shape.out_features) * input_block_count(kernels, shape);
}

template <class T>
void dense_parameter_gradients(Context& context, const DenseShape& shape, int64_t piece,
                               const T* grad_z, const T* x, T* grad_weight, T* grad_bias,
                               bool continues) {
  const auto [m, k, n, precision] = shape;
  const KernelTable<T>& kernels = context.kernels<T>();
  // Panel after panel of the same inputs, which are then close.
  const int64_t panels = panel_count(kernels, n), count = input_block_count(kernels, shape);
  const int64_t rows = (k + count - 1) / count, row = piece / panels * rows;
  const int64_t column = piece % panels * kernels.panel_columns;
  const Block block{
      row, std::min(rows, k - row), column, std::min(kernels.panel_columns, n - column), 0, m};
  if (grad_bias != nullptr && row == 0) {
    kernels.column_sums(grad_z + column, m, block.columns, n, grad_bias + column, continues);
  }
  if (grad_weight == nullptr) return;
  if (is_narrow(kernels, block.columns)) {
    narrow_weight_gradient(context, shape, block, grad_z, x, grad_weight, continues);
  } else {
    product<T>(context, precision, block.rows, block.columns, m, transposed(x + row, k),
               matrix(grad_z + column, n), nullptr,
               {grad_weight + row * n + column, n, nullptr, continues});
  }
}

template <class T>
int64_t gradient_panels_size(const KernelTable<T>& kernels, const DenseShape& shape) {
  const auto [m, k, n, precision] = shape;
  if (is_bf16<T>(precision)) {
    return packed_size(kernels, precision, std::min(m, kBf16GradientSteps), n);
  }
  const int64_t size = packed_size(kernels, precision, m, n);
  const bool fits = size * int64_t{sizeof(T)} <= kMaxPanelBytes;
  return fits && gains_from_copy(kernels, k, n, k) ? size : 0;
}

template <class T>
void dense_parameter_gradients(Team& team, const DenseShape& shape, const T* grad_z, const T* x,
                               T* panels, T* grad_weight, T* grad_bias, bool continues) {
  const auto [m, k, n, precision] = shape;
  const KernelTable<T>& kernels = team.kernels<T>();
  const int64_t width = kernels.panel_columns;
  const int64_t most_steps = is_bf16<T>(precision) ? kBf16GradientSteps : m;
  const int64_t piece = is_bf16<T>(precision) ? bf16_gradient_rows(k) : kGradientRows;
  int64_t done = 0;
  do {  // once for a batch of no rows too, to write the start
    const int64_t steps = std::min(most_steps, m - done);
    const T *g = grad_z + done * n, *inputs = x + done * k;
    const bool goes_on = continues || done > 0;
    team.run(panel_count(kernels, n), steps * n * kElementWork,
             [&](Context& context, int64_t panel) {
               if (grad_bias != nullptr) {
                 const int64_t first = panel * width;
                 kernels.column_sums(g + first, steps, std::min(width, n - first), n,
                                     grad_bias + first, goes_on);
               }
               pack_one(kernels, precision, matrix(g, n), steps, n, panel, panels);
               context.stop_requested(steps * width * kElementWork);
             });
    team.run((k + piece - 1) / piece, steps * n * k, [&](Context& context, int64_t block) {
      const int64_t first = block * piece;
      product<T>(context, precision, std::min(piece, k - first), n, steps,
                 transposed(inputs + first, k), matrix(g, n), panels,
                 {grad_weight + first * n, n, nullptr, goes_on});
    });
    done += steps;
  } while (done < m && !team.interrupt().is_stopped());
}

template <class T>
void dense_forward(Team& team, const DenseShape& shape, const T* x, const T* weight, const T* bias,
                   Activation activation, T parameter, T* preactivation, T* y) {
  const auto [m, k, n, precision] = shape;
  const KernelTable<T>& kernels = team.kernels<T>();
  AlignedBuffer<T> panels;
  const int64_t size = panels_size(kernels, shape);
  if (gains_from_panels(kernels, shape) &&
      has_room_for_panels(precision, size * int64_t{sizeof(T)})) {
    panels = AlignedBuffer<T>(size);
    team.run(panel_count(kernels, n), k * n * kElementWork, [&](Context&, int64_t panel) {
      pack_weight(kernels, shape, weight, panel, panels.data());
    });
  }
  const Weight<T> packed{weight, panels.data()};
  for_row_blocks(team, m, k * n * int64_t{sizeof(T)}, m * n * (k + kElementWork),
                 [&](Context& context, RowRange rows) {
                   T* z = preactivation == nullptr ? nullptr : preactivation + rows.first * n;
                   dense_forward(context, {rows.count, k, n, precision}, x + rows.first * k, packed,
                                 bias, activation, parameter, z, y + rows.first * n);
                 });
}

template <class T>
void dense_backward(Team& team, const DenseShape& shape, const T* grad_z, const T* x,
                    const T* weight, T* grad_x, T* grad_weight, T* grad_bias) {
  const auto [m, k, n, precision] = shape;
  const KernelTable<T>& kernels = team.kernels<T>();
  const int64_t gradient_size = gradient_panels_size(kernels, shape);
  if (grad_weight != nullptr && gradient_size > 0) {
    AlignedBuffer<T> gradient_panels(gradient_size);
    dense_parameter_gradients(team, shape, grad_z, x, gradient_panels.data(), grad_weight,
                              grad_bias);
  } else {
    team.run(gradient_piece_count(kernels, shape), m * n * (k + kElementWork),
             [&](Context& context, int64_t piece) {
               dense_parameter_gradients(context, shape, piece, grad_z, x, grad_weight, grad_bias);
             });
  }
  if (grad_x == nullptr) return;
  AlignedBuffer<T> panels;
  const int64_t size = transposed_panels_size(kernels, shape);
  if (m > 1 && has_room_for_panels(precision, size * int64_t{sizeof(T)})) {
    panels = AlignedBuffer<T>(size);
    team.run(panel_count(kernels, k), k * n * kElementWork, [&](Context&, int64_t panel) {
      pack_transposed_weight(kernels, shape, weight, panel, panels.data());
    });
  }
  const Weight<T> packed{weight, nullptr, panels.data()};
  for_row_blocks(team, m, k * n * int64_t{sizeof(T)}, m * n * k,
                 [&](Context& context, RowRange rows) {
                   dense_input_gradient(context, {rows.count, k, n, precision},
                                        grad_z + rows.first * n, packed, grad_x + rows.first * k);
                 });
}

#define CHAINRULE_INSTANTIATE(T)                                                                   \
  template void product(Context&, Precision, int64_t, int64_t, int64_t, const Operand<T>&,         \
                        const Operand<T>&, const T*, const Result<T>&);                            \
  template int64_t panel_count(const KernelTable<T>&, int64_t);                                    \
  template int64_t panels_size(const KernelTable<T>&, const DenseShape&);                          \
  template int64_t transposed_panels_size(const KernelTable<T>&, const DenseShape&);               \
  template bool gains_from_panels(const KernelTable<T>&, const DenseShape&);                       \
  template void pack_weight(const KernelTable<T>&, const DenseShape&, const T*, int64_t, T*);      \
  template void pack_transposed_weight(const KernelTable<T>&, const DenseShape&, const T*,         \
                                       int64_t, T*);                                               \
  template void dense_forward(Context&, const DenseShape&, const T*, const Weight<T>&, const T*,   \
                              Activation, T, T*, T*);                                              \
  template void dense_input_gradient(Context&, const DenseShape&, const T*, const Weight<T>&, T*); \
  template int64_t gradient_piece_count(const KernelTable<T>&, const DenseShape&);                 \
  template void dense_parameter_gradients(Context&, const DenseShape&, int64_t, const T*,          \
                                          const T*, T*, T*, bool);                                 \
  template int64_t gradient_panels_size(const KernelTable<T>&, const DenseShape&);                 \
  template void dense_parameter_gradients(Team&, const DenseShape&, const T*, const T*, T*, T*,    \
                                          T*, bool);                                               \
  template void dense_forward(Team&, const DenseShape&, const T*, const T*, const T*, Activation,  \
                              T, T*, T*);                                                          \
  template void dense_backward(Team&, const DenseShape&, const T*, const T*, const T*, T*, T*, T*);
CHAINRULE_INSTANTIATE(float)
CHAINRULE_INSTANTIATE(double)
#undef CHAINRULE_INSTANTIATE

}  // namespace chainrule
