// The dense layer: forward with bias and activation, and the parts of backward. Called by network
// and the bindings; calls products and a variant's kernels.
//
// Matrices are row-major: x (batch_size, in_features), weight (in_features, out_features), bias
// (out_features), y and z (batch_size, out_features). Outputs alias no input. Everything stops
// early, outputs unfinished, when the context says so.
#pragma once

#include <cstdint>

#include "kernels/lists.hpp"
#include "ops/product.hpp"
#include "ops/row_blocks.hpp"

namespace chainrule {

struct DenseShape {
  int64_t batch_size, in_features, out_features;
  Precision precision = Precision::kFull;  // of the products, not kAuto
};

// A weight, and its panels when a caller that uses it for many rows has packed them; they change
// no bit.
template <class T>
struct Weight {
  const T* data;
  const PackedOperand<T>* panels = nullptr;             // for dense_forward
  const PackedOperand<T>* transposed_panels = nullptr;  // for dense_input_gradient
};

// Whether dense_forward gains from a packed weight; dense_input_gradient always does.
template <class T>
bool gains_from_panels(const KernelTable<T>& kernels, const DenseShape& shape);

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

// The same for all columns, by a team, which packs the gradient in `panels`. Only for layers for
// which packs_gradient is true: layers with many inputs, whose rows in x lie far apart, and layers
// with products of bf16 terms.
template <class T>
bool packs_gradient(const KernelTable<T>& kernels, const DenseShape& shape);
template <class T>
void dense_parameter_gradients(Team& team, const DenseShape& shape, const T* grad_z, const T* x,
                               PackedOperand<T>& panels, T* grad_weight, T* grad_bias,
                               bool continues = false);

// The layer by itself, the work divided among a team; each output unless it is null.
template <class T>
void dense_forward(Team& team, const DenseShape& shape, const T* x, const T* weight, const T* bias,
                   Activation activation, T parameter, T* preactivation, T* y);
template <class T>
void dense_backward(Team& team, const DenseShape& shape, const T* grad_z, const T* x,
                    const T* weight, T* grad_x, T* grad_weight, T* grad_bias);

}  // namespace chainrule
