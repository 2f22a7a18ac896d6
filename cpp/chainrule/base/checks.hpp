// Overflow-checked sizes. Python has validated what users give; these guard sizes that only C++
// computes. Used by every layer above.
#pragma once

#include <cstdint>
#include <limits>
#include <stdexcept>

namespace chainrule {

// a * b for sizes (not negative). Throws std::length_error when it does not fit.
inline int64_t checked_product(int64_t a, int64_t b) {
  if (b != 0 && a > std::numeric_limits<int64_t>::max() / b) {
    throw std::length_error("array size does not fit in 64 bits");
  }
  return a * b;
}

// a + b for sizes (not negative). Throws std::length_error when it does not fit.
inline int64_t checked_sum(int64_t a, int64_t b) {
  if (a > std::numeric_limits<int64_t>::max() - b) {
    throw std::length_error("array size does not fit in 64 bits");
  }
  return a + b;
}

}  // namespace chainrule
