#include "training/batches.hpp"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <utility>

#include "base/random.hpp"

namespace chainrule {

void shuffle(Team& team, uint64_t seed, uint32_t epoch, int64_t* order, int64_t size) {
  constexpr int64_t kRows = 1 << 14;  // a millisecond at most: then the interrupt is asked
  for (int64_t begin = 0; begin < size; begin += kRows) {
    if (team.stop_requested()) return;
    std::iota(order + begin, order + std::min(size, begin + kRows), begin);
  }
  const RandomStream stream(seed, RandomPurpose::kShuffle, epoch);
  for (int64_t i = size; i > 1; --i) {
    if (i % kRows == 0 && team.stop_requested()) return;
    // The bias of a remainder of 64 bits is below size / 2^64.
    const auto rows = static_cast<uint64_t>(i);
    std::swap(order[i - 1], order[stream.bits(rows) % rows]);
  }
}

template <class T>
std::array<RowArray, BatchGatherer<T>::kPlaces> BatchGatherer<T>::arrays_of(
    const Dataset<T>& data) {
  const auto array = [](const auto* first, int64_t columns) -> RowArray {
    if (first == nullptr) return {};
    return {reinterpret_cast<const std::byte*>(first),
            checked_product(columns, int64_t{sizeof(*first)})};
  };
  const TargetView<T>& targets = data.targets;
  return {array(data.x, data.in_features), array(targets.targets, targets.columns),
          array(targets.labels, 1), array(targets.sample_weights, 1)};
}

template <class T>
void BatchGatherer<T>::reserve(const Dataset<T>& data, int64_t rows) {
  const auto arrays = arrays_of(data);
  for (size_t i = 0; i < arrays.size(); ++i) {
    rooms_[i].reserve(checked_product(rows, arrays[i].row_bytes));
  }
}

template <class T>
Batch<T> BatchGatherer<T>::slice(const Dataset<T>& data, int64_t start, int64_t rows) {
  return {data.x + start * data.in_features, rows, data.targets.from(start)};
}

template <class T>
Batch<T> BatchGatherer<T>::batch(const Dataset<T>& data, int64_t rows) {
  TargetView<T> targets = data.targets;
  if (targets.targets != nullptr) targets.targets = room<T>(kTargets);
  if (targets.labels != nullptr) targets.labels = room<int32_t>(kLabels);
  if (targets.sample_weights != nullptr) targets.sample_weights = room<T>(kSampleWeights);
  return {room<T>(kX), rows, targets};
}

template <class T>
void BatchGatherer<T>::copy(const Dataset<T>& data, const int64_t* order, RowRange range,
                            int64_t to) {
  const auto arrays = arrays_of(data);
  for (int64_t i = 0; i < range.count; ++i) {
    const int64_t from = order[range.first + i], row = to + i;
    for (size_t j = 0; j < arrays.size(); ++j) {
      const int64_t bytes = arrays[j].row_bytes;
      if (bytes == 0) continue;
      std::memcpy(rooms_[j].data() + row * bytes, arrays[j].data + from * bytes,
                  static_cast<size_t>(bytes));
    }
  }
}

template class BatchGatherer<float>;
template class BatchGatherer<double>;

}  // namespace chainrule
