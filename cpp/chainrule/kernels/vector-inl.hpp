// Small passes over flat arrays: dropout masks, the gradient's penalties and statistics, and the
// vector operations of L-BFGS. Compiled per variant; contracts in kernel_table.hpp.
#pragma once

#include "base/random.hpp"
#include "kernels/activation-inl.hpp"
#include "kernels/loops-inl.hpp"

namespace chainrule {
namespace {

template <class T>
void dropout_mask(uint64_t seed, uint32_t stream, uint64_t step, double probability, int64_t first,
                  T* mask, int64_t size) {
  CHAINRULE_ASSERT(0 <= probability && probability < 1);
  CHAINRULE_ASSERT(first >= 0 && size >= 0 && is_there(mask, size));
  // An element is dropped when its word is below probability * 2^32.
  const auto threshold = static_cast<uint64_t>(probability * 4294967296.0);
  const T kept = static_cast<T>(1 / (1 - probability));
  const auto key0 = static_cast<uint32_t>(seed), key1 = static_cast<uint32_t>(seed >> 32);
  const auto step_low = static_cast<uint32_t>(step);
  const auto step_high = static_cast<uint32_t>(step >> 32);
  constexpr auto kPurpose = static_cast<uint32_t>(RandomPurpose::kDropout);
  // Several blocks side by side, so that the compiler can run them in vector lanes.
  constexpr int kBlocks = 16;
  const int64_t end = first + size;
  for (int64_t i = first / 4 * 4; i < end; i += 4 * kBlocks) {
    PhiloxBlock blocks[kBlocks];
    for (int b = 0; b < kBlocks; ++b) {
      // Positions stay below 2^32 blocks: 2^34 elements of one layer in one batch.
      const auto position = static_cast<uint32_t>(i / 4 + b);
      blocks[b] = philox({{position, step_low, stream, kPurpose ^ (step_high << 8)}}, key0, key1);
    }
    const int64_t begin = i < first ? first - i : 0;
    const int64_t count = end - i < 4 * kBlocks ? end - i : 4 * kBlocks;
    for (int64_t e = begin; e < count; ++e) {
      mask[i + e - first] = blocks[e / 4].word[e % 4] < threshold ? T{0} : kept;
    }
  }
}

template <class T>
void multiply(const T* a, const T* b, T* y, int64_t size) {
  CHAINRULE_ASSERT(size >= 0 && is_there(a, size) && is_there(b, size) && is_there(y, size));
  CHAINRULE_ASSERT(are_same_or_apart(a, y, size) && are_same_or_apart(b, y, size));
  for_vectors<T>(size, [&](int64_t i, auto lanes) {
    lanes.store(y + i, lanes.load(a + i) * lanes.load(b + i));
  });
}

template <class T>
GradientSummary finish_gradient(T* gradient, const T* parameters, int64_t size, T l1, T l2, T limit,
                                bool sums_squares) {
  CHAINRULE_ASSERT(size >= 0 && is_there(gradient, size) && is_there(parameters, size));
  CHAINRULE_ASSERT(are_apart(gradient, size, parameters, size));
  const Vec<T> bound = Vec<T>::broadcast(limit);
  const Vec<T> l1_lanes = Vec<T>::broadcast(l1), l2_lanes = Vec<T>::broadcast(l2);
  const Vec<T> zero = Vec<T>::zero();
  DoubleSum<T> absolutes, squares;
  Mask<T> is_small = zero == zero;
  if (l1 != 0) {
    absolutes.add(size, [&](int64_t i, auto lanes) { return abs(lanes.load(parameters + i)); });
  }
  if (l1 != 0 || l2 != 0) {
    // One pass for the penalties' part, the check and the sum.
    squares.add(size, [&](int64_t i, auto lanes) CHAINRULE_INLINE_LAMBDA {
      const Vec<T> w = lanes.load(parameters + i);
      const Vec<T> sign = select(w == zero, zero, copysign(l1_lanes, w));
      const Vec<T> g = fma(l2_lanes, w, lanes.load(gradient + i) + sign);
      lanes.store(gradient + i, g);
      is_small = is_small & (abs(g) < bound);
      return w * w;
    });
  } else {
    for_vectors<T>(size, [&](int64_t i, auto lanes) {
      is_small = is_small & (abs(lanes.load(gradient + i)) < bound);
    });
  }
  // Squares of a float gradient stay in range in float as long as it is below the limit.
  DoubleSum<T> sum;
  if (sums_squares) {
    sum.add(size, [&](int64_t i, auto lanes) {
      const Vec<T> g = lanes.load(gradient + i);
      return g * g;
    });
  }
  const double penalty =
      static_cast<double>(l1) * absolutes.total() + 0.5 * static_cast<double>(l2) * squares.total();
  return {sum.total(), penalty, all(is_small)};
}

template <class T>
bool all_finite(const T* x, int64_t size) {
  CHAINRULE_ASSERT(size >= 0 && is_there(x, size));
  const Vec<T> zero = Vec<T>::zero();
  bool finite = true;
  for_vectors<T>(size, [&](int64_t i, auto lanes) {
    finite = finite && all(lanes.load(x + i) * zero == zero);  // infinity * 0 is NaN
  });
  return finite;
}

template <class T>
double dot(const T* x, const T* y, int64_t size) {
  CHAINRULE_ASSERT(size >= 0 && is_there(x, size) && is_there(y, size));
  DoubleSum<T> sum;
  sum.add(size, [&](int64_t i, auto lanes) { return lanes.load(x + i) * lanes.load(y + i); });
  return sum.total();
}

template <class T>
void add_scaled(T alpha, const T* x, T* y, int64_t size) {
  CHAINRULE_ASSERT(size >= 0 && is_there(x, size) && is_there(y, size));
  CHAINRULE_ASSERT(are_apart(x, size, y, size));
  const Vec<T> factor = Vec<T>::broadcast(alpha);
  for_vectors<T>(size, [&](int64_t i, auto lanes) {
    lanes.store(y + i, fma(factor, lanes.load(x + i), lanes.load(y + i)));
  });
}

}  // namespace
}  // namespace chainrule
