#include "training/batches.hpp"

#include <algorithm>
#include <numeric>
#include <utility>

#include "base/random.hpp"

namespace chainrule {

void shuffle(uint64_t seed, uint32_t epoch, int64_t* order, int64_t size, Interrupt& interrupt) {
  constexpr int64_t kRows = 1 << 14;  // a millisecond at most: then the interrupt is asked
  for (int64_t begin = 0; begin < size; begin += kRows) {
    if (interrupt.stop_requested()) return;
    std::iota(order + begin, order + std::min(size, begin + kRows), begin);
  }
  const RandomStream stream(seed, RandomPurpose::kShuffle, epoch);
  for (int64_t i = size; i > 1; --i) {
    if (i % kRows == 0 && interrupt.stop_requested()) return;
    // The bias of a remainder of 64 bits is below size / 2^64.
    const auto rows = static_cast<uint64_t>(i);
    std::swap(order[i - 1], order[stream.bits(rows) % rows]);
  }
}

template <class T>
void BatchGatherer<T>::reserve(const Dataset<T>& data, int64_t rows) {
  x_.reserve(checked_product(rows, data.in_features));
  if (data.targets.targets != nullptr) {
    targets_.reserve(checked_product(rows, data.targets.columns));
  }
  if (data.targets.labels != nullptr) labels_.reserve(rows);
  if (data.targets.sample_weights != nullptr) weights_.reserve(rows);
}

template <class T>
Batch<T> BatchGatherer<T>::slice(const Dataset<T>& data, int64_t start, int64_t rows) {
  return {data.x + start * data.in_features, rows, data.targets.from(start)};
}

template <class T>
Batch<T> BatchGatherer<T>::batch(const Dataset<T>& data, int64_t rows) {
  TargetView<T> targets = data.targets;
  if (targets.targets != nullptr) targets.targets = targets_.data();
  if (targets.labels != nullptr) targets.labels = labels_.data();
  if (targets.sample_weights != nullptr) targets.sample_weights = weights_.data();
  return {x_.data(), rows, targets};
}

template <class T>
void BatchGatherer<T>::copy(const Dataset<T>& data, const int64_t* order, RowRange range,
                            int64_t to) {
  const TargetView<T>& targets = data.targets;
  for (int64_t i = 0; i < range.count; ++i) {
    const int64_t from = order[range.first + i], row = to + i;
    std::copy_n(data.x + from * data.in_features, data.in_features,
                x_.data() + row * data.in_features);
    if (targets.targets != nullptr) {
      std::copy_n(targets.targets + from * targets.columns, targets.columns,
                  targets_.data() + row * targets.columns);
    }
    if (targets.labels != nullptr) labels_[row] = targets.labels[from];
    if (targets.sample_weights != nullptr) weights_[row] = targets.sample_weights[from];
  }
}

template class BatchGatherer<float>;
template class BatchGatherer<double>;

}  // namespace chainrule
