// The order of an epoch's rows and the batches taken from it. Used by training/trainer.cpp and the
// bindings.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/aligned_buffer.hpp"
#include "ops/loss.hpp"
#include "ops/row_blocks.hpp"
#include "ops/team.hpp"

namespace chainrule {

// order = a permutation of 0 .. size-1 that depends only on (seed, epoch): Fisher and Yates's
// shuffle over a Philox stream. On one thread; unfinished when the team's interrupt stopped it.
void shuffle(Team& team, uint64_t seed, uint32_t epoch, int64_t* order, int64_t size);

// The user's arrays, not owned.
template <class T>
struct Dataset {
  const T* x = nullptr;
  int64_t rows = 0, in_features = 0;
  TargetView<T> targets;
};

template <class T>
struct Batch {
  const T* x;
  int64_t rows;
  TargetView<T> targets;
};

// An array by rows, of any type; row_bytes 0: there is none.
struct RowArray {
  const std::byte* data = nullptr;
  int64_t row_bytes = 0;
};

// Batches of a dataset, in the order of its rows or gathered by an order.
template <class T>
class BatchGatherer {
 public:
  // Makes room for `rows` rows of batches from `data`.
  void reserve(const Dataset<T>& data, int64_t rows);

  // Rows start .. start + rows of the dataset, as they lie.
  static Batch<T> slice(const Dataset<T>& data, int64_t start, int64_t rows);
  // A batch of `rows` rows without their data: `copy` brings as many of them as there is room for.
  Batch<T> batch(const Dataset<T>& data, int64_t rows);
  // Rows order[range] of the dataset to the room's rows from `to` on.
  void copy(const Dataset<T>& data, const int64_t* order, RowRange range, int64_t to);

 private:
  // The arrays of a dataset, and a room for each.
  enum Place { kX, kTargets, kLabels, kSampleWeights, kPlaces };
  static std::array<RowArray, kPlaces> arrays_of(const Dataset<T>& data);
  template <class U>
  const U* room(Place place) const {
    return reinterpret_cast<const U*>(rooms_[place].data());
  }

  std::array<AlignedBuffer<std::byte>, kPlaces> rooms_;
};

}  // namespace chainrule
