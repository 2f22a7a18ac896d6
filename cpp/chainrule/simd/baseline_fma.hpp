// a * b + c, rounded once, where the CPU has no such instruction. Included by vec_baseline.hpp
// alone; calls nothing. D is double or a group of them. Needs -ffp-contract=off, as all variants
// do.
#pragma once

#include "simd/baseline_groups.hpp"

namespace chainrule {
namespace {

// a + b rounded to odd: to the neighbor whose last bit is set if inexact. Rounded again to fewer
// bits it is as if rounded once.
template <class D>
CHAINRULE_INLINE D add_to_odd(D a, D b) {
  const D sum = a + b;
  const D part = sum - a;
  const D error = (a - (sum - part)) + (b - part);
  const auto bits = bits_of(sum);
  const auto inexact = all_ones(error > 0.0) | all_ones(error < 0.0);
  // All ones, that is -1, where the exact sum is smaller in magnitude than sum.
  const auto below = all_ones(error > 0.0) ^ all_ones(sum > 0.0);
  const auto odd = (bits + below) | uint64_t{1};
  return from_bits((odd & inexact) | (bits & ~inexact));
}

CHAINRULE_INLINE float exact_fma(float a, float b, float c) {
  return static_cast<float>(
      add_to_odd(static_cast<double>(a) * static_cast<double>(b), static_cast<double>(c)));
}

// Boldo and Melquiond's sum of an exact product and c, rounded once (IEEE Transactions on Computers
// 57(4), 2008). Needs a, b and c to be zero or of magnitude 2^-450 to 2^450.
template <class D>
CHAINRULE_INLINE D fma_in_range(D a, D b, D c) {
  constexpr double kSplitter = 134217729.0;
  const D a_part = kSplitter * a;
  const D b_part = kSplitter * b;
  const D a_high = a_part - (a_part - a);
  const D b_high = b_part - (b_part - b);
  const D a_low = a - a_high;
  const D b_low = b - b_high;
  const D product = a * b;
  const D low = (((a_high * b_high - product) + a_high * b_low) + a_low * b_high) + a_low * b_low;

  const D middle = c + low;
  const D middle_part = middle - c;
  const D middle_error = (c - (middle - middle_part)) + (low - middle_part);
  const D sum = product + middle;
  const D sum_part = sum - product;
  const D sum_error = (product - (sum - sum_part)) + (middle - sum_part);
  const D result = sum + add_to_odd(middle_error, sum_error);
  // An exact zero takes its sign from the signs of product and c.
  return result == 0.0 ? product + c : result;
}

// The same for any a, b, c: scaled to magnitudes near 1. A denormal result is rounded twice.
inline double fma_any(double a, double b, double c) {
  constexpr uint64_t kExponent = 0x7ff0000000000000U;
  const auto finite = [](double x) { return (bits_of(x) & kExponent) != kExponent; };
  if (!finite(a) || !finite(b) || a == 0.0 || b == 0.0) return a * b + c;
  if (!finite(c)) return c;
  if (c == 0.0) return a * b;
  double parts[3] = {a, b, c};
  int exponents[3];
  for (int i = 0; i < 3; ++i) {
    int exponent = 0;
    if ((bits_of(parts[i]) & kExponent) == 0) {
      parts[i] *= 18014398509481984.0;
      exponent = -54;
    }
    const uint64_t bits = bits_of(parts[i]);
    exponents[i] = exponent + static_cast<int>((bits & kExponent) >> 52) - 1023;
    parts[i] = from_bits((bits & ~kExponent) | 0x3ff0000000000000U);
  }
  const auto power = [](int n) { return from_bits(static_cast<uint64_t>(n + 1023) << 52); };
  const int scale = exponents[0] + exponents[1];
  const int distance = exponents[2] - scale;
  if (distance > 120) return c;
  const double addend = parts[2] * power(distance < -120 ? -120 : distance);
  const double sum = fma_in_range(parts[0], parts[1], addend);
  if (sum == 0.0) return sum;
  const int size = scale + static_cast<int>((bits_of(sum) & kExponent) >> 52) - 1023;
  // Beyond 1100 the result is infinite or zero at any size.
  const int bounded_size = size > 1100 ? 1100 : (size < -1100 ? -1100 : size);
  const int bounded = scale - size + bounded_size;
  const int half = bounded / 2;
  return (sum * power(half)) * power(bounded - half);
}

// All ones where fma_in_range may be used.
template <class D>
CHAINRULE_INLINE auto fma_range(D x) {
  const auto magnitude = bits_of(x) & uint64_t{0x7fffffffffffffff};
  const D size = from_bits(magnitude);
  return (all_ones(size >= 0x1p-450) & all_ones(size <= 0x1p450)) |
         all_ones(magnitude == uint64_t{0});
}

}  // namespace
}  // namespace chainrule
