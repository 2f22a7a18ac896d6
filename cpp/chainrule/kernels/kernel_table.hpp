// The contracts of the kernels, which every variant implements for float and for double. Filled by
// kernels/variant.cpp, handed out by kernels/registry.hpp, called by ops.
//
// Rules for all: sizes may be 0; pointers need no alignment; outputs alias inputs only where said;
// no allocation, no exception, no state. Matrices are row-major. The same arguments give the same
// bits in every variant with FMA, whatever its vector width:
//  - an element of a product is one chain of FMAs in the order of k;
//  - a sum over columns of a row runs in kVirtualLanes lanes, element i in lane i % kVirtualLanes,
//    folded by a fixed tree; a sum over rows is one chain in the order of the rows;
//  - every NaN in the results has the bits of base/one_nan.hpp.
//
// Sizes are not negative, and arrays of elements are not null unless said. The kernels assert these
// rules, once a call, in builds with assertions (base/checks.hpp).
//
// Only this header, bf16_kernels.hpp, lists.hpp's enumerations, base/checks.hpp's contracts and
// base/random.hpp's philox are shared between the variants' units and the rest.
#pragma once

#include <cstdint>

#include "kernels/bf16_kernels.hpp"

namespace chainrule {

inline constexpr int kVirtualLanes = 16;

// C (m x n) = start + A (m x k) B (k x n) for a panel of n <= panel_columns columns.
template <class T>
struct PanelProduct {
  int64_t m, n, k;
  const T* a;  // A(i, p) = a[i * a_row_stride + p * a_column_stride]
  int64_t a_row_stride, a_column_stride;
  const T* b;  // B(p, j) = b[p * b_row_stride + j]
  int64_t b_row_stride;
  T* c;  // C(i, j) = c[i * c_row_stride + j]; aliases neither A nor B
  int64_t c_row_stride;
  const T* bias;    // start(i, j) = bias[j] when given
  bool accumulate;  // else start(i, j) = C(i, j) when set, else 0
};

template <class T>
struct ActivationKernels {
  // y[i] = f(x[i]); y may be x.
  void (*forward)(const T* x, T* y, int64_t size, T parameter);
  // grad_x[i] = grad_y[i] * f'; `saved` is what lists.hpp says (x or y); grad_x may be either.
  void (*backward)(const T* grad_y, const T* saved, T* grad_x, int64_t size, T parameter);
};

template <class T>
struct LossArguments {
  int64_t rows, columns;  // of the outputs
  const T* outputs;       // (rows, columns)
  const T* targets;       // (rows, target columns), or null when there are labels
  const int32_t* labels;  // (rows), each in [0, columns), or null
  const T* row_weights;   // (rows), or null for ones
  T parameter;            // label smoothing, delta
  const T* values;        // quantile levels, class weights
  int64_t value_count;
  T scale;      // multiplies the gradient
  T* gradient;  // (rows, columns), written when not null
};

// The sum over rows of row weight times row loss; the row loss is a sum over columns.
template <class T>
using LossKernel = double (*)(const LossArguments<T>&);

// What an optimizer needs to know to prepare the coefficients of one step.
struct OptimizerStep {
  int64_t step;  // 1 for the first
  double learning_rate;
  const double* values;  // in the order of optimizers.inc
  // NAdam's product of momenta up to `memory_step`; kept by the caller, updated here.
  int64_t memory_step;
  double memory;
};

inline constexpr int kMaxCoefficients = 8;

template <class T>
struct OptimizerArguments {
  int64_t size;
  T* parameters;
  const T* gradient;
  T* states[3];
  T decay;           // parameters are multiplied by it first (decoupled weight decay)
  T gradient_scale;  // the gradient is multiplied by it,
  T clip_value;      // then clamped to [-clip_value, clip_value]; infinity: not
  T coefficients[kMaxCoefficients];
};

template <class T>
struct OptimizerKernels {
  void (*prepare)(OptimizerStep& step, T* coefficients);
  void (*step)(const OptimizerArguments<T>&);
};

template <class T>
struct NormForward {
  int64_t rows, columns, row_stride;  // matrices; batch norm may be given some of the columns
  const T* x;
  const T *scale, *shift;  // (columns)
  T epsilon;
  T *mean, *variance;    // batch norm only: (columns), biased variance
  T* normalized;         // written: (x - mean) * inverse_deviation; may be x
  T* inverse_deviation;  // written: 1 / sqrt(variance + epsilon); (rows) or (columns)
  T* y;                  // written: normalized * scale + shift; not normalized's memory
};

template <class T>
struct NormBackward {
  int64_t rows, columns, row_stride;
  const T *grad_y, *normalized, *inverse_deviation, *scale;
  T* grad_x;  // may be grad_y
  T *grad_scale, *grad_shift;
  bool fixed_statistics;  // batch norm only: mean and variance did not depend on x
  bool accumulate;        // add to grad_scale and grad_shift, otherwise overwrite them
};

// Statistics of a gradient, taken in one pass that also adds the penalties' part to it.
struct GradientSummary {
  double sum_of_squares;  // of the gradient, penalties included; 0 when not asked for
  double penalty;         // l1 * sum |w| + l2 / 2 * sum w^2
  bool is_small;          // every |g| < limit; false for NaN
};

template <class T>
struct KernelTable {
  // Products: a panel has panel_columns columns; tile_rows rows of it are one register tile.
  int64_t panel_columns, tile_rows;
  void (*panel_product)(const PanelProduct<T>&);
  // panel[p * panel_columns + j] = b[p * b_row_stride + j], or b[j * b_row_stride + p] transposed,
  // for p < k, j < n; zero for n <= j < panel_columns.
  void (*pack_panel)(const T* b, int64_t b_row_stride, int64_t k, int64_t n, T* panel);
  void (*pack_transposed_panel)(const T* b, int64_t b_row_stride, int64_t k, int64_t n, T* panel);
  // sums[j] = start + sum over rows of x[i * row_stride + j]; start is sums[j] with `accumulate`,
  // otherwise 0
  void (*column_sums)(const T* x, int64_t rows, int64_t columns, int64_t row_stride, T* sums,
                      bool accumulate);

  const Bf16Kernels* bf16;  // null for double

  const ActivationKernels<T>* activations;  // by Activation
  const LossKernel<T>* losses;              // by Loss
  const OptimizerKernels<T>* optimizers;    // by Optimizer
  // y[i] = f(x[i]); y may be x. By MathFunction.
  void (*const* math_functions)(const T* x, T* y, int64_t size);

  void (*layer_norm_forward)(const NormForward<T>&);
  // Writes only grad_x; norm_parameter_gradients writes grad_scale and grad_shift.
  void (*layer_norm_backward)(const NormBackward<T>&);
  void (*norm_parameter_gradients)(const NormBackward<T>&);
  // Writes only mean, variance and inverse_deviation; batch_norm_predict does the rest.
  void (*batch_norm_statistics)(const NormForward<T>&);
  void (*batch_norm_backward)(const NormBackward<T>&);
  // With the given mean and variance; normalized and inverse_deviation may be null.
  void (*batch_norm_predict)(const NormForward<T>&);

  // mask[i - first] = 0 or 1 / (1 - probability) for first <= i < first + size, from the Philox
  // block (step, stream) of element i / 4.
  void (*dropout_mask)(uint64_t seed, uint32_t stream, uint64_t step, double probability,
                       int64_t first, T* mask, int64_t size);
  // y[i] = a[i] * b[i]; y may be a or b.
  void (*multiply)(const T* a, const T* b, T* y, int64_t size);

  GradientSummary (*finish_gradient)(T* gradient, const T* parameters, int64_t size, T l1, T l2,
                                     T limit, bool sums_squares);
  bool (*all_finite)(const T* x, int64_t size);
  double (*dot)(const T* x, const T* y, int64_t size);
  // y[i] += alpha * x[i]
  void (*add_scaled)(T alpha, const T* x, T* y, int64_t size);

  // Nothing but independent multiply-adds; returns how many. *end is written so that they are done.
  int64_t (*multiply_add_peak)(int64_t iterations, T* end);
};

struct Variant {
  const char* name;
  KernelTable<float> single_precision;
  KernelTable<double> double_precision;
};

}  // namespace chainrule
