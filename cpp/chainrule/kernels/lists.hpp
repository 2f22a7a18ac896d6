// The lists of activations, losses, their links, optimizers and elementary functions as
// enumerations and as tables of their properties. To add one, edit only the .inc files beside this
// one. Used by kernels (to fill every variant's table) and by all layers above (by value or by
// name).
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

enum class Link : int {
#define CHAINRULE_LINK(name, outputs) name,
#include "kernels/links.inc"
#undef CHAINRULE_LINK
  kCount
};

enum class Loss : int {
#define CHAINRULE_LOSS(name, targets, link, parameter, initial) name,
#include "kernels/losses.inc"
#undef CHAINRULE_LOSS
  kCount
};

// kCount have a step, a kernel; those with a line search follow.
enum class Optimizer : int {
#define CHAINRULE_OPTIMIZER(name, hyperparameters, epsilon, state0, state1, state2) name,
#include "kernels/optimizers.inc"
  kCount,
  kLastStep = kCount - 1,
#define CHAINRULE_LINE_SEARCH(name, hyperparameters) name,
#include "kernels/optimizers.inc"
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
enum class Outputs { one, two, per_value };  // for one target

struct ActivationInfo {
  std::string_view name;
  Saved saved;
  std::string_view parameter;  // "none" where there is none
  double initial;
};

struct LinkInfo {
  std::string_view name;
  Outputs outputs;
};

struct LossInfo {
  std::string_view name;
  Targets targets;
  Link link;
  std::string_view parameter;
  double initial;
};

// A state buffer of an optimizer: whether it is kept, and what all its elements are at first.
struct OptimizerState {
  bool is_kept = false;
  double start = 0;
};
using OptimizerStates = std::array<OptimizerState, 3>;

struct OptimizerInfo {
  std::string_view name;
  std::string_view hyperparameters;          // comma-separated
  bool has_step;                             // else a line search
  int epsilon;                               // its index among the hyperparameters, or -1
  OptimizerStates (*states)(const double*);  // given the hyperparameters' values
};

inline constexpr std::array kActivations = {
#define CHAINRULE_ACTIVATION(name, saved, parameter, initial) \
  ActivationInfo{#name, Saved::saved, #parameter, initial},
#include "kernels/activations.inc"
#undef CHAINRULE_ACTIVATION
};

inline constexpr std::array kLinks = {
#define CHAINRULE_LINK(name, outputs) LinkInfo{#name, Outputs::outputs},
#include "kernels/links.inc"
#undef CHAINRULE_LINK
};

inline constexpr std::array kLosses = {
#define CHAINRULE_LOSS(name, targets, link, parameter, initial) \
  LossInfo{#name, Targets::targets, Link::link, #parameter, initial},
#include "kernels/losses.inc"
#undef CHAINRULE_LOSS
};

// The words of optimizers.inc.
namespace states {
inline constexpr OptimizerState none{}, zeros{true, 0};
constexpr OptimizerState zeros_if(bool is_kept) { return {is_kept, 0}; }
constexpr OptimizerState all(double start) { return {true, start}; }
}  // namespace states

inline constexpr std::array kOptimizers = {
#define CHAINRULE_OPTIMIZER(name, hyperparameters, epsilon, state0, state1, state2)           \
  OptimizerInfo{#name, hyperparameters, true, epsilon, []([[maybe_unused]] const double* v) { \
                  using namespace states;                                                     \
                  return OptimizerStates{state0, state1, state2};                             \
                }},
#define CHAINRULE_LINE_SEARCH(name, hyperparameters) \
  OptimizerInfo{#name, hyperparameters, false, -1, [](const double*) { return OptimizerStates{}; }},
#include "kernels/optimizers.inc"
};

inline constexpr std::array kMathFunctions = {
#define CHAINRULE_MATH(name) std::string_view{#name},
#include "kernels/math_functions.inc"
#undef CHAINRULE_MATH
};

inline const ActivationInfo& info(Activation a) { return kActivations[static_cast<size_t>(a)]; }
inline const LinkInfo& info(Link l) { return kLinks[static_cast<size_t>(l)]; }
inline const LossInfo& info(Loss l) { return kLosses[static_cast<size_t>(l)]; }
inline const OptimizerInfo& info(Optimizer o) { return kOptimizers[static_cast<size_t>(o)]; }

}  // namespace chainrule
