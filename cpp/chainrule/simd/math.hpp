// The elementary functions of the kernels, once, over Vec<T>: exp, expm1, log, log1p, tanh,
// sigmoid, erf, softplus and normal_cdf. Called by the kernels of a variant; calls vec.hpp alone.
// Every function does the same operations in the same order in every variant, and so returns the
// same bits; the coefficients are made by math_coefficients.sollya.
//
// Worst errors in units in the last place, measured by tests/cpp/test_math_exhaustive.cpp: float32
// over all 2^32 arguments, float64 over 20 million; in brackets the bounds that it asserts.
//
//              exp    expm1  log    log1p  tanh   sigmoid  erf    softplus  normal_cdf
//   float32    0.90   1.29   0.89   1.50   0.97   0.99     1.06   1.80      5.00
//              (1)    (2)    (1)    (2)    (1)    (1)      (2)    (2)       (6)
//   float64    0.92   1.70   0.85   1.23   1.34   0.99     1.03   1.89      4.45
//              (1)    (2)    (1)    (2)    (2)    (1)      (2)    (2)       (6)
//
// NaN gives NaN, infinities and the sign of zero are as IEEE 754 and C have them. Denormals: an
// argument counts as zero and a result becomes zero, as flush-to-zero has it; without it some
// functions return denormals.
#pragma once

#include "simd/math_coefficients.hpp"
#include "simd/vec.hpp"

namespace chainrule {
namespace {

template <class T>
struct MathLimits;

template <>
struct MathLimits<float> {
  static constexpr float kInfinity = __builtin_huge_valf();
  static constexpr float kNan = __builtin_nanf("");
  static constexpr float kMinNormal = 0x1p-126F;
  static constexpr float kMaxFinite = 0x1.fffffep127F;
  static constexpr float kTiny = 0x1p-25F;    // expm1(x) and log1p(x) are x below
  static constexpr float kExpm1Min = -20.0F;  // expm1 is -1 below
  static constexpr float kTanhMax = 10.0F;    // tanh is 1 above
  static constexpr float kDensityAtZero = 0.398942280401432678F;
  static constexpr bool kLogDivides = false;
};

template <>
struct MathLimits<double> {
  static constexpr double kInfinity = __builtin_huge_val();
  static constexpr double kNan = __builtin_nan("");
  static constexpr double kMinNormal = 0x1p-1022;
  static constexpr double kMaxFinite = 0x1.fffffffffffffp1023;
  static constexpr double kTiny = 0x1p-54;
  static constexpr double kExpm1Min = -40.0;
  static constexpr double kTanhMax = 20.0;
  static constexpr double kDensityAtZero = 0.398942280401432678;
  static constexpr bool kLogDivides = true;
};

template <int kFrom, class T, int kCount>
CHAINRULE_INLINE Vec<T> horner(Vec<T> x, const T (&c)[kCount]) {
  if constexpr (kFrom == kCount - 1) {
    return Vec<T>::broadcast(c[kFrom]);
  } else {
    return fma(x, horner<kFrom + 1>(x, c), Vec<T>::broadcast(c[kFrom]));
  }
}

// c[0] + c[1] x + c[2] x^2 + ...
template <class T, int kCount>
CHAINRULE_INLINE Vec<T> polynomial(Vec<T> x, const T (&c)[kCount]) {
  return horner<0>(x, c);
}

// x = n log(2) + r with integral n and |r| <= log(2) / 2; t = shift + n.
template <class T>
struct ExpArgument {
  Vec<T> n;
  Vec<T> r;
  Vec<T> t;
};

template <class T>
CHAINRULE_INLINE ExpArgument<T> reduce_exp(Vec<T> x, T shift) {
  using C = MathConstants<T>;
  const Vec<T> t = fma(x, Vec<T>::broadcast(C::kLog2E), Vec<T>::broadcast(shift));
  const Vec<T> n = t - Vec<T>::broadcast(shift);
  // The first difference is exact: n * kLog2High is, and it is within a factor of 2 of x.
  const Vec<T> high = negative_fma(n, Vec<T>::broadcast(C::kLog2High), x);
  return {n, negative_fma(n, Vec<T>::broadcast(C::kLog2Low), high), t};
}

// exp(r) for |r| <= log(2) / 2.
template <class T>
CHAINRULE_INLINE Vec<T> exp_reduced(Vec<T> r) {
  const Vec<T> one = Vec<T>::broadcast(T{1});
  return fma(r, fma(r, polynomial(r, MathConstants<T>::kExp), one), one);
}

// exp(r) - 1 for |r| <= log(2) / 2, to a relative error of about one rounding.
template <class T>
CHAINRULE_INLINE Vec<T> expm1_reduced(Vec<T> r) {
  return fma(r * r, polynomial(r, MathConstants<T>::kExp), r);
}

// exp(x) for x <= kExpMax; any bits for NaN.
template <class T>
CHAINRULE_INLINE Vec<T> exp_bounded(Vec<T> x) {
  const ExpArgument<T> e = reduce_exp(x, PowerShift<T>::kPlain);
  const Vec<T> scaled = scale_normal(exp_reduced(e.r), e.n, e.t);
  return select(x < Vec<T>::broadcast(MathConstants<T>::kExpMin), Vec<T>::zero(), scaled);
}

template <class T>
CHAINRULE_INLINE Vec<T> exp(Vec<T> x) {
  // The product is infinite for large x, and NaN for NaN.
  return select(x <= Vec<T>::broadcast(MathConstants<T>::kExpMax), exp_bounded(x),
                x * Vec<T>::broadcast(MathLimits<T>::kMaxFinite));
}

// 2^n (1 + r + v) - 1 as 2 (2^(n-1) v + (2^(n-1) r + (2^(n-1) - 1/2))), in which nothing overflows
// too early, and the inner sum is exact where the outer one cancels most, for n = 1.
template <class T>
CHAINRULE_INLINE Vec<T> expm1(Vec<T> x) {
  using Limits = MathLimits<T>;
  const Vec<T> bounded = max(Vec<T>::broadcast(Limits::kExpm1Min), x);
  const ExpArgument<T> e = reduce_exp(bounded, PowerShift<T>::kBiased - T{1});
  const Vec<T> power = power_of_two(e.t);
  const Vec<T> v = e.r * e.r * polynomial(e.r, MathConstants<T>::kExp);
  const Vec<T> half = fma(power, v, fma(power, e.r, power - Vec<T>::broadcast(T{0.5})));
  const Vec<T> finite = select(abs(x) < Vec<T>::broadcast(Limits::kTiny), x, half + half);
  return select(bounded <= Vec<T>::broadcast(MathConstants<T>::kExpMax), finite,
                x * Vec<T>::broadcast(Limits::kMaxFinite));
}

// log(1 + f) - f for sqrt(1/2) <= 1 + f < sqrt(2). In float a polynomial is faster than the
// quotient, in double it is not.
template <class T>
CHAINRULE_INLINE Vec<T> log_remainder(Vec<T> f) {
  if constexpr (MathLimits<T>::kLogDivides) {
    // With s = f / (2 + f): log(1 + f) = 2 atanh(s) = f - f^2/2 + s (f^2/2 + s^2 p(s^2)).
    const Vec<T> s = f / (Vec<T>::broadcast(T{2}) + f);
    const Vec<T> square = s * s;
    const Vec<T> half = Vec<T>::broadcast(T{0.5}) * f * f;
    return fma(s, fma(square, polynomial(square, MathConstants<T>::kLog), half), -half);
  } else {
    return f * f * polynomial(f, MathConstants<T>::kLog);
  }
}

// k log(2) + log(1 + f). The sum k log(2) + f is carried exactly.
template <class T>
CHAINRULE_INLINE Vec<T> log_sum(Vec<T> k, Vec<T> f) {
  using C = MathConstants<T>;
  const Vec<T> log2_high = Vec<T>::broadcast(C::kLog2High);
  const Vec<T> high = fma(k, log2_high, f);
  const Vec<T> low = fma(k, log2_high, -high) + f;
  return high + (low + fma(k, Vec<T>::broadcast(C::kLog2Low), log_remainder(f)));
}

template <class T>
CHAINRULE_INLINE Vec<T> log(Vec<T> x) {
  using Limits = MathLimits<T>;
  const Split<T> parts = split_exponent(x);
  const Vec<T> normal = log_sum(parts.exponent, parts.mantissa - Vec<T>::broadcast(T{1}));
  const Vec<T> at_most_zero = select(x < Vec<T>::zero(), Vec<T>::broadcast(Limits::kNan),
                                     Vec<T>::broadcast(-Limits::kInfinity));
  return select(x < Vec<T>::broadcast(Limits::kMinNormal), at_most_zero,
                select(x <= Vec<T>::broadcast(Limits::kMaxFinite), normal, x));
}

template <class T>
CHAINRULE_INLINE Vec<T> log1p(Vec<T> x) {
  using Limits = MathLimits<T>;
  const Vec<T> one = Vec<T>::broadcast(T{1});
  const Vec<T> sum = one + x;
  const Vec<T> lost = x - (sum - one);
  const Split<T> parts = split_exponent(sum);
  // From 2^64 on nothing but a negligible part of 1 is lost.
  const Vec<T> scale = power_of_two(Vec<T>::broadcast(PowerShift<T>::kBiased) -
                                    min(parts.exponent, Vec<T>::broadcast(T{64})));
  const Vec<T> normal = log_sum(parts.exponent, fma(lost, scale, parts.mantissa - one));
  const Vec<T> at_most_minus_one = select(sum < Vec<T>::zero(), Vec<T>::broadcast(Limits::kNan),
                                          Vec<T>::broadcast(-Limits::kInfinity));
  const Vec<T> finite = select(sum <= Vec<T>::zero(), at_most_minus_one, normal);
  const Mask<T> computed = abs(x) >= Vec<T>::broadcast(Limits::kTiny);
  return select(computed & (x <= Vec<T>::broadcast(Limits::kMaxFinite)), finite, x);
}

// x + x^3 p(x^2) where 1 - 2 / (exp(2 x) + 1) would lose digits, and that elsewhere; exp(2 x) is
// power + power u, so that it is not rounded before 1 is added.
template <class T>
CHAINRULE_INLINE Vec<T> tanh(Vec<T> x) {
  using C = MathConstants<T>;
  const Vec<T> one = Vec<T>::broadcast(T{1});
  const Vec<T> two = Vec<T>::broadcast(T{2});
  const Vec<T> shift = Vec<T>::broadcast(PowerShift<T>::kBiased);
  const Vec<T> a = abs(x);

  const Vec<T> bounded = min(Vec<T>::broadcast(MathLimits<T>::kTanhMax), a);
  const Vec<T> t = fma(bounded, Vec<T>::broadcast(C::kLog2E * T{2}), shift);
  const Vec<T> r = negative_fma(t - shift, Vec<T>::broadcast(C::kLog2 * T{0.5}), bounded);
  const Vec<T> u = r * fma(r, polynomial(r, C::kExpDoubled), two);
  const Vec<T> power = power_of_two(t);
  const Vec<T> large = one - two / fma(power, u, power + one);

  const Vec<T> square = a * a;
  const Vec<T> small = fma(a, square * polynomial(square, C::kTanh), a);
  return copysign(select(a < Vec<T>::broadcast(C::kTanhLimit), small, large), x);
}

// 1 / w for w = 1 + exp(-x) = 1 + power + power u, summed in two parts; the quotient is corrected
// by its remainder.
template <class T>
CHAINRULE_INLINE Vec<T> sigmoid(Vec<T> x) {
  using C = MathConstants<T>;
  const Vec<T> one = Vec<T>::broadcast(T{1});
  const Vec<T> bounded =
      max(Vec<T>::broadcast(C::kExpMin), min(Vec<T>::broadcast(C::kPowerMax), -x));
  const ExpArgument<T> e = reduce_exp(bounded, PowerShift<T>::kBiased);
  const Vec<T> power = power_of_two(e.t);
  const Vec<T> u = expm1_reduced(e.r);
  // What the sum loses is exact unless power is below half an ulp of 1, too small to count.
  const Vec<T> sum = power + one;
  const Vec<T> lost = one - (sum - power);
  const Vec<T> high = fma(power, u, sum);
  const Vec<T> low = fma(power, u, sum - high) + lost;
  const Vec<T> y = one / high;
  const Vec<T> remainder = negative_fma(y, low, negative_fma(y, high, one));
  return fma(y, remainder, y);
}

// x + x p(x^2) where 1 - erfc(x) would lose digits, and elsewhere 1 - exp(log(erfc(x))).
template <class T>
CHAINRULE_INLINE Vec<T> erf(Vec<T> x) {
  using C = MathConstants<T>;
  const Vec<T> a = abs(x);
  const Vec<T> small = fma(a, polynomial(a * a, C::kErf), a);

  const Vec<T> centered =
      min(Vec<T>::broadcast(C::kErfTailLimit), a) - Vec<T>::broadcast(C::kErfLimit);
  const ExpArgument<T> e = reduce_exp(polynomial(centered, C::kErfTail), PowerShift<T>::kBiased);
  const Vec<T> large = negative_fma(power_of_two(e.t), exp_reduced(e.r), Vec<T>::broadcast(T{1}));
  return copysign(select(a < Vec<T>::broadcast(C::kErfLimit), small, large), x);
}

// log(1 + exp(x)) = max(x, 0) + log(1 + exp(-|x|)).
template <class T>
CHAINRULE_INLINE Vec<T> softplus(Vec<T> x) {
  const Vec<T> z = exp_bounded(-abs(x));
  return max(Vec<T>::zero(), x) + fma(z * z, polynomial(z, MathConstants<T>::kLog1p), z);
}

template <class T>
struct Normal {
  Vec<T> cdf;
  Vec<T> density;
};

// The standard normal distribution function, also of very negative x, and its derivative. Phi(-a)
// is the product of exp(-a^2 / 2), with the rounding error of a^2 carried, and a smooth factor:
// 1 / (a + k) times a polynomial in q = (a - k) / (a + k), which its remainder corrects: errors of
// q near -1 would count most.
template <class T>
CHAINRULE_INLINE Normal<T> normal_cdf_and_density(Vec<T> x) {
  using C = MathConstants<T>;
  const Vec<T> one = Vec<T>::broadcast(T{1});
  const Vec<T> minus_half = Vec<T>::broadcast(T{-0.5});
  const Vec<T> center = Vec<T>::broadcast(C::kPhiCenter);
  const Vec<T> at_zero = Vec<T>::broadcast(MathLimits<T>::kDensityAtZero);
  const Vec<T> a = min(Vec<T>::broadcast(C::kPhiLimit), abs(x));

  const Vec<T> inverse = one / (a + center);
  const Vec<T> quotient = (a - center) * inverse;
  const Vec<T> remainder = negative_fma(quotient, a, negative_fma(quotient + one, center, a));
  const Vec<T> factor = inverse * polynomial(fma(remainder, inverse, quotient), C::kPhi);

  const Vec<T> square = a * a;
  const Vec<T> lost = fma(a, a, -square);
  const ExpArgument<T> e = reduce_exp(minus_half * square, PowerShift<T>::kBiased);
  const Vec<T> power = power_of_two(e.t);
  const Vec<T> u = expm1_reduced(fma(minus_half, lost, e.r));
  const Vec<T> tail = fma(factor, u, factor) * power;
  return {select(x < Vec<T>::zero(), tail, one - tail), fma(at_zero, u, at_zero) * power};
}

template <class T>
CHAINRULE_INLINE Vec<T> normal_cdf(Vec<T> x) {
  return normal_cdf_and_density(x).cdf;
}

}  // namespace
}  // namespace chainrule
