// Loops over arrays by vectors, and sums whose bits do not depend on the vector width. Compiled
// per variant; used by the other -inl.hpp files of this folder.
#pragma once

#include "base/checks.hpp"
#include "base/one_nan.hpp"
#include "kernels/kernel_table.hpp"
#include "simd/math.hpp"
#include "simd/vec.hpp"

namespace chainrule {
namespace {

// base/one_nan.hpp's NaN for any other.
template <class T>
CHAINRULE_INLINE Vec<T> with_one_nan(Vec<T> v) {
  return select(v == v, v, Vec<T>::broadcast(MathLimits<T>::kNan));
}

// How a loop body loads and stores: whole vectors, or the first `count` lanes of one (the other
// lanes read as 0 and are not written). Stored are results, whose NaNs become the one.
template <class T>
struct WholeLanes {
  CHAINRULE_INLINE Vec<T> load(const T* p) const { return Vec<T>::load(p); }
  CHAINRULE_INLINE void store(T* p, Vec<T> v) const { with_one_nan(v).store(p); }
};

template <class T>
struct FirstLanes {
  int64_t count;
  CHAINRULE_INLINE Vec<T> load(const T* p) const { return Vec<T>::load_partial(p, count); }
  CHAINRULE_INLINE void store(T* p, Vec<T> v) const { with_one_nan(v).store_partial(p, count); }
};

// body(i, lanes) for i = 0, kLanes, 2 kLanes ... below size.
template <class T, class Body>
CHAINRULE_INLINE void for_vectors(int64_t size, const Body& body) {
  constexpr int64_t kLanes = Vec<T>::kLanes;
  int64_t i = 0;
  for (; i + kLanes <= size; i += kLanes) body(i, WholeLanes<T>{});
  if (i < size) body(i, FirstLanes<T>{size - i});
}

// The fixed tree over 2 kWidth lanes: upper half onto lower half, until one is left.
template <int kWidth, class T, class Combine>
CHAINRULE_INLINE T fold(T* lanes, const Combine& combine) {
  for (int l = 0; l < kWidth; ++l) lanes[l] = combine(lanes[l], lanes[l + kWidth]);
  if constexpr (kWidth > 1) {
    return fold<kWidth / 2>(lanes, combine);
  } else {
    return lanes[0];
  }
}

template <class T>
CHAINRULE_INLINE T fold_sum(T* lanes) {
  return fold<kVirtualLanes / 2>(lanes, [](T a, T b) CHAINRULE_INLINE_LAMBDA { return a + b; });
}

// Sum of term(i, lanes) over a row of `size` elements; lanes past the end must give 0.
template <class T, class Term>
CHAINRULE_INLINE T row_sum(int64_t size, const Term& term) {
  constexpr int64_t kLanes = Vec<T>::kLanes;
  constexpr int kVectors = kVirtualLanes / static_cast<int>(kLanes);
  Vec<T> sums[kVectors];
  for (int v = 0; v < kVectors; ++v) sums[v] = Vec<T>::zero();
  int64_t i = 0;
  for (; i + kVirtualLanes <= size; i += kVirtualLanes) {
    for (int v = 0; v < kVectors; ++v) {
      sums[v] = sums[v] + term(i + v * kLanes, WholeLanes<T>{});
    }
  }
  for (int v = 0; v < kVectors; ++v, i += kLanes) {
    if (i + kLanes <= size) {
      sums[v] = sums[v] + term(i, WholeLanes<T>{});
    } else if (i < size) {
      sums[v] = sums[v] + term(i, FirstLanes<T>{size - i});
    }
  }
  T lanes[kVirtualLanes];
  for (int v = 0; v < kVectors; ++v) sums[v].store(lanes + v * kLanes);
  return fold_sum(lanes);
}

// A sum in double over many elements, in virtual lanes.
template <class T>
class DoubleSum {
 public:
  // term(i, lanes) -> Vec<T> over [0, size); what lanes past the end give is ignored.
  template <class Term>
  CHAINRULE_INLINE void add(int64_t size, const Term& term) {
    constexpr int64_t kLanes = Vec<T>::kLanes;
    alignas(64) T terms[kVirtualLanes];
    int64_t i = 0;
    for (; i + kVirtualLanes <= size; i += kVirtualLanes) {
      for (int64_t l = 0; l < kVirtualLanes; l += kLanes) {
        term(i + l, WholeLanes<T>{}).store(terms + l);
      }
      add_lanes(terms);
    }
    if (i < size) {
      for (int l = 0; l < kVirtualLanes; ++l) terms[l] = 0;
      for (int64_t l = 0; i + l < size; l += kLanes) {
        const FirstLanes<T> lanes{min_size(size - i - l, kLanes)};
        lanes.store(terms + l, term(i + l, lanes));
      }
      add_lanes(terms);
    }
  }

  CHAINRULE_INLINE double total() {
    double lanes[kVirtualLanes];
    for (int l = 0; l < kVirtualLanes; ++l) lanes[l] = lanes_[l];
    return one_nan(fold_sum(lanes));
  }

 private:
  static CHAINRULE_INLINE int64_t min_size(int64_t a, int64_t b) { return a < b ? a : b; }
  CHAINRULE_INLINE void add_lanes(const T* terms) {
    for (int l = 0; l < kVirtualLanes; ++l) lanes_[l] += static_cast<double>(terms[l]);
  }

  alignas(64) double lanes_[kVirtualLanes] = {};
};

// A function of vectors applied to one number.
template <class T, class Function>
CHAINRULE_INLINE T on_scalar(const Function& function, T x) {
  T lanes[Vec<T>::kLanes];
  function(Vec<T>::broadcast(x)).store(lanes);
  return one_nan(lanes[0]);
}

}  // namespace
}  // namespace chainrule
