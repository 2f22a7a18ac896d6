// Products of matrices, and the dense layer: forward with bias and activation, and the parts of
// backward. Called by network and the bindings; calls the active variant's kernels.
//
// Matrices are row-major: x (batch_size, in_features), weight (in_features, out_features), bias
// (out_features), y and z (batch_size, out_features). Outputs alias no input. Everything stops
// early, outputs unfinished, when the context says so.
#pragma once

#include <cstdint>

#include "kernels/lists.hpp"
#include "ops/operand.hpp"
#include "ops/precision.hpp"
#include "ops/row_blocks.hpp"
#include "ops/team.hpp"

namespace chainrule {

// C (m x n) = start + A (m x k) B (k x n). B is a matrix or a transposed one; `panels` may be its
// packed panels.
template <class T>
void product(Context& context, Precision precision, int64_t m, int64_t n, int64_t k,
             const Operand<T>& a, const Operand<T>& b, const T* panels, const Result<T>& c);

struct DenseShape {
  int64_t batch_size, in_features, out_features;
  Precision precision = Precision::kFull;  // of the products, not kAuto
};

// A weight, and its panels when a caller that uses it for many rows has packed them; they change
// no bit.
template <class T>
struct Weight {
  const T* data;
  const T* panels = nullptr;             // for dense_forward
  const T* transposed_panels = nullptr;  // for dense_input_gradient
};

// A network's or a layer's weights of more bytes, or a layer's gradient, are packed piece by piece
// where they are used; but weights that are bf16 terms never, for which packing is more work.
inline constexpr int64_t kMaxPanelBytes = int64_t{48} << 20;

inline bool has_room_for_panels(Precision precision, int64_t bytes) {
  return precision != Precision::kFull || bytes <= kMaxPanelBytes;
}

// Elements of the packed panels of a weight, and whether dense_forward gains from them.
// dense_input_gradient always does. Panels belong to the kernels that they were packed with.
template <class T>
int64_t panels_size(const KernelTable<T>& kernels, const DenseShape& shape);
template <class T>
int64_t transposed_panels_size(const KernelTable<T>& kernels, const DenseShape& shape);
template <class T>
bool gains_from_panels(const KernelTable<T>& kernels, const DenseShape& shape);

// Packs the panel of that index, 0 .. panel_count - 1, of the weight or of its transpose.
template <class T>
int64_t panel_count(const KernelTable<T>& kernels, int64_t columns);
template <class T>
void pack_weight(const KernelTable<T>& kernels, const DenseShape& shape, const T* weight,
                 int64_t panel, T* panels);
template <class T>
void pack_transposed_weight(const KernelTable<T>& kernels, const DenseShape& shape, const T* weight,
                            int64_t panel, T* panels);

// y = f(z), z = x W + b. The bias may be null. z is kept in `preactivation` when that is not null.
template <class T>
void dense_forward(Context& context, const DenseShape& shape, const T* x, const Weight<T>& weight,
                   const T* bias, Activation activation, T parameter, T* preactivation, T* y);

// grad_x = grad_z W^T
template <class T>
void dense_input_gradient(Context& context, const DenseShape& shape, const T* grad_z,
                          const Weight<T>& weight, T* grad_x);

// Of float32 products: grad_weight = x^T grad_z and grad_bias = column sums of grad_z, each unless
// it is null; the piece of that index, 0 .. gradient_piece_count - 1, which is a panel of columns
// or some rows of one.
// The sums start from 0 or, where `continues` is set, from what is there: over the rows of a batch
// in one call or in several they are the same chains.
template <class T>
int64_t gradient_piece_count(const KernelTable<T>& kernels, const DenseShape& shape);
template <class T>
void dense_parameter_gradients(Context& context, const DenseShape& shape, int64_t piece,
                               const T* grad_z, const T* x, T* grad_weight, T* grad_bias,
                               bool continues = false);

// The same for all columns of a layer of many inputs, whose rows in x lie far apart, or of products
// of bf16 terms, the work divided among a team. `panels` has room for gradient_panels_size
// elements; 0: the layer is none of these.
template <class T>
int64_t gradient_panels_size(const KernelTable<T>& kernels, const DenseShape& shape);
template <class T>
void dense_parameter_gradients(Team& team, const DenseShape& shape, const T* grad_z, const T* x,
                               T* panels, T* grad_weight, T* grad_bias, bool continues = false);

// The layer by itself, the work divided among a team; each output unless it is null.
template <class T>
void dense_forward(Team& team, const DenseShape& shape, const T* x, const T* weight, const T* bias,
                   Activation activation, T parameter, T* preactivation, T* y);
template <class T>
void dense_backward(Team& team, const DenseShape& shape, const T* grad_z, const T* x,
                    const T* weight, T* grad_x, T* grad_weight, T* grad_bias);

}  // namespace chainrule
