// Scalar functions with the same bits on every machine, which libm's do not promise: for learning
// rates and initial weights, where speed does not matter. Plain double arithmetic without fused
// multiply-adds (the build sets -ffp-contract=off). Errors are a few ULPs.
#pragma once

#include <cmath>
#include <cstdint>

namespace chainrule {

inline constexpr double kPi = 3.14159265358979323846;

// cos(pi x) for x in [0, 2]: Taylor's series after folding to [0, 1/4].
inline double cos_pi(double x) {
  if (x > 1) x = 2 - x;
  if (x > 0.5) return -cos_pi(1 - x);
  const bool near_half = x > 0.25;
  const double t = kPi * (near_half ? 0.5 - x : x);
  const double t2 = t * t;
  // cos(t) = sum (-1)^i t^2i / (2i)!, or sin(t) = cos(pi/2 - t); 9 terms reach 1e-17 at pi/4.
  double term = near_half ? t : 1, sum = term;
  for (int i = 1; i <= 9; ++i) {
    const int n = near_half ? 2 * i + 1 : 2 * i;
    term *= -t2 / (n * (n - 1));
    sum += term;
  }
  return sum;
}

// Natural logarithm of a positive normal number: frexp and the series of atanh.
inline double portable_log(double x) {
  int exponent;
  double m = std::frexp(x, &exponent);  // exact; in [1/2, 1)
  if (m < 0.70710678118654752440) {
    m *= 2;
    --exponent;
  }
  const double s = (m - 1) / (m + 1), s2 = s * s;  // |s| < 0.172: 11 terms reach 1e-18
  double power = s, sum = 0;
  for (int i = 0; i < 11; ++i, power *= s2) sum += power / (2 * i + 1);
  return 2 * sum + exponent * 0.69314718055994530942;
}

// e^x for |x| < 700: halving and Taylor's series.
inline double portable_exp(double x) {
  const double n = std::floor(x * 1.4426950408889634074 + 0.5);
  const double r = (x - n * 0x1.62e42fee00000p-1) - n * 1.90821492927058770002e-10;
  double term = 1, sum = 1;
  for (int i = 1; i <= 16; ++i) {
    term *= r / i;
    sum += term;
  }
  return std::ldexp(sum, static_cast<int>(n));
}

// x^y for x > 0.
inline double portable_pow(double x, double y) { return portable_exp(y * portable_log(x)); }

}  // namespace chainrule
