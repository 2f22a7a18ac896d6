#include "ops/loss.hpp"

#include <algorithm>
#include <array>
#include <numeric>
#include <stdexcept>
#include <string>
#include <string_view>

#include "base/one_nan.hpp"

namespace chainrule {
namespace {

// What a term costs, an exponential or two, in multiply-adds of a product.
constexpr int64_t kTermWork = 128;

Outputs outputs_of(const LossSpec& spec) { return info(info(spec.loss).link).outputs; }

// How many terms a row loss is the mean of.
int64_t terms_per_row(const LossSpec& spec, int64_t columns) {
  if (takes_labels(spec)) return 1;  // a sum over classes
  return outputs_of(spec) == Outputs::two ? columns / 2 : columns;
}

// For contracts.
template <class T>
bool is_valid(const TargetView<T>& targets, int64_t rows) {
  if (targets.targets != nullptr && targets.labels != nullptr) return false;
  return targets.columns >= 0 &&
         (rows * targets.columns == 0 || targets.targets != nullptr || targets.labels != nullptr);
}
template <class T>
bool are_in_range(const TargetView<T>& targets, RowRange rows, int64_t columns) {
  const int32_t* labels = targets.labels;
  return labels == nullptr || std::all_of(labels + rows.first, labels + rows.first + rows.count,
                                          [&](int32_t l) { return 0 <= l && l < columns; });
}

void require(bool fits, std::string_view subject, const char* what) {
  if (!fits) throw std::invalid_argument(std::string(subject) + what);
}

}  // namespace

int64_t target_columns(const LossSpec& spec, int64_t columns) {
  const auto values = static_cast<int64_t>(spec.values.size());
  const std::string_view name = info(spec.loss).name;
  switch (outputs_of(spec)) {
    case Outputs::per_value:
      require(values > 0 && columns % values == 0, name, " must have an output for each level");
      return columns / values;
    case Outputs::two:
      require(columns % 2 == 0, name, " must have two outputs for each target");
      return columns / 2;
    case Outputs::one:
      break;
  }
  require(values == 0 || values == columns, "class_weight",
          " must have one weight for each output");
  return columns;
}

template <class T>
LossFunction<T>::LossFunction(const LossSpec& spec)
    : spec_(spec), values_(spec.values.begin(), spec.values.end()) {}

template <class T>
double LossFunction<T>::total_weight(int64_t rows, const TargetView<T>& targets,
                                     const int64_t* order) const {
  const bool has_class_weights = targets.labels != nullptr && !values_.empty();
  if (targets.sample_weights == nullptr && !has_class_weights) return static_cast<double>(rows);
  double total = 0;
  for (int64_t i = 0; i < rows; ++i) {
    const int64_t row = order == nullptr ? i : order[i];
    double weight = targets.sample_weights == nullptr ? 1 : targets.sample_weights[row];
    if (has_class_weights) weight *= values_[static_cast<size_t>(targets.labels[row])];
    total += weight;
  }
  return total;
}

template <class T>
LossScale LossFunction<T>::scale(int64_t rows, int64_t columns, const TargetView<T>& targets,
                                 Reduction reduction, const int64_t* order) const {
  CHAINRULE_ASSERT(rows >= 0 && columns >= 0 && is_valid(targets, rows));
  const double weight = total_weight(rows, targets, order);
  if (reduction == Reduction::kSum) return {weight, 1};
  const double terms = weight * static_cast<double>(terms_per_row(spec_, columns));
  return {weight, terms > 0 ? 1 / terms : 0};
}

template <class T>
double LossFunction<T>::sum(const KernelTable<T>& kernels, const T* outputs, RowRange rows,
                            int64_t columns, const TargetView<T>& targets, const LossScale& scale,
                            T* gradient) const {
  CHAINRULE_ASSERT(rows.first >= 0 && rows.count >= 0 && columns >= 0);
  CHAINRULE_ASSERT(is_valid(targets, rows.count) && is_there(outputs, rows.count * columns));
  CHAINRULE_ASSERT(are_in_range(targets, rows, columns));
  const auto from = [&](auto* data, int64_t width) {
    return data == nullptr ? nullptr : data + rows.first * width;
  };
  return kernels.losses[static_cast<int>(spec_.loss)](LossArguments<T>{
      rows.count, columns, from(outputs, columns), from(targets.targets, targets.columns),
      from(targets.labels, 1), from(targets.sample_weights, 1), static_cast<T>(spec_.parameter),
      values_.data(), static_cast<int64_t>(values_.size()), static_cast<T>(scale.factor),
      from(gradient, columns)});
}

template <class T>
LossValue LossFunction<T>::operator()(Team& team, const T* outputs, int64_t rows, int64_t columns,
                                      const TargetView<T>& targets, const LossScale& scale,
                                      T* gradient) const {
  CHAINRULE_ASSERT(rows >= 0 && columns >= 0 && is_there(outputs, rows * columns));
  CHAINRULE_ASSERT(are_apart(gradient, rows * columns, outputs, rows * columns));
  // Each block's sum, then their sum in order: the same for any number of threads.
  constexpr int64_t kMostBlocks = 64, kFewestRows = 32;
  const int64_t block_rows = std::max(kFewestRows, (rows + kMostBlocks - 1) / kMostBlocks);
  const int64_t blocks = (rows + block_rows - 1) / block_rows;
  std::array<double, kMostBlocks> sums{};
  team.run_whole(blocks, rows * columns * kTermWork, [&](Context& context, int64_t block) {
    const int64_t first = block * block_rows;
    const RowRange range{first, std::min(block_rows, rows - first)};
    sums[static_cast<size_t>(block)] =
        sum(context.kernels<T>(), outputs, range, columns, targets, scale, gradient);
  });
  return {one_nan(std::accumulate(sums.begin(), sums.end(), 0.0) * scale.factor), scale.weight};
}

template class LossFunction<float>;
template class LossFunction<double>;

}  // namespace chainrule
