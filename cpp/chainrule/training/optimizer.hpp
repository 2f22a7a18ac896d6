// An optimizer's settings and its state over one flat parameter vector. Used by
// training/trainer.cpp and the bindings; calls a variant's kernels.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

#include "base/aligned_buffer.hpp"
#include "kernels/kernel_table.hpp"
#include "kernels/lists.hpp"

namespace chainrule {

struct OptimizerSpec {
  Optimizer optimizer{};
  double weight_decay = 0;  // decoupled: parameters *= 1 - learning_rate * weight_decay
  std::vector<double> values;
};

// Whether it takes steps (OptimizerStepper); else it searches along lines (training/lbfgs.hpp).
inline bool has_step(const OptimizerSpec& spec) { return info(spec.optimizer).has_step; }

inline OptimizerStates states_of(const OptimizerSpec& spec) {
  return info(spec.optimizer).states(spec.values.data());
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

// Of an optimizer that has a step.
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

}  // namespace chainrule
