// An optimizer's settings and its state over one flat parameter vector. Used by
// training/trainer.cpp and the bindings; calls the active variant's kernels.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

#include "base/aligned_buffer.hpp"
#include "kernels/kernel_table.hpp"
#include "kernels/lists.hpp"

namespace chainrule {

// L-BFGS takes whole vectors and a line search rather than a step; see training/lbfgs.hpp.
inline constexpr OptimizerInfo kLbfgsInfo{"lbfgs", "history,gradient_tolerance,max_line_search",
                                          nullptr};

struct OptimizerSpec {
  Optimizer optimizer = Optimizer::sgd;
  bool is_lbfgs = false;
  double weight_decay = 0;  // decoupled: parameters *= 1 - learning_rate * weight_decay
  std::vector<double> values;
};

inline std::array<bool, 3> kept_states(const OptimizerSpec& spec) {
  if (spec.is_lbfgs) return {false, false, false};
  return info(spec.optimizer).keeps_state(spec.values.data());
}

// One step over a slice of the flat vectors; the caller prepared the coefficients.
template <class T>
struct OptimizerSlice {
  T* parameters;
  const T* gradient;
  std::array<T*, 3> states;  // null where not kept
  int64_t size;
  bool decays;
};

template <class T>
class OptimizerStepper {
 public:
  explicit OptimizerStepper(const OptimizerSpec& spec) : spec_(spec) {}

  // Before the slices of a step. step is 1 for the first; clip_value 0: none.
  // The slices use the same kernels.
  void prepare(const KernelTable<T>& kernels, int64_t step, double learning_rate,
               double gradient_scale, double clip_value);
  void apply(const OptimizerSlice<T>& slice) const;

  const OptimizerSpec& spec() const { return spec_; }

 private:
  OptimizerSpec spec_;
  const OptimizerKernels<T>* kernels_ = nullptr;
  OptimizerArguments<T> arguments_{};
  T decay_ = 1;
  int64_t memory_step_ = 0;
  double memory_ = 1;
};

// The first value of state buffers: adagrad's accumulator has a parameter, all others start at 0.
template <class T>
T initial_state(const OptimizerSpec& spec) {
  return spec.optimizer == Optimizer::adagrad && !spec.is_lbfgs ? static_cast<T>(spec.values[1])
                                                                : T{0};
}

}  // namespace chainrule
