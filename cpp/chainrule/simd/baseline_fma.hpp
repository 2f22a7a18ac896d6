// a * b + c of one float or double, rounded once, where the CPU has no such instruction. Included
// by vec_baseline.hpp alone; calls nothing. Needs -ffp-contract=off, as all variants do.
#pragma once

#include "simd/vec.hpp"

namespace chainrule {
namespace {

CHAINRULE_INLINE uint32_t bits_of(float x) { return __builtin_bit_cast(uint32_t, x); }
CHAINRULE_INLINE uint64_t bits_of(double x) { return __builtin_bit_cast(uint64_t, x); }
CHAINRULE_INLINE float from_bits(uint32_t x) { return __builtin_bit_cast(float, x); }
CHAINRULE_INLINE double from_bits(uint64_t x) { return __builtin_bit_cast(double, x); }

// a + b rounded to odd: to the neighbor whose last bit is set if inexact. Rounded again to fewer
// bits it is as if rounded once.
CHAINRULE_INLINE double add_to_odd(double a, double b) {
  const double sum = a + b;
  const double part = sum - a;
  const double error = (a - (sum - part)) + (b - part);
  const uint64_t bits = bits_of(sum);
  const bool up = (error > 0.0) == (sum > 0.0);
  const uint64_t odd = (bits & 1U) != 0 ? bits : (up ? bits + 1U : bits - 1U);
  return from_bits(error > 0.0 || error < 0.0 ? odd : bits);
}

CHAINRULE_INLINE float exact_fma(float a, float b, float c) {
  return static_cast<float>(
      add_to_odd(static_cast<double>(a) * static_cast<double>(b), static_cast<double>(c)));
}

// Boldo and Melquiond's sum of an exact product and c, rounded once (IEEE Transactions on Computers
// 57(4), 2008). Needs a, b and c to be zero or of magnitude 2^-450 to 2^450.
CHAINRULE_INLINE double fma_in_range(double a, double b, double c) {
  constexpr double kSplitter = 134217729.0;
  const double a_part = kSplitter * a;
  const double b_part = kSplitter * b;
  const double a_high = a_part - (a_part - a);
  const double b_high = b_part - (b_part - b);
  const double a_low = a - a_high;
  const double b_low = b - b_high;
  const double product = a * b;
  const double low =
      (((a_high * b_high - product) + a_high * b_low) + a_low * b_high) + a_low * b_low;

  const double middle = c + low;
  const double middle_part = middle - c;
  const double middle_error = (c - (middle - middle_part)) + (low - middle_part);
  const double sum = product + middle;
  const double sum_part = sum - product;
  const double sum_error = (product - (sum - sum_part)) + (middle - sum_part);
  const double result = sum + add_to_odd(middle_error, sum_error);
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

CHAINRULE_INLINE bool fma_range(double x) {
  const double magnitude = from_bits(bits_of(x) & 0x7fffffffffffffffU);
  return (magnitude >= 0x1p-450 && magnitude <= 0x1p450) || bits_of(magnitude) == 0;
}

}  // namespace
}  // namespace chainrule
