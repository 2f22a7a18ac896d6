// Vec and Mask of vec.hpp as plain arrays, in loops that any compiler vectorizes for any CPU:
// right, not fast. Included by vec.hpp alone. fma is rounded once by error-free transformations,
// so that the functions of math.hpp return the bits of the other variants.
#pragma once

#if defined(__SSE2__) || defined(_M_X64)
#include <emmintrin.h>
#endif

#include "simd/baseline_fma.hpp"
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

// One operation, lane by lane.
#define CHAINRULE_LANES(T, result, expression)                          \
  result v;                                                             \
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
CHAINRULE_INLINE Mask<T> is_nan(Vec<T> a, Vec<T> b) {
  return !((a == a) & (b == b));
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
CHAINRULE_INLINE Vec<float> round_to_bf16(Vec<float> a) {
  using C = Bf16Bits;
  Vec<float> term;
  for (int64_t i = 0; i < Lanes<float>::kCount; ++i) {
    const uint32_t bits = bits_of(a.raw[i]), magnitude = bits & C::kMagnitude;
    const uint32_t rounded =
        (magnitude + C::kHalf + ((bits >> C::kDropped) & 1U)) & static_cast<uint32_t>(C::kKept);
    const uint32_t bounded = rounded < C::kLargest ? rounded : C::kLargest;
    term.raw[i] = from_bits((bits & Lanes<float>::kSign) | bounded);
  }
  return term;
}
template <class T>
CHAINRULE_INLINE Vec<T> power_of_two(Vec<T> t) {
  CHAINRULE_LANES(T, Vec<T>, from_bits(bits_of(t.raw[i]) << SplitConstants<T>::kMantissaBits));
}
template <class T>
CHAINRULE_INLINE Vec<T> scale_normal(Vec<T> p, Vec<T>, Vec<T> t) {
  CHAINRULE_LANES(
      T, Vec<T>,
      from_bits(bits_of(p.raw[i]) + (bits_of(t.raw[i]) << SplitConstants<T>::kMantissaBits)));
}
template <class T>
CHAINRULE_INLINE Split<T> split_exponent(Vec<T> x) {
  using C = SplitConstants<T>;
  using Bits = typename Lanes<T>::Bits;
  Split<T> s;
  for (int64_t i = 0; i < Lanes<T>::kCount; ++i) {
    const Bits bits = bits_of(x.raw[i]) + static_cast<Bits>(C::kToOne);
    s.mantissa.raw[i] =
        from_bits((bits & static_cast<Bits>(C::kMantissaMask)) + static_cast<Bits>(C::kHalfRoot));
    s.exponent.raw[i] =
        from_bits((bits >> C::kMantissaBits) | static_cast<Bits>(C::kSplitBits)) - C::kSplitOffset;
  }
  return s;
}

// Intrinsics, as compilers call the C library for the root of a negative number's errno.
CHAINRULE_INLINE float sqrt_lane(float x) {
#if defined(__SSE2__) || defined(_M_X64)
  return _mm_cvtss_f32(_mm_sqrt_ss(_mm_set_ss(x)));
#else
  return __builtin_sqrtf(x);
#endif
}
CHAINRULE_INLINE double sqrt_lane(double x) {
#if defined(__SSE2__) || defined(_M_X64)
  return _mm_cvtsd_f64(_mm_sqrt_sd(_mm_setzero_pd(), _mm_set_sd(x)));
#else
  return __builtin_sqrt(x);
#endif
}
template <class T>
CHAINRULE_INLINE Vec<T> sqrt(Vec<T> a) {
  CHAINRULE_LANES(T, Vec<T>, sqrt_lane(a.raw[i]));
}

// Called, not inlined: 30 copies in every function would make this the largest variant by far.
CHAINRULE_OUTLINE Vec<float> fma(Vec<float> a, Vec<float> b, Vec<float> c) {
  CHAINRULE_LANES(float, Vec<float>, exact_fma(a.raw[i], b.raw[i], c.raw[i]));
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

template <class T>
CHAINRULE_INLINE void transpose(Vec<T> (&rows)[Lanes<T>::kCount]) {
  for (int64_t i = 0; i < Lanes<T>::kCount; ++i) {
    for (int64_t j = 0; j < i; ++j) {
      const T kept = rows[i].raw[j];
      rows[i].raw[j] = rows[j].raw[i];
      rows[j].raw[i] = kept;
    }
  }
}

}  // namespace
}  // namespace chainrule
