#include "ops/loss.hpp"

#include "kernels/registry.hpp"

namespace chainrule {
namespace {

// How many terms a row loss is the mean of.
int64_t terms_per_row(const LossSpec& spec, int64_t columns) {
  if (info(spec.loss).targets == Targets::labels) return 1;  // a sum over classes
  return spec.loss == Loss::gaussian_nll ? columns / 2 : columns;
}

}  // namespace

template <class T>
LossFunction<T>::LossFunction(const LossSpec& spec)
    : spec_(spec), values_(spec.values.begin(), spec.values.end()) {}

template <class T>
double LossFunction<T>::total_weight(int64_t rows, const TargetView<T>& targets) const {
  const bool has_class_weights = targets.labels != nullptr && !values_.empty();
  if (targets.sample_weights == nullptr && !has_class_weights) return static_cast<double>(rows);
  double total = 0;
  for (int64_t r = 0; r < rows; ++r) {
    double weight = targets.sample_weights == nullptr ? 1 : targets.sample_weights[r];
    if (has_class_weights) weight *= values_[static_cast<size_t>(targets.labels[r])];
    total += weight;
  }
  return total;
}

template <class T>
LossValue LossFunction<T>::operator()(const T* outputs, int64_t rows, int64_t columns,
                                      const TargetView<T>& targets, Reduction reduction,
                                      T* gradient) const {
  const double weight = total_weight(rows, targets);
  double scale = 1;
  if (reduction == Reduction::kMean) {
    const double terms = weight * static_cast<double>(terms_per_row(spec_, columns));
    scale = terms > 0 ? 1 / terms : 0;
  }
  const LossArguments<T> arguments{rows,
                                   columns,
                                   outputs,
                                   targets.targets,
                                   targets.labels,
                                   targets.sample_weights,
                                   static_cast<T>(spec_.parameter),
                                   values_.data(),
                                   static_cast<int64_t>(values_.size()),
                                   static_cast<T>(scale),
                                   gradient};
  const LossKernel<T> kernel = active_kernels<T>().losses[static_cast<int>(spec_.loss)];
  return {kernel(arguments) * scale, weight};
}

template class LossFunction<float>;
template class LossFunction<double>;

}  // namespace chainrule
