// The unit that is compiled once per variant: all kernels, and the table of them as the one
// external symbol. CMake gives the instruction-set flags, CHAINRULE_VARIANT_<NAME> and
// CHAINRULE_VARIANT_NAME. Everything included here has internal linkage, for the linker keeps one
// copy of a shared inline function and could keep the one that this machine cannot run.
#include "kernels/activation-inl.hpp"
#include "kernels/bf16-inl.hpp"
#include "kernels/kernel_table.hpp"
#include "kernels/loops-inl.hpp"
#include "kernels/loss-inl.hpp"
#include "kernels/norm-inl.hpp"
#include "kernels/optimizer-inl.hpp"
#include "kernels/peak-inl.hpp"
#include "kernels/product-inl.hpp"
#include "kernels/vector-inl.hpp"

#define CHAINRULE_JOIN_(a, b) a##b
#define CHAINRULE_JOIN(a, b) CHAINRULE_JOIN_(a, b)
#define CHAINRULE_TEXT_(a) #a
#define CHAINRULE_TEXT(a) CHAINRULE_TEXT_(a)

namespace chainrule {
namespace {

#define CHAINRULE_MATH(name)                                   \
  struct name##_math {                                         \
    template <class T>                                         \
    static CHAINRULE_INLINE Vec<T> forward(Vec<T> x, Vec<T>) { \
      return name(x);                                          \
    }                                                          \
  };
#include "kernels/math_functions.inc"
#undef CHAINRULE_MATH

template <class Function, class T>
void math_function(const T* x, T* y, int64_t size) {
  activation_forward<Function, T>(x, y, size, T{0});
}

template <class T>
constexpr ActivationKernels<T> kActivationKernels[] = {
#define CHAINRULE_ACTIVATION(name, saved, parameter, initial) \
  {activation_forward<name##_activation, T>, activation_backward<name##_activation, T>},
#include "kernels/activations.inc"
#undef CHAINRULE_ACTIVATION
};

template <class T>
constexpr LossKernel<T> kLossKernels[] = {
#define CHAINRULE_LOSS(name, targets, link, parameter, initial) name##_loss<T>,
#include "kernels/losses.inc"
#undef CHAINRULE_LOSS
};

template <class T>
constexpr OptimizerKernels<T> kOptimizerKernels[] = {
#define CHAINRULE_OPTIMIZER(name, hyperparameters, epsilon, state0, state1, state2) \
  {name##_prepare<T>, name##_step<T>},
#include "kernels/optimizers.inc"
};

template <class T>
constexpr void (*kMathKernels[])(const T*, T*, int64_t) = {
#define CHAINRULE_MATH(name) math_function<name##_math, T>,
#include "kernels/math_functions.inc"
#undef CHAINRULE_MATH
};

template <class T>
constexpr KernelTable<T> kernel_table() {
  KernelTable<T> table{};
  table.panel_columns = kPanelColumns<T>;
  table.tile_rows = kTileRows;
  table.panel_product = panel_product<T>;
  table.pack_panel = pack_panel<T>;
  table.pack_transposed_panel = pack_transposed_panel<T>;
  table.column_sums = column_sums<T>;
  if constexpr (sizeof(T) == sizeof(float)) table.bf16 = &kBf16Kernels;
  table.activations = kActivationKernels<T>;
  table.losses = kLossKernels<T>;
  table.optimizers = kOptimizerKernels<T>;
  table.math_functions = kMathKernels<T>;
  table.layer_norm_forward = layer_norm_forward<T>;
  table.layer_norm_backward = layer_norm_backward<T>;
  table.norm_parameter_gradients = norm_parameter_gradients<T>;
  table.batch_norm_statistics = batch_norm_statistics<T>;
  table.batch_norm_backward = batch_norm_backward<T>;
  table.batch_norm_predict = batch_norm_predict<T>;
  table.dropout_mask = dropout_mask<T>;
  table.multiply = multiply<T>;
  table.finish_gradient = finish_gradient<T>;
  table.all_finite = all_finite<T>;
  table.dot = dot<T>;
  table.add_scaled = add_scaled<T>;
  table.multiply_add_peak = multiply_add_peak<T>;
  return table;
}

}  // namespace

extern const Variant CHAINRULE_JOIN(variant_, CHAINRULE_VARIANT_NAME);
constinit const Variant CHAINRULE_JOIN(variant_, CHAINRULE_VARIANT_NAME) = {
    CHAINRULE_TEXT(CHAINRULE_VARIANT_NAME), kernel_table<float>(), kernel_table<double>()};

}  // namespace chainrule
