#include "ops/dense.hpp"

#include <algorithm>

#include "kernels/registry.hpp"

namespace chainrule {
namespace {

// One operand as it lies in memory: element (i, j) is data[i * row_stride + j * column_stride].
template <class T>
struct Operand {
  const T* data;
  int64_t row_stride, column_stride;
};

// A row-major matrix with rows of `columns` elements, and its transpose.
template <class T>
Operand<T> matrix(const T* data, int64_t columns) {
  return {data, columns, 1};
}
template <class T>
Operand<T> transposed(const T* data, int64_t columns) {
  return {data, 1, columns};
}

// C (m x n, row-major) = bias + A (m x k) B (k x n). B is a matrix or a transposed one.
//
// Panel by panel of C's columns, and within it by blocks of k, whose chains continue where the last
// block's ended, so that blocking changes no bit. A panel of B is packed when its rows lie far
// apart (they would share few cache sets) and enough rows of A use it, and always when B is
// transposed.
template <class T>
void product(Context& context, int64_t m, int64_t n, int64_t k, Operand<T> a, Operand<T> b,
             const T* bias, T* c) {
  constexpr int64_t kFarApartBytes = 512;
  const KernelTable<T>& kernels = active_kernels<T>();
  const bool is_transposed = b.column_stride != 1;
  const bool packs = is_transposed || (b.row_stride * int64_t{sizeof(T)} >= kFarApartBytes &&
                                       m >= 2 * kernels.tile_rows);
  for (int64_t j = 0; j < n; j += kernels.panel_columns) {
    const int64_t columns = std::min(kernels.panel_columns, n - j);
    int64_t p = 0;
    do {  // once for k = 0 too, to write the bias
      const int64_t depth = std::min(kDepthBlock, k - p);
      const T* block = b.data + p * b.row_stride + j * b.column_stride;
      PanelProduct<T> panel{m,
                            columns,
                            depth,
                            a.data + p * a.column_stride,
                            a.row_stride,
                            a.column_stride,
                            block,
                            b.row_stride,
                            c + j,
                            n,
                            p == 0 && bias != nullptr ? bias + j : nullptr,
                            p > 0};
      if (packs) {
        T* packed = context.panel<T>();
        if (is_transposed) {
          kernels.pack_transposed_panel(block, b.column_stride, depth, columns, packed);
        } else {
          kernels.pack_panel(block, b.row_stride, depth, columns, packed);
        }
        panel.b = packed;
        panel.b_row_stride = kernels.panel_columns;
      }
      kernels.panel_product(panel);
      p += depth;
      if (context.interrupt().stop_requested()) return;
    } while (p < k);
  }
}

}  // namespace

template <class T>
void dense_forward(Context& context, const DenseShape& shape, const T* x, const T* weight,
                   const T* bias, Activation activation, T parameter, T* preactivation, T* y) {
  T* z = preactivation != nullptr ? preactivation : y;
  product(context, shape.batch_size, shape.out_features, shape.in_features,
          matrix(x, shape.in_features), matrix(weight, shape.out_features), bias, z);
  if (activation != Activation::identity || z != y) {
    active_kernels<T>().activations[static_cast<int>(activation)].forward(
        z, y, shape.batch_size * shape.out_features, parameter);
  }
}

template <class T>
void dense_backward(Context& context, const DenseShape& shape, const T* grad_z, const T* x,
                    const T* weight, T* grad_x, T* grad_weight, T* grad_bias) {
  const auto [m, k, n] = shape;
  if (grad_bias != nullptr) active_kernels<T>().column_sums(grad_z, m, n, grad_bias);
  if (grad_weight != nullptr) {
    if (n == 1) {
      // As a row: (x^T grad_z)^T = grad_z^T x fills whole vectors, with the same chains.
      product<T>(context, 1, k, m, transposed(grad_z, n), matrix(x, k), nullptr, grad_weight);
    } else {
      product<T>(context, k, n, m, transposed(x, k), matrix(grad_z, n), nullptr, grad_weight);
    }
  }
  if (grad_x != nullptr) {
    product<T>(context, m, k, n, matrix(grad_z, n), transposed(weight, n), nullptr, grad_x);
  }
}

#define CHAINRULE_INSTANTIATE(T)                                                                  \
  template void dense_forward(Context&, const DenseShape&, const T*, const T*, const T*,          \
                              Activation, T, T*, T*);                                             \
  template void dense_backward(Context&, const DenseShape&, const T*, const T*, const T*, T*, T*, \
                               T*);
CHAINRULE_INSTANTIATE(float)
CHAINRULE_INSTANTIATE(double)
#undef CHAINRULE_INSTANTIATE

}  // namespace chainrule
