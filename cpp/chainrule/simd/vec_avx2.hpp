// Vec and Mask of vec.hpp in 256-bit registers (AVX2 and FMA). A mask's lanes are all ones or all
// zeros. Included by vec.hpp alone.
#pragma once

#include <immintrin.h>

#include "simd/vec.hpp"

namespace chainrule {
namespace {

template <>
struct Mask<float> {
  __m256 raw;
};

template <>
struct Mask<double> {
  __m256d raw;
};

template <>
struct Vec<float> {
  static constexpr int64_t kLanes = 8;
  __m256 raw;

  static CHAINRULE_INLINE __m256i first(int64_t count) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(count)),
                              _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
  }
  static CHAINRULE_INLINE Vec load(const float* from) { return {_mm256_loadu_ps(from)}; }
  static CHAINRULE_INLINE Vec load_partial(const float* from, int64_t count) {
    return {_mm256_maskload_ps(from, first(count))};
  }
  CHAINRULE_INLINE void store(float* to) const { _mm256_storeu_ps(to, raw); }
  CHAINRULE_INLINE void store_partial(float* to, int64_t count) const {
    _mm256_maskstore_ps(to, first(count), raw);
  }
  static CHAINRULE_INLINE Vec zero() { return {_mm256_setzero_ps()}; }
  static CHAINRULE_INLINE Vec broadcast(float x) { return {_mm256_set1_ps(x)}; }
};

template <>
struct Vec<double> {
  static constexpr int64_t kLanes = 4;
  __m256d raw;

  static CHAINRULE_INLINE __m256i first(int64_t count) {
    return _mm256_cmpgt_epi64(_mm256_set1_epi64x(count), _mm256_setr_epi64x(0, 1, 2, 3));
  }
  static CHAINRULE_INLINE Vec load(const double* from) { return {_mm256_loadu_pd(from)}; }
  static CHAINRULE_INLINE Vec load_partial(const double* from, int64_t count) {
    return {_mm256_maskload_pd(from, first(count))};
  }
  CHAINRULE_INLINE void store(double* to) const { _mm256_storeu_pd(to, raw); }
  CHAINRULE_INLINE void store_partial(double* to, int64_t count) const {
    _mm256_maskstore_pd(to, first(count), raw);
  }
  static CHAINRULE_INLINE Vec zero() { return {_mm256_setzero_pd()}; }
  static CHAINRULE_INLINE Vec broadcast(double x) { return {_mm256_set1_pd(x)}; }
};

// float

CHAINRULE_INLINE Vec<float> operator+(Vec<float> a, Vec<float> b) {
  return {_mm256_add_ps(a.raw, b.raw)};
}
CHAINRULE_INLINE Vec<float> operator-(Vec<float> a, Vec<float> b) {
  return {_mm256_sub_ps(a.raw, b.raw)};
}
CHAINRULE_INLINE Vec<float> operator*(Vec<float> a, Vec<float> b) {
  return {_mm256_mul_ps(a.raw, b.raw)};
}
CHAINRULE_INLINE Vec<float> operator/(Vec<float> a, Vec<float> b) {
  return {_mm256_div_ps(a.raw, b.raw)};
}
CHAINRULE_INLINE Vec<float> operator-(Vec<float> a) {
  return {_mm256_xor_ps(a.raw, _mm256_set1_ps(-0.0F))};
}
CHAINRULE_INLINE Vec<float> fma(Vec<float> a, Vec<float> b, Vec<float> c) {
  return {_mm256_fmadd_ps(a.raw, b.raw, c.raw)};
}
CHAINRULE_INLINE Vec<float> negative_fma(Vec<float> a, Vec<float> b, Vec<float> c) {
  return {_mm256_fnmadd_ps(a.raw, b.raw, c.raw)};
}
CHAINRULE_INLINE Vec<float> multiply_add(Vec<float> a, Vec<float> b, Vec<float> c) {
  return fma(a, b, c);
}
CHAINRULE_INLINE Vec<float> sqrt(Vec<float> a) { return {_mm256_sqrt_ps(a.raw)}; }
CHAINRULE_INLINE Vec<float> abs(Vec<float> a) {
  return {_mm256_andnot_ps(_mm256_set1_ps(-0.0F), a.raw)};
}
CHAINRULE_INLINE Vec<float> min(Vec<float> a, Vec<float> b) {
  return {_mm256_min_ps(a.raw, b.raw)};
}
CHAINRULE_INLINE Vec<float> max(Vec<float> a, Vec<float> b) {
  return {_mm256_max_ps(a.raw, b.raw)};
}
CHAINRULE_INLINE Vec<float> copysign(Vec<float> magnitude, Vec<float> sign) {
  return {_mm256_or_ps(abs(magnitude).raw, _mm256_and_ps(sign.raw, _mm256_set1_ps(-0.0F)))};
}
CHAINRULE_INLINE Vec<float> round_even(Vec<float> a) {
  return {_mm256_round_ps(a.raw, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
}
CHAINRULE_INLINE Mask<float> operator<(Vec<float> a, Vec<float> b) {
  return {_mm256_cmp_ps(a.raw, b.raw, _CMP_LT_OQ)};
}
CHAINRULE_INLINE Mask<float> operator<=(Vec<float> a, Vec<float> b) {
  return {_mm256_cmp_ps(a.raw, b.raw, _CMP_LE_OQ)};
}
CHAINRULE_INLINE Mask<float> operator>(Vec<float> a, Vec<float> b) { return b < a; }
CHAINRULE_INLINE Mask<float> operator>=(Vec<float> a, Vec<float> b) { return b <= a; }
CHAINRULE_INLINE Mask<float> operator==(Vec<float> a, Vec<float> b) {
  return {_mm256_cmp_ps(a.raw, b.raw, _CMP_EQ_OQ)};
}
CHAINRULE_INLINE Mask<float> is_nan(Vec<float> a, Vec<float> b) {
  return {_mm256_cmp_ps(a.raw, b.raw, _CMP_UNORD_Q)};
}
CHAINRULE_INLINE Mask<float> operator&(Mask<float> a, Mask<float> b) {
  return {_mm256_and_ps(a.raw, b.raw)};
}
CHAINRULE_INLINE Mask<float> operator|(Mask<float> a, Mask<float> b) {
  return {_mm256_or_ps(a.raw, b.raw)};
}
CHAINRULE_INLINE Mask<float> operator!(Mask<float> a) {
  return {_mm256_xor_ps(a.raw, _mm256_castsi256_ps(_mm256_set1_epi32(-1)))};
}
CHAINRULE_INLINE bool all(Mask<float> a) { return _mm256_movemask_ps(a.raw) == 0xff; }
CHAINRULE_INLINE bool any(Mask<float> a) { return _mm256_movemask_ps(a.raw) != 0; }
CHAINRULE_INLINE Vec<float> select(Mask<float> mask, Vec<float> if_true, Vec<float> if_false) {
  return {_mm256_blendv_ps(if_false.raw, if_true.raw, mask.raw)};
}
CHAINRULE_INLINE Vec<float> power_of_two(Vec<float> t) {
  return {_mm256_castsi256_ps(_mm256_slli_epi32(_mm256_castps_si256(t.raw), 23))};
}
CHAINRULE_INLINE Vec<float> scale_normal(Vec<float> p, Vec<float>, Vec<float> t) {
  return {_mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(p.raw),
                                               _mm256_slli_epi32(_mm256_castps_si256(t.raw), 23)))};
}
CHAINRULE_INLINE Split<float> split_exponent(Vec<float> x) {
  using C = SplitConstants<float>;
  const __m256i bits = _mm256_add_epi32(_mm256_castps_si256(x.raw), _mm256_set1_epi32(C::kToOne));
  const __m256i exponent =
      _mm256_or_si256(_mm256_srli_epi32(bits, C::kMantissaBits), _mm256_set1_epi32(C::kSplitBits));
  const __m256i mantissa = _mm256_add_epi32(
      _mm256_and_si256(bits, _mm256_set1_epi32(C::kMantissaMask)), _mm256_set1_epi32(C::kHalfRoot));
  return {{_mm256_castsi256_ps(mantissa)},
          Vec<float>{_mm256_castsi256_ps(exponent)} - Vec<float>::broadcast(C::kSplitOffset)};
}

// double

CHAINRULE_INLINE Vec<double> operator+(Vec<double> a, Vec<double> b) {
  return {_mm256_add_pd(a.raw, b.raw)};
}
CHAINRULE_INLINE Vec<double> operator-(Vec<double> a, Vec<double> b) {
  return {_mm256_sub_pd(a.raw, b.raw)};
}
CHAINRULE_INLINE Vec<double> operator*(Vec<double> a, Vec<double> b) {
  return {_mm256_mul_pd(a.raw, b.raw)};
}
CHAINRULE_INLINE Vec<double> operator/(Vec<double> a, Vec<double> b) {
  return {_mm256_div_pd(a.raw, b.raw)};
}
CHAINRULE_INLINE Vec<double> operator-(Vec<double> a) {
  return {_mm256_xor_pd(a.raw, _mm256_set1_pd(-0.0))};
}
CHAINRULE_INLINE Vec<double> fma(Vec<double> a, Vec<double> b, Vec<double> c) {
  return {_mm256_fmadd_pd(a.raw, b.raw, c.raw)};
}
CHAINRULE_INLINE Vec<double> negative_fma(Vec<double> a, Vec<double> b, Vec<double> c) {
  return {_mm256_fnmadd_pd(a.raw, b.raw, c.raw)};
}
CHAINRULE_INLINE Vec<double> multiply_add(Vec<double> a, Vec<double> b, Vec<double> c) {
  return fma(a, b, c);
}
CHAINRULE_INLINE Vec<double> sqrt(Vec<double> a) { return {_mm256_sqrt_pd(a.raw)}; }
CHAINRULE_INLINE Vec<double> abs(Vec<double> a) {
  return {_mm256_andnot_pd(_mm256_set1_pd(-0.0), a.raw)};
}
CHAINRULE_INLINE Vec<double> min(Vec<double> a, Vec<double> b) {
  return {_mm256_min_pd(a.raw, b.raw)};
}
CHAINRULE_INLINE Vec<double> max(Vec<double> a, Vec<double> b) {
  return {_mm256_max_pd(a.raw, b.raw)};
}
CHAINRULE_INLINE Vec<double> copysign(Vec<double> magnitude, Vec<double> sign) {
  return {_mm256_or_pd(abs(magnitude).raw, _mm256_and_pd(sign.raw, _mm256_set1_pd(-0.0)))};
}
CHAINRULE_INLINE Vec<double> round_even(Vec<double> a) {
  return {_mm256_round_pd(a.raw, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
}
CHAINRULE_INLINE Mask<double> operator<(Vec<double> a, Vec<double> b) {
  return {_mm256_cmp_pd(a.raw, b.raw, _CMP_LT_OQ)};
}
CHAINRULE_INLINE Mask<double> operator<=(Vec<double> a, Vec<double> b) {
  return {_mm256_cmp_pd(a.raw, b.raw, _CMP_LE_OQ)};
}
CHAINRULE_INLINE Mask<double> operator>(Vec<double> a, Vec<double> b) { return b < a; }
CHAINRULE_INLINE Mask<double> operator>=(Vec<double> a, Vec<double> b) { return b <= a; }
CHAINRULE_INLINE Mask<double> operator==(Vec<double> a, Vec<double> b) {
  return {_mm256_cmp_pd(a.raw, b.raw, _CMP_EQ_OQ)};
}
CHAINRULE_INLINE Mask<double> is_nan(Vec<double> a, Vec<double> b) {
  return {_mm256_cmp_pd(a.raw, b.raw, _CMP_UNORD_Q)};
}
CHAINRULE_INLINE Mask<double> operator&(Mask<double> a, Mask<double> b) {
  return {_mm256_and_pd(a.raw, b.raw)};
}
CHAINRULE_INLINE Mask<double> operator|(Mask<double> a, Mask<double> b) {
  return {_mm256_or_pd(a.raw, b.raw)};
}
CHAINRULE_INLINE Mask<double> operator!(Mask<double> a) {
  return {_mm256_xor_pd(a.raw, _mm256_castsi256_pd(_mm256_set1_epi32(-1)))};
}
CHAINRULE_INLINE bool all(Mask<double> a) { return _mm256_movemask_pd(a.raw) == 0xf; }
CHAINRULE_INLINE bool any(Mask<double> a) { return _mm256_movemask_pd(a.raw) != 0; }
CHAINRULE_INLINE Vec<double> select(Mask<double> mask, Vec<double> if_true, Vec<double> if_false) {
  return {_mm256_blendv_pd(if_false.raw, if_true.raw, mask.raw)};
}
CHAINRULE_INLINE Vec<double> power_of_two(Vec<double> t) {
  return {_mm256_castsi256_pd(_mm256_slli_epi64(_mm256_castpd_si256(t.raw), 52))};
}
CHAINRULE_INLINE Vec<double> scale_normal(Vec<double> p, Vec<double>, Vec<double> t) {
  return {_mm256_castsi256_pd(_mm256_add_epi64(_mm256_castpd_si256(p.raw),
                                               _mm256_slli_epi64(_mm256_castpd_si256(t.raw), 52)))};
}
CHAINRULE_INLINE Split<double> split_exponent(Vec<double> x) {
  using C = SplitConstants<double>;
  const __m256i bits = _mm256_add_epi64(_mm256_castpd_si256(x.raw), _mm256_set1_epi64x(C::kToOne));
  const __m256i exponent =
      _mm256_or_si256(_mm256_srli_epi64(bits, C::kMantissaBits), _mm256_set1_epi64x(C::kSplitBits));
  const __m256i mantissa =
      _mm256_add_epi64(_mm256_and_si256(bits, _mm256_set1_epi64x(C::kMantissaMask)),
                       _mm256_set1_epi64x(C::kHalfRoot));
  return {{_mm256_castsi256_pd(mantissa)},
          Vec<double>{_mm256_castsi256_pd(exponent)} - Vec<double>::broadcast(C::kSplitOffset)};
}

CHAINRULE_INLINE Vec<float> round_to_bf16(Vec<float> a) {
  using C = Bf16Bits;
  const __m256i bits = _mm256_castps_si256(a.raw);
  const __m256i magnitude = _mm256_and_si256(bits, _mm256_set1_epi32(C::kMagnitude));
  const __m256i last = _mm256_and_si256(_mm256_srli_epi32(bits, C::kDropped), _mm256_set1_epi32(1));
  const __m256i rounded = _mm256_and_si256(
      _mm256_add_epi32(_mm256_add_epi32(magnitude, _mm256_set1_epi32(C::kHalf)), last),
      _mm256_set1_epi32(C::kKept));
  const __m256i bounded = _mm256_min_epi32(rounded, _mm256_set1_epi32(C::kLargest));
  return copysign({_mm256_castsi256_ps(bounded)}, a);
}

// transpose: first pairs of rows, then pairs of pairs, then halves.

CHAINRULE_INLINE void transpose(Vec<float> (&rows)[8]) {
  __m256 a[8], b[8];
  unrolled<4>([&](int group) CHAINRULE_INLINE_LAMBDA {
    const int i = 2 * group;
    a[i] = _mm256_unpacklo_ps(rows[i].raw, rows[i + 1].raw);
    a[i + 1] = _mm256_unpackhi_ps(rows[i].raw, rows[i + 1].raw);
  });
  // b[i + c]: columns c and c + 4 of rows i .. i + 3
  unrolled<2>([&](int group) CHAINRULE_INLINE_LAMBDA {
    const int i = 4 * group;
    b[i] = _mm256_shuffle_ps(a[i], a[i + 2], 0x44);
    b[i + 1] = _mm256_shuffle_ps(a[i], a[i + 2], 0xee);
    b[i + 2] = _mm256_shuffle_ps(a[i + 1], a[i + 3], 0x44);
    b[i + 3] = _mm256_shuffle_ps(a[i + 1], a[i + 3], 0xee);
  });
  unrolled<4>([&](int c) CHAINRULE_INLINE_LAMBDA {
    rows[c].raw = _mm256_permute2f128_ps(b[c], b[c + 4], 0x20);
    rows[c + 4].raw = _mm256_permute2f128_ps(b[c], b[c + 4], 0x31);
  });
}

CHAINRULE_INLINE void transpose(Vec<double> (&rows)[4]) {
  __m256d a[4];
  // a[i + c]: columns c and c + 2 of rows i and i + 1
  unrolled<2>([&](int group) CHAINRULE_INLINE_LAMBDA {
    const int i = 2 * group;
    a[i] = _mm256_unpacklo_pd(rows[i].raw, rows[i + 1].raw);
    a[i + 1] = _mm256_unpackhi_pd(rows[i].raw, rows[i + 1].raw);
  });
  unrolled<2>([&](int c) CHAINRULE_INLINE_LAMBDA {
    rows[c].raw = _mm256_permute2f128_pd(a[c], a[c + 2], 0x20);
    rows[c + 2].raw = _mm256_permute2f128_pd(a[c], a[c + 2], 0x31);
  });
}

}  // namespace
}  // namespace chainrule
