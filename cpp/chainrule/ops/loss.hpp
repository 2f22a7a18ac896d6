// A loss with its parameters: its value over a batch, reduced by mean or sum, and its gradient.
// Called by network, training and the bindings; calls a variant's kernels.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/lists.hpp"
#include "ops/row_blocks.hpp"

namespace chainrule {

struct LossSpec {
  Loss loss{};
  double parameter = 0;        // the one that its row names
  std::vector<double> values;  // levels of quantiles, or class weights
};

inline bool takes_labels(const LossSpec& spec) {
  return info(spec.loss).targets == Targets::labels;
}
// Columns of the targets, or probabilities, that go with so many outputs. Throws
// std::invalid_argument when the loss does not fit such outputs.
int64_t target_columns(const LossSpec& spec, int64_t columns);

enum class Reduction { kMean, kSum };

// A batch's targets and weights. One of targets and labels is null.
template <class T>
struct TargetView {
  const T* targets = nullptr;  // (rows, columns)
  int64_t columns = 0;
  const int32_t* labels = nullptr;    // (rows)
  const T* sample_weights = nullptr;  // (rows), or null for ones

  // Those of the rows from `row` on.
  TargetView from(int64_t row) const {
    return {targets == nullptr ? nullptr : targets + row * columns, columns,
            labels == nullptr ? nullptr : labels + row,
            sample_weights == nullptr ? nullptr : sample_weights + row};
  }
};

struct LossValue {
  double value;   // reduced
  double weight;  // what a mean divided by: means of batches combine by it
};

struct LossScale {
  double weight;  // of the batch
  double factor;  // of its sum and of the gradient
};

template <class T>
class LossFunction {
 public:
  explicit LossFunction(const LossSpec& spec);

  // What a batch's sum is divided by. Its rows are those of the targets, or order[0 .. rows) of
  // them.
  LossScale scale(int64_t rows, int64_t columns, const TargetView<T>& targets, Reduction reduction,
                  const int64_t* order = nullptr) const;

  // outputs (rows, columns). The gradient with respect to them is written when not null.
  LossValue operator()(Team& team, const T* outputs, int64_t rows, int64_t columns,
                       const TargetView<T>& targets, const LossScale& scale, T* gradient) const;
  LossValue operator()(Team& team, const T* outputs, int64_t rows, int64_t columns,
                       const TargetView<T>& targets, Reduction reduction, T* gradient) const {
    return (*this)(team, outputs, rows, columns, targets, scale(rows, columns, targets, reduction),
                   gradient);
  }

  // The sum over some of these rows, before the division.
  double sum(const KernelTable<T>& kernels, const T* outputs, RowRange rows, int64_t columns,
             const TargetView<T>& targets, const LossScale& scale, T* gradient) const;

 private:
  double total_weight(int64_t rows, const TargetView<T>& targets, const int64_t* order) const;

  LossSpec spec_;
  std::vector<T> values_;
};

}  // namespace chainrule
