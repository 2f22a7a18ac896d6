// Vec and Mask of vec.hpp for any CPU: right, not fast. Included by vec.hpp alone. GCC and Clang
// compute with their own vectors of 16 bytes, which compile in half the time of loops over
// lanes; other compilers loop. fma is rounded once by error-free transformations, so that the
// functions of math.hpp return the bits of the other variants.
#pragma once

#if defined(__SSE2__) || defined(_M_X64)
#include <emmintrin.h>
#endif

#include "simd/baseline_fma.hpp"
#include "simd/baseline_groups.hpp"
#include "simd/vec.hpp"

namespace chainrule {
namespace {

template <class T>
struct Mask {
  GroupBits<T> raw[kGroups<T>];
};

// The lanes of a Vec or Mask where they are taken one by one.
template <class T>
struct LaneArray {
  T lane[Lanes<T>::kCount];
};
template <class T>
struct LaneBits {
  typename Lanes<T>::Bits lane[Lanes<T>::kCount];
};

template <class T>
struct Vec {
  static constexpr int64_t kLanes = Lanes<T>::kCount;
  Group<T> raw[kGroups<T>];

  CHAINRULE_INLINE LaneArray<T> lanes() const { return __builtin_bit_cast(LaneArray<T>, *this); }
  static CHAINRULE_INLINE Vec of(const LaneArray<T>& lanes) {
    return __builtin_bit_cast(Vec, lanes);
  }

  static CHAINRULE_INLINE Vec load(const T* from) {
    LaneArray<T> v;
    for (int64_t i = 0; i < kLanes; ++i) v.lane[i] = from[i];
    return of(v);
  }
  static CHAINRULE_INLINE Vec load_partial(const T* from, int64_t count) {
    LaneArray<T> v{};
    for (int64_t i = 0; i < count; ++i) v.lane[i] = from[i];
    return of(v);
  }
  CHAINRULE_INLINE void store(T* to) const {
    const LaneArray<T> v = lanes();
    for (int64_t i = 0; i < kLanes; ++i) to[i] = v.lane[i];
  }
  CHAINRULE_INLINE void store_partial(T* to, int64_t count) const {
    const LaneArray<T> v = lanes();
    for (int64_t i = 0; i < count; ++i) to[i] = v.lane[i];
  }
  static CHAINRULE_INLINE Vec zero() { return Vec{}; }
  static CHAINRULE_INLINE Vec broadcast(T x) {
    LaneArray<T> v;
    for (int64_t i = 0; i < kLanes; ++i) v.lane[i] = x;
    return of(v);
  }
};

// One operation, group by group.
#define CHAINRULE_GROUPS(T, result, expression)                   \
  result v;                                                       \
  for (int64_t i = 0; i < kGroups<T>; ++i) v.raw[i] = expression; \
  return v

template <class T>
CHAINRULE_INLINE Vec<T> operator+(Vec<T> a, Vec<T> b) {
  CHAINRULE_GROUPS(T, Vec<T>, a.raw[i] + b.raw[i]);
}
template <class T>
CHAINRULE_INLINE Vec<T> operator-(Vec<T> a, Vec<T> b) {
  CHAINRULE_GROUPS(T, Vec<T>, a.raw[i] - b.raw[i]);
}
template <class T>
CHAINRULE_INLINE Vec<T> operator*(Vec<T> a, Vec<T> b) {
  CHAINRULE_GROUPS(T, Vec<T>, a.raw[i] * b.raw[i]);
}
template <class T>
CHAINRULE_INLINE Vec<T> operator/(Vec<T> a, Vec<T> b) {
  CHAINRULE_GROUPS(T, Vec<T>, a.raw[i] / b.raw[i]);
}
template <class T>
CHAINRULE_INLINE Vec<T> operator-(Vec<T> a) {
  CHAINRULE_GROUPS(T, Vec<T>, from_bits(bits_of(a.raw[i]) ^ Lanes<T>::kSign));
}
template <class T>
CHAINRULE_INLINE Vec<T> multiply_add(Vec<T> a, Vec<T> b, Vec<T> c) {
  CHAINRULE_GROUPS(T, Vec<T>, a.raw[i] * b.raw[i] + c.raw[i]);
}
template <class T>
CHAINRULE_INLINE Vec<T> abs(Vec<T> a) {
  CHAINRULE_GROUPS(T, Vec<T>, from_bits(bits_of(a.raw[i]) & ~Lanes<T>::kSign));
}
template <class T>
CHAINRULE_INLINE Vec<T> copysign(Vec<T> magnitude, Vec<T> sign) {
  CHAINRULE_GROUPS(T, Vec<T>,
                   from_bits((bits_of(magnitude.raw[i]) & ~Lanes<T>::kSign) |
                             (bits_of(sign.raw[i]) & Lanes<T>::kSign)));
}
template <class T>
CHAINRULE_INLINE Vec<T> min(Vec<T> a, Vec<T> b) {
  CHAINRULE_GROUPS(T, Vec<T>, a.raw[i] < b.raw[i] ? a.raw[i] : b.raw[i]);
}
template <class T>
CHAINRULE_INLINE Vec<T> max(Vec<T> a, Vec<T> b) {
  CHAINRULE_GROUPS(T, Vec<T>, a.raw[i] > b.raw[i] ? a.raw[i] : b.raw[i]);
}
template <class T>
CHAINRULE_INLINE Mask<T> operator<(Vec<T> a, Vec<T> b) {
  using Bits = typename Lanes<T>::Bits;
  CHAINRULE_GROUPS(T, Mask<T>, a.raw[i] < b.raw[i] ? ~Bits{0} : Bits{0});
}
template <class T>
CHAINRULE_INLINE Mask<T> operator<=(Vec<T> a, Vec<T> b) {
  using Bits = typename Lanes<T>::Bits;
  CHAINRULE_GROUPS(T, Mask<T>, a.raw[i] <= b.raw[i] ? ~Bits{0} : Bits{0});
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
  CHAINRULE_GROUPS(T, Mask<T>, a.raw[i] == b.raw[i] ? ~Bits{0} : Bits{0});
}
template <class T>
CHAINRULE_INLINE Mask<T> operator&(Mask<T> a, Mask<T> b) {
  CHAINRULE_GROUPS(T, Mask<T>, a.raw[i] & b.raw[i]);
}
template <class T>
CHAINRULE_INLINE Mask<T> operator|(Mask<T> a, Mask<T> b) {
  CHAINRULE_GROUPS(T, Mask<T>, a.raw[i] | b.raw[i]);
}
template <class T>
CHAINRULE_INLINE Mask<T> operator!(Mask<T> a) {
  CHAINRULE_GROUPS(T, Mask<T>, ~a.raw[i]);
}
template <class T>
CHAINRULE_INLINE Mask<T> is_nan(Vec<T> a, Vec<T> b) {
  return !((a == a) & (b == b));
}
template <class T>
CHAINRULE_INLINE bool all(Mask<T> a) {
  bool result = true;
  const auto bits = __builtin_bit_cast(LaneBits<T>, a);
  for (int64_t i = 0; i < Lanes<T>::kCount; ++i) result = result && bits.lane[i] != 0;
  return result;
}
template <class T>
CHAINRULE_INLINE bool any(Mask<T> a) {
  return !all(!a);
}
template <class T>
CHAINRULE_INLINE Vec<T> select(Mask<T> mask, Vec<T> if_true, Vec<T> if_false) {
  CHAINRULE_GROUPS(T, Vec<T>,
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
  constexpr uint32_t kLargest = C::kLargest;
  for (int64_t i = 0; i < kGroups<float>; ++i) {
    const GroupBits<float> bits = bits_of(a.raw[i]), magnitude = bits & uint32_t{C::kMagnitude};
    const GroupBits<float> rounded =
        (magnitude + uint32_t{C::kHalf} + ((bits >> C::kDropped) & 1U)) &
        static_cast<uint32_t>(C::kKept);
    const GroupBits<float> bounded = rounded < kLargest ? rounded : GroupBits<float>{} + kLargest;
    term.raw[i] = from_bits((bits & Lanes<float>::kSign) | bounded);
  }
  return term;
}
template <class T>
CHAINRULE_INLINE Vec<T> power_of_two(Vec<T> t) {
  CHAINRULE_GROUPS(T, Vec<T>, from_bits(bits_of(t.raw[i]) << SplitConstants<T>::kMantissaBits));
}
template <class T>
CHAINRULE_INLINE Vec<T> scale_normal(Vec<T> p, Vec<T>, Vec<T> t) {
  CHAINRULE_GROUPS(
      T, Vec<T>,
      from_bits(bits_of(p.raw[i]) + (bits_of(t.raw[i]) << SplitConstants<T>::kMantissaBits)));
}
template <class T>
CHAINRULE_INLINE Split<T> split_exponent(Vec<T> x) {
  using C = SplitConstants<T>;
  using Bits = typename Lanes<T>::Bits;
  Split<T> s;
  for (int64_t i = 0; i < kGroups<T>; ++i) {
    const GroupBits<T> bits = bits_of(x.raw[i]) + static_cast<Bits>(C::kToOne);
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
  LaneArray<T> x = a.lanes();
  for (T& lane : x.lane) lane = sqrt_lane(lane);
  return Vec<T>::of(x);
}

// Called, not inlined: 30 copies in every function would make this the largest variant by far.
CHAINRULE_OUTLINE Vec<float> fma(Vec<float> a, Vec<float> b, Vec<float> c) {
#if defined(__GNUC__) && defined(__SSE2__)
  const auto half = [](__m128 x, __m128 y, __m128 z) CHAINRULE_INLINE_LAMBDA {
    const Group<double> product = _mm_mul_pd(_mm_cvtps_pd(x), _mm_cvtps_pd(y));
    return _mm_cvtpd_ps(add_to_odd<Group<double>>(product, _mm_cvtps_pd(z)));
  };
  const auto upper = [](__m128 x) CHAINRULE_INLINE_LAMBDA { return _mm_movehl_ps(x, x); };
  const __m128 x = a.raw[0], y = b.raw[0], z = c.raw[0];
  return {{_mm_movelh_ps(half(x, y, z), half(upper(x), upper(y), upper(z)))}};
#else
  LaneArray<float> x = a.lanes();
  const LaneArray<float> y = b.lanes(), z = c.lanes();
  for (int64_t i = 0; i < 4; ++i) x.lane[i] = exact_fma(x.lane[i], y.lane[i], z.lane[i]);
  return Vec<float>::of(x);
#endif
}
CHAINRULE_OUTLINE Vec<double> fma(Vec<double> a, Vec<double> b, Vec<double> c) {
  Vec<double> v;
  Mask<double> in_range;
  for (int64_t i = 0; i < kGroups<double>; ++i) {
    v.raw[i] = fma_in_range(a.raw[i], b.raw[i], c.raw[i]);
    in_range.raw[i] = fma_range(a.raw[i]) & fma_range(b.raw[i]) & fma_range(c.raw[i]);
  }
  if (all(in_range)) return v;
  LaneArray<double> x = a.lanes();
  const LaneArray<double> y = b.lanes(), z = c.lanes();
  for (int64_t i = 0; i < 2; ++i) x.lane[i] = fma_any(x.lane[i], y.lane[i], z.lane[i]);
  return Vec<double>::of(x);
}

template <class T>
CHAINRULE_INLINE Vec<T> negative_fma(Vec<T> a, Vec<T> b, Vec<T> c) {
  return fma(-a, b, c);
}

#undef CHAINRULE_GROUPS

template <class T>
CHAINRULE_INLINE void transpose(Vec<T> (&rows)[Lanes<T>::kCount]) {
  LaneArray<T> columns[Lanes<T>::kCount];
  for (int64_t i = 0; i < Lanes<T>::kCount; ++i) {
    const LaneArray<T> row = rows[i].lanes();
    for (int64_t j = 0; j < Lanes<T>::kCount; ++j) columns[j].lane[i] = row.lane[j];
  }
  for (int64_t i = 0; i < Lanes<T>::kCount; ++i) rows[i] = Vec<T>::of(columns[i]);
}

}  // namespace
}  // namespace chainrule
