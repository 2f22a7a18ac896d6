#include "training/optimizer.hpp"

#include <limits>

namespace chainrule {

template <class T>
void OptimizerStepper<T>::prepare(const KernelTable<T>& kernels, int64_t step, double learning_rate,
                                  double gradient_scale, double clip_value) {
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
