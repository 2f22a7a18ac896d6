// base^exponent by squaring: the same bits on every machine, which pow does not promise. `static`,
// for the variants' units include it too.
#pragma once

#include <cstdint>

namespace chainrule {

static inline double whole_power(double base, int64_t exponent) {
  double result = 1;
  for (; exponent > 0; exponent >>= 1, base *= base) {
    if ((exponent & 1) != 0) result *= base;
  }
  return result;
}

}  // namespace chainrule
