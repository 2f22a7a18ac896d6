// The dense layer: forward with bias and activation, and the three parts of backward. Called by
// network/mlp.cpp and the bindings; calls the active variant's kernels.
#pragma once

#include <cstdint>

#include "kernels/lists.hpp"
#include "ops/context.hpp"

namespace chainrule {

struct DenseShape {
  int64_t batch_size, in_features, out_features;
};

// y = f(x W + b). x (batch_size, in_features), weight (in_features, out_features), bias
// (out_features) or null, y (batch_size, out_features), all row-major. The argument of f is kept in
// `preactivation` when that is not null. Outputs alias no input. Stops early, outputs unfinished,
// when the context's interrupt says so.
template <class T>
void dense_forward(Context& context, const DenseShape& shape, const T* x, const T* weight,
                   const T* bias, Activation activation, T parameter, T* preactivation, T* y);

// Given grad_z, the gradient with respect to x W + b, and for each output that is not null:
//   grad_x = grad_z W^T,  grad_weight = x^T grad_z,  grad_bias = column sums of grad_z.
template <class T>
void dense_backward(Context& context, const DenseShape& shape, const T* grad_z, const T* x,
                    const T* weight, T* grad_x, T* grad_weight, T* grad_bias);

}  // namespace chainrule
