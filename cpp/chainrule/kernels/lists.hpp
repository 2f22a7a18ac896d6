// The lists of activations, losses, optimizers and elementary functions as enumerations and as
// tables of their properties. To add one, edit only the .inc files beside this one. Used by kernels
// (to fill every variant's table) and by all layers above (by value or by name).
#pragma once

#include <array>
#include <string_view>

namespace chainrule {

enum class Activation : int {
#define CHAINRULE_ACTIVATION(name, saved, parameter, initial) name,
#include "kernels/activations.inc"
#undef CHAINRULE_ACTIVATION
  kCount
};

enum class Loss : int {
#define CHAINRULE_LOSS(name, targets, parameter, initial) name,
#include "kernels/losses.inc"
#undef CHAINRULE_LOSS
  kCount
};

enum class Optimizer : int {
#define CHAINRULE_OPTIMIZER(name, hyperparameters, state0, state1, state2) name,
#include "kernels/optimizers.inc"
#undef CHAINRULE_OPTIMIZER
  kCount
};

enum class MathFunction : int {
#define CHAINRULE_MATH(name) name,
#include "kernels/math_functions.inc"
#undef CHAINRULE_MATH
  kCount
};

template <class List>
inline constexpr int kCountOf = static_cast<int>(List::kCount);

enum class Saved { input, output };
enum class Targets { values, labels };

struct ActivationInfo {
  std::string_view name;
  Saved saved;
  std::string_view parameter;  // "none" where there is none
  double initial;
};

struct LossInfo {
  std::string_view name;
  Targets targets;
  std::string_view parameter;
  double initial;
};

struct OptimizerInfo {
  std::string_view name;
  std::string_view hyperparameters;                   // comma-separated
  std::array<bool, 3> (*keeps_state)(const double*);  // given the hyperparameters' values
};

inline constexpr std::array kActivations = {
#define CHAINRULE_ACTIVATION(name, saved, parameter, initial) \
  ActivationInfo{#name, Saved::saved, #parameter, initial},
#include "kernels/activations.inc"
#undef CHAINRULE_ACTIVATION
};

inline constexpr std::array kLosses = {
#define CHAINRULE_LOSS(name, targets, parameter, initial) \
  LossInfo{#name, Targets::targets, #parameter, initial},
#include "kernels/losses.inc"
#undef CHAINRULE_LOSS
};

inline constexpr std::array kOptimizers = {
#define CHAINRULE_OPTIMIZER(name, hyperparameters, state0, state1, state2)     \
  OptimizerInfo{#name, hyperparameters, []([[maybe_unused]] const double* v) { \
                  return std::array<bool, 3>{(state0), (state1), (state2)};    \
                }},
#include "kernels/optimizers.inc"
#undef CHAINRULE_OPTIMIZER
};

inline constexpr std::array kMathFunctions = {
#define CHAINRULE_MATH(name) std::string_view{#name},
#include "kernels/math_functions.inc"
#undef CHAINRULE_MATH
};

inline const ActivationInfo& info(Activation a) { return kActivations[static_cast<size_t>(a)]; }
inline const LossInfo& info(Loss l) { return kLosses[static_cast<size_t>(l)]; }
inline const OptimizerInfo& info(Optimizer o) { return kOptimizers[static_cast<size_t>(o)]; }

}  // namespace chainrule
