// Vec and Mask of vec.hpp as plain arrays, in loops that any compiler vectorizes for any CPU:
// right, not fast. Included by vec.hpp alone. fma is rounded once by error-free transformations,
// so that the functions of math.hpp return the bits of the other variants.
#pragma once

#include "simd/vec.hpp"

namespace chainrule {
namespace {

template <class T>
struct Lanes;

template <>
struct Lanes<float> {
  using Bits = uint32_t;
  static constexpr int64_t kCount = 4;
  static constexpr Bits kSign = 0x80000000U;
  static constexpr float kIntegral = 8388608.0F;
};

template <>
struct Lanes<double> {
  using Bits = uint64_t;
  static constexpr int64_t kCount = 2;
  static constexpr Bits kSign = 0x8000000000000000U;
  static constexpr double kIntegral = 4503599627370496.0;
};

template <class T>
struct Mask {
  typename Lanes<T>::Bits raw[Lanes<T>::kCount];
};

template <class T>
struct Vec {
  static constexpr int64_t kLanes = Lanes<T>::kCount;
  T raw[kLanes];

  static CHAINRULE_INLINE Vec load(const T* from) {
    Vec v;
    for (int64_t i = 0; i < kLanes; ++i) v.raw[i] = from[i];
    return v;
  }
  static CHAINRULE_INLINE Vec load_partial(const T* from, int64_t count) {
    Vec v = zero();
    for (int64_t i = 0; i < count; ++i) v.raw[i] = from[i];
    return v;
  }
  CHAINRULE_INLINE void store(T* to) const {
    for (int64_t i = 0; i < kLanes; ++i) to[i] = raw[i];
  }
  CHAINRULE_INLINE void store_partial(T* to, int64_t count) const {
    for (int64_t i = 0; i < count; ++i) to[i] = raw[i];
  }
  static CHAINRULE_INLINE Vec zero() { return broadcast(T{0}); }
  static CHAINRULE_INLINE Vec broadcast(T x) {
    Vec v;
    for (int64_t i = 0; i < kLanes; ++i) v.raw[i] = x;
    return v;
  }
};

CHAINRULE_INLINE uint32_t bits_of(float x) { return __builtin_bit_cast(uint32_t, x); }
CHAINRULE_INLINE uint64_t bits_of(double x) { return __builtin_bit_cast(uint64_t, x); }
CHAINRULE_INLINE float from_bits(uint32_t x) { return __builtin_bit_cast(float, x); }
CHAINRULE_INLINE double from_bits(uint64_t x) { return __builtin_bit_cast(double, x); }

// One operation, lane by lane.
#define CHAINRULE_LANES(T, result, expression) \
  result v;                                    \
  for (int64_t i = 0; i < Lanes<T>::kCount; ++i) v.raw[i] = expression; \
  return v

template <class T>
CHAINRULE_INLINE Vec<T> operator+(Vec<T> a, Vec<T> b) {
  CHAINRULE_LANES(T, Vec<T>, a.raw[i] + b.raw[i]);
}
template <class T>
CHAINRULE_INLINE Vec<T> operator-(Vec<T> a, Vec<T> b) {
  CHAINRULE_LANES(T, Vec<T>, a.raw[i] - b.raw[i]);
}
template <class T>
CHAINRULE_INLINE Vec<T> operator*(Vec<T> a, Vec<T> b) {
  CHAINRULE_LANES(T, Vec<T>, a.raw[i] * b.raw[i]);
}
template <class T>
CHAINRULE_INLINE Vec<T> operator/(Vec<T> a, Vec<T> b) {
  CHAINRULE_LANES(T, Vec<T>, a.raw[i] / b.raw[i]);
}
template <class T>
CHAINRULE_INLINE Vec<T> operator-(Vec<T> a) {
  CHAINRULE_LANES(T, Vec<T>, from_bits(bits_of(a.raw[i]) ^ Lanes<T>::kSign));
}
template <class T>
CHAINRULE_INLINE Vec<T> multiply_add(Vec<T> a, Vec<T> b, Vec<T> c) {
  CHAINRULE_LANES(T, Vec<T>, a.raw[i] * b.raw[i] + c.raw[i]);
}
template <class T>
CHAINRULE_INLINE Vec<T> abs(Vec<T> a) {
  CHAINRULE_LANES(T, Vec<T>, from_bits(bits_of(a.raw[i]) & ~Lanes<T>::kSign));
}
template <class T>
CHAINRULE_INLINE Vec<T> copysign(Vec<T> magnitude, Vec<T> sign) {
  CHAINRULE_LANES(T, Vec<T>,
                  from_bits((bits_of(magnitude.raw[i]) & ~Lanes<T>::kSign) |
                            (bits_of(sign.raw[i]) & Lanes<T>::kSign)));
}
template <class T>
CHAINRULE_INLINE Vec<T> min(Vec<T> a, Vec<T> b) {
  CHAINRULE_LANES(T, Vec<T>, a.raw[i] < b.raw[i] ? a.raw[i] : b.raw[i]);
}
template <class T>
CHAINRULE_INLINE Vec<T> max(Vec<T> a, Vec<T> b) {
  CHAINRULE_LANES(T, Vec<T>, a.raw[i] > b.raw[i] ? a.raw[i] : b.raw[i]);
}
template <class T>
CHAINRULE_INLINE Mask<T> operator<(Vec<T> a, Vec<T> b) {
  using Bits = typename Lanes<T>::Bits;
  CHAINRULE_LANES(T, Mask<T>, a.raw[i] < b.raw[i] ? ~Bits{0} : Bits{0});
}
template <class T>
CHAINRULE_INLINE Mask<T> operator<=(Vec<T> a, Vec<T> b) {
  using Bits = typename Lanes<T>::Bits;
  CHAINRULE_LANES(T, Mask<T>, a.raw[i] <= b.raw[i] ? ~Bits{0} : Bits{0});
}
template <class T>
CHAINRULE_INLINE Mask<T> operator>(Vec<T> a, Vec<T> b) {
  return b < a;
}
template <class T>
CHAINRULE_INLINE Mask<T> operator>=(Vec<T> a, Vec<T> b) {
  return b <= a;
}
template <class T>
CHAINRULE_INLINE Mask<T> operator==(Vec<T> a, Vec<T> b) {
  using Bits = typename Lanes<T>::Bits;
  CHAINRULE_LANES(T, Mask<T>, a.raw[i] == b.raw[i] ? ~Bits{0} : Bits{0});
}
template <class T>
CHAINRULE_INLINE Mask<T> operator&(Mask<T> a, Mask<T> b) {
  CHAINRULE_LANES(T, Mask<T>, a.raw[i] & b.raw[i]);
}
template <class T>
CHAINRULE_INLINE Mask<T> operator|(Mask<T> a, Mask<T> b) {
  CHAINRULE_LANES(T, Mask<T>, a.raw[i] | b.raw[i]);
}
template <class T>
CHAINRULE_INLINE Mask<T> operator!(Mask<T> a) {
  CHAINRULE_LANES(T, Mask<T>, ~a.raw[i]);
}
template <class T>
CHAINRULE_INLINE Mask<T> is_nan(Vec<T> a) {
  return !(a == a);
}
template <class T>
CHAINRULE_INLINE bool all(Mask<T> a) {
  bool result = true;
  for (int64_t i = 0; i < Lanes<T>::kCount; ++i) result = result && a.raw[i] != 0;
  return result;
}
template <class T>
CHAINRULE_INLINE bool any(Mask<T> a) {
  return !all(!a);
}
template <class T>
CHAINRULE_INLINE Vec<T> select(Mask<T> mask, Vec<T> if_true, Vec<T> if_false) {
  CHAINRULE_LANES(T, Vec<T>,
                  from_bits((bits_of(if_true.raw[i]) & mask.raw[i]) |
                            (bits_of(if_false.raw[i]) & ~mask.raw[i])));
}
// From kIntegral on every value is integral; below it, adding and subtracting kIntegral rounds.
template <class T>
CHAINRULE_INLINE Vec<T> round_even(Vec<T> a) {
  const Vec<T> magnitude = abs(a);
  const Vec<T> integral = Vec<T>::broadcast(Lanes<T>::kIntegral);
  return select(magnitude < integral, copysign((magnitude + integral) - integral, a), a);
}
template <class T>
CHAINRULE_INLINE Vec<T> power_of_two(Vec<T> t) {
  CHAINRULE_LANES(T, Vec<T>, from_bits(bits_of(t.raw[i]) << SplitConstants<T>::kMantissaBits));
}
template <class T>
CHAINRULE_INLINE Vec<T> scale_normal(Vec<T> p, Vec<T>, Vec<T> t) {
  CHAINRULE_LANES(T, Vec<T>,
                  from_bits(bits_of(p.raw[i]) +
                            (bits_of(t.raw[i]) << SplitConstants<T>::kMantissaBits)));
}
template <class T>
CHAINRULE_INLINE Split<T> split_exponent(Vec<T> x) {
  using C = SplitConstants<T>;
  using Bits = typename Lanes<T>::Bits;
  Split<T> s;
  for (int64_t i = 0; i < Lanes<T>::kCount; ++i) {
    const Bits bits = bits_of(x.raw[i]) + static_cast<Bits>(C::kToOne);
    s.mantissa.raw[i] = from_bits((bits & static_cast<Bits>(C::kMantissaMask)) +
                                  static_cast<Bits>(C::kHalfRoot));
    s.exponent.raw[i] =
        from_bits((bits >> C::kMantissaBits) | static_cast<Bits>(C::kSplitBits)) - C::kSplitOffset;
  }
  return s;
}

// The instructions: an optimizer knows no other way to have the root without errno.
CHAINRULE_INLINE float sqrt_lane(float x) {
#if defined(_MSC_VER) && !defined(__clang__)
  return _mm_cvtss_f32(_mm_sqrt_ss(_mm_set_ss(x)));
#else
  return x >= 0.0F ? __builtin_sqrtf(x) : (x - x) / (x - x);
#endif
}
CHAINRULE_INLINE double sqrt_lane(double x) {
#if defined(_MSC_VER) && !defined(__clang__)
  return _mm_cvtsd_f64(_mm_sqrt_sd(_mm_setzero_pd(), _mm_set_sd(x)));
#else
  return x >= 0.0 ? __builtin_sqrt(x) : (x - x) / (x - x);
#endif
}
template <class T>
CHAINRULE_INLINE Vec<T> sqrt(Vec<T> a) {
  CHAINRULE_LANES(T, Vec<T>, sqrt_lane(a.raw[i]));
}

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

// Called, not inlined: 30 copies in every function would make this the largest variant by far.
CHAINRULE_OUTLINE Vec<float> fma(Vec<float> a, Vec<float> b, Vec<float> c) {
  CHAINRULE_LANES(float, Vec<float>,
                  static_cast<float>(add_to_odd(
                      static_cast<double>(a.raw[i]) * static_cast<double>(b.raw[i]),
                      static_cast<double>(c.raw[i]))));
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
  const int bounded = size > 1100 ? scale - size + 1100 : (size < -1100 ? scale - size - 1100 : scale);
  const int half = bounded / 2;
  return (sum * power(half)) * power(bounded - half);
}

CHAINRULE_INLINE bool fma_range(double x) {
  const double magnitude = from_bits(bits_of(x) & ~Lanes<double>::kSign);
  return (magnitude >= 0x1p-450 && magnitude <= 0x1p450) || bits_of(magnitude) == 0;
}

CHAINRULE_OUTLINE Vec<double> fma(Vec<double> a, Vec<double> b, Vec<double> c) {
  Vec<double> v;
  bool in_range = true;
  for (int64_t i = 0; i < 2; ++i) {
    v.raw[i] = fma_in_range(a.raw[i], b.raw[i], c.raw[i]);
    in_range = in_range & fma_range(a.raw[i]) & fma_range(b.raw[i]) & fma_range(c.raw[i]);
  }
  if (!in_range) {
    for (int64_t i = 0; i < 2; ++i) v.raw[i] = fma_any(a.raw[i], b.raw[i], c.raw[i]);
  }
  return v;
}

template <class T>
CHAINRULE_INLINE Vec<T> negative_fma(Vec<T> a, Vec<T> b, Vec<T> c) {
  return fma(-a, b, c);
}

#undef CHAINRULE_LANES

}  // namespace
}  // namespace chainrule
