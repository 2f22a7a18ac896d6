#include "training/optimizer.hpp"

#include <algorithm>
#include <limits>

#include "base/checks.hpp"

namespace chainrule {
namespace {

// The index of a name among comma-separated ones, or -1.
constexpr int index_among(std::string_view names, std::string_view name) {
  for (int index = 0; !names.empty(); ++index) {
    const size_t comma = std::min(names.find(','), names.size());
    if (names.substr(0, comma) == name) return index;
    names.remove_prefix(std::min(comma + 1, names.size()));
  }
  return -1;
}
// optimizers.inc has the right indices.
static_assert(std::ranges::all_of(kOptimizers, [](const OptimizerInfo& o) {
  return o.epsilon == index_among(o.hyperparameters, "epsilon");
}));

}  // namespace

template <class T>
void OptimizerStepper<T>::prepare(const KernelTable<T>& kernels, int64_t step, double learning_rate,
                                  double gradient_scale, double clip_value) {
  CHAINRULE_ASSERT(has_step(spec_));
  kernels_ = &kernels.optimizers[static_cast<int>(spec_.optimizer)];
  OptimizerStep settings{step, learning_rate, spec_.values.data(), memory_step_, memory_};
  kernels_->prepare(settings, arguments_.coefficients);
  memory_step_ = settings.memory_step;
  memory_ = settings.memory;
  decay_ = static_cast<T>(1 - learning_rate * spec_.weight_decay);
  arguments_.gradient_scale = static_cast<T>(gradient_scale);
  arguments_.clip_value =
      clip_value > 0 ? static_cast<T>(clip_value) : std::numeric_limits<T>::infinity();
}

template <class T>
void OptimizerStepper<T>::apply(const OptimizerSlice<T>& slice) const {
  OptimizerArguments<T> arguments = arguments_;
  arguments.size = slice.size;
  arguments.parameters = slice.parameters;
  arguments.gradient = slice.gradient;
  for (size_t i = 0; i < slice.states.size(); ++i) arguments.states[i] = slice.states[i];
  arguments.decay = slice.decays ? decay_ : T{1};
  kernels_->step(arguments);
}

template class OptimizerStepper<float>;
template class OptimizerStepper<double>;

}  // namespace chainrule
