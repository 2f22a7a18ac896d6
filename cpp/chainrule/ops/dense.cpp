#include "ops/dense.hpp"

#include <algorithm>

namespace chainrule {
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

void assert_shape(const DenseShape& shape) {
  CHAINRULE_ASSERT(shape.batch_size >= 0 && shape.in_features >= 0 && shape.out_features >= 0);
  CHAINRULE_ASSERT(shape.precision != Precision::kAuto);
}

template <class T>
void assert_forward(const DenseShape& shape, const T* x, const T* weight, const T* y) {
  assert_shape(shape);
  const auto [m, k, n, precision] = shape;
  CHAINRULE_ASSERT(are_apart(y, m * n, x, m * k) && are_apart(y, m * n, weight, k * n));
}

template <class T>
int64_t input_block_count(const KernelTable<T>& kernels, const DenseShape& shape) {
  const int64_t panels = std::max<int64_t>(1, panel_count(kernels, shape.out_features));
  const int64_t most = shape.in_features / kGradientRows;
  return std::max<int64_t>(1, std::min(most, (kFewestPieces + panels - 1) / panels));
}

}  // namespace

template <class T>
bool gains_from_panels(const KernelTable<T>& kernels, const DenseShape& shape) {
  if (is_bf16<T>(shape.precision)) return shape.batch_size >= kBf16RowsToGain;
  return gains_from_packing(kernels, shape.batch_size, shape.out_features);
}

template <class T>
void dense_forward(Context& context, const DenseShape& shape, const T* x, const Weight<T>& weight,
                   const T* bias, Activation activation, T parameter, T* preactivation, T* y) {
  const auto [m, k, n, precision] = shape;
  assert_forward(shape, x, weight.data, y);
  assert_forward(shape, x, weight.data, preactivation != nullptr ? preactivation : y);
  const KernelTable<T>& kernels = context.kernels<T>();
  T* z = preactivation != nullptr ? preactivation : y;
  if (n == 1 && m >= kernels.panel_columns && !is_bf16<T>(precision)) {
    narrow_product<T>(context, {m, n, k}, matrix(x, k), matrix(weight.data, n), {z, n, bias});
  } else {
    product<T>(context, {m, n, k, precision}, matrix(x, k), matrix(weight.data, n), {z, n, bias},
               weight.panels);
  }
  if (activation != Activation::identity || z != y) {
    kernels.activations[static_cast<int>(activation)].forward(z, y, m * n, parameter);
  }
}

template <class T>
void dense_input_gradient(Context& context, const DenseShape& shape, const T* grad_z,
                          const Weight<T>& weight, T* grad_x) {
  assert_shape(shape);
  const auto [m, k, n, precision] = shape;
  product<T>(context, {m, k, n, precision}, matrix(grad_z, n), transposed(weight.data, n),
             {grad_x, k}, weight.transposed_panels);
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
  assert_shape(shape);
  CHAINRULE_ASSERT(!is_bf16<T>(shape.precision));
  CHAINRULE_ASSERT(0 <= piece && piece < gradient_piece_count(kernels, shape));
  // Panel after panel of the same inputs, which are then close.
  const int64_t panels = panel_count(kernels, n), count = input_block_count(kernels, shape);
  const int64_t most_rows = (k + count - 1) / count, row = piece / panels * most_rows;
  const int64_t column = piece % panels * kernels.panel_columns;
  const int64_t rows = std::min(most_rows, k - row);
  const int64_t columns = std::min(kernels.panel_columns, n - column);
  if (grad_bias != nullptr && row == 0) {
    kernels.column_sums(grad_z + column, m, columns, n, grad_bias + column, continues);
  }
  if (grad_weight == nullptr) return;
  const ProductShape size{rows, columns, m, precision};
  const Operand<T> inputs = transposed(x + row, k), gradient = matrix(grad_z + column, n);
  const Result<T> result{grad_weight + row * n + column, n, nullptr, continues};
  if (is_narrow(kernels, columns)) {
    narrow_product(context, size, inputs, gradient, result);
  } else {
    product(context, size, inputs, gradient, result);
  }
}

template <class T>
bool packs_gradient(const KernelTable<T>& kernels, const DenseShape& shape) {
  const auto [m, k, n, precision] = shape;
  if (is_bf16<T>(precision)) return true;
  return PackedOperand<T>::bytes(kernels, precision, m, n) <= kMaxPanelBytes &&
         gains_from_copy(kernels, k, n, k);
}

template <class T>
void dense_parameter_gradients(Team& team, const DenseShape& shape, const T* grad_z, const T* x,
                               PackedOperand<T>& panels, T* grad_weight, T* grad_bias,
                               bool continues) {
  const auto [m, k, n, precision] = shape;
  const KernelTable<T>& kernels = team.kernels<T>();
  assert_shape(shape);
  CHAINRULE_ASSERT(packs_gradient(kernels, shape) && is_there(grad_weight, k * n));
  const int64_t width = kernels.panel_columns;
  const int64_t most_steps = is_bf16<T>(precision) ? kBf16GradientSteps : m;
  const int64_t piece = is_bf16<T>(precision) ? bf16_gradient_rows(k) : kGradientRows;
  int64_t done = 0;
  do {  // once for a batch of no rows too, to write the start
    const int64_t steps = std::min(most_steps, m - done);
    const T *g = grad_z + done * n, *inputs = x + done * k;
    const bool goes_on = continues || done > 0;
    panels.reserve(kernels, precision, steps, n);
    team.run(panels.panel_count(), steps * n * kElementWork, [&](Context& context, int64_t panel) {
      if (grad_bias != nullptr) {
        const int64_t first = panel * width;
        kernels.column_sums(g + first, steps, std::min(width, n - first), n, grad_bias + first,
                            goes_on);
      }
      panels.pack(kernels, matrix(g, n), panel);
      context.stop_requested(steps * width * kElementWork);
    });
    team.run((k + piece - 1) / piece, steps * n * k, [&](Context& context, int64_t block) {
      const int64_t first = block * piece;
      product<T>(context, {std::min(piece, k - first), n, steps, precision},
                 transposed(inputs + first, k), matrix(g, n),
                 {grad_weight + first * n, n, nullptr, goes_on}, &panels);
    });
    done += steps;
  } while (done < m && !team.is_stopped());
}

template <class T>
void dense_forward(Team& team, const DenseShape& shape, const T* x, const T* weight, const T* bias,
                   Activation activation, T parameter, T* preactivation, T* y) {
  const auto [m, k, n, precision] = shape;
  const KernelTable<T>& kernels = team.kernels<T>();
  PackedOperand<T> panels;
  const bool packs =
      gains_from_panels(kernels, shape) &&
      has_room_for_panels(precision, PackedOperand<T>::bytes(kernels, precision, k, n));
  if (packs) pack(team, precision, k, n, matrix(weight, n), panels);
  const Weight<T> packed{weight, packs ? &panels : nullptr};
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
  assert_shape(shape);
  CHAINRULE_ASSERT(are_apart(grad_weight, k * n, grad_z, m * n) &&
                   are_apart(grad_weight, k * n, x, m * k) &&
                   are_apart(grad_bias, n, grad_z, m * n));
  if (grad_weight != nullptr && packs_gradient(kernels, shape)) {
    PackedOperand<T> panels;
    dense_parameter_gradients(team, shape, grad_z, x, panels, grad_weight, grad_bias);
  } else {
    team.run(gradient_piece_count(kernels, shape), m * n * (k + kElementWork),
             [&](Context& context, int64_t piece) {
               dense_parameter_gradients(context, shape, piece, grad_z, x, grad_weight, grad_bias);
             });
  }
  if (grad_x == nullptr) return;
  PackedOperand<T> panels;
  const bool packs =
      m > 1 && has_room_for_panels(precision, PackedOperand<T>::bytes(kernels, precision, n, k));
  if (packs) pack(team, precision, n, k, transposed(weight, n), panels);
  const Weight<T> packed{weight, nullptr, packs ? &panels : nullptr};
  for_row_blocks(team, m, k * n * int64_t{sizeof(T)}, m * n * k,
                 [&](Context& context, RowRange rows) {
                   dense_input_gradient(context, {rows.count, k, n, precision},
                                        grad_z + rows.first * n, packed, grad_x + rows.first * k);
                 });
}

#define CHAINRULE_INSTANTIATE(T)                                                                   \
  template bool gains_from_panels(const KernelTable<T>&, const DenseShape&);                       \
  template void dense_forward(Context&, const DenseShape&, const T*, const Weight<T>&, const T*,   \
                              Activation, T, T*, T*);                                              \
  template void dense_input_gradient(Context&, const DenseShape&, const T*, const Weight<T>&, T*); \
  template int64_t gradient_piece_count(const KernelTable<T>&, const DenseShape&);                 \
  template void dense_parameter_gradients(Context&, const DenseShape&, int64_t, const T*,          \
                                          const T*, T*, T*, bool);                                 \
  template bool packs_gradient(const KernelTable<T>&, const DenseShape&);                          \
  template void dense_parameter_gradients(Team&, const DenseShape&, const T*, const T*,            \
                                          PackedOperand<T>&, T*, T*, bool);                        \
  template void dense_forward(Team&, const DenseShape&, const T*, const T*, const T*, Activation,  \
                              T, T*, T*);                                                          \
  template void dense_backward(Team&, const DenseShape&, const T*, const T*, const T*, T*, T*, T*);
CHAINRULE_INSTANTIATE(float)
CHAINRULE_INSTANTIATE(double)
#undef CHAINRULE_INSTANTIATE

}  // namespace chainrule
