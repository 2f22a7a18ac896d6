// Vec and Mask of vec.hpp in 512-bit registers (AVX-512 F, BW, DQ, VL). Masks are mask registers.
// Included by vec.hpp alone. Zero-masking forms stand where GCC 12 warns of the undefined source
// operand of the plain ones; a full mask costs nothing.
#pragma once

#include <immintrin.h>

#include "simd/vec.hpp"

namespace chainrule {
namespace {

template <>
struct Mask<float> {
  __mmask16 raw;
};

template <>
struct Mask<double> {
  __mmask8 raw;
};

template <>
struct Vec<float> {
  static constexpr int64_t kLanes = 16;
  __m512 raw;

  static CHAINRULE_INLINE __mmask16 first(int64_t count) {
    return static_cast<__mmask16>((1U << static_cast<unsigned>(count)) - 1U);
  }
  static CHAINRULE_INLINE Vec load(const float* from) { return {_mm512_loadu_ps(from)}; }
  static CHAINRULE_INLINE Vec load_partial(const float* from, int64_t count) {
    return {_mm512_maskz_loadu_ps(first(count), from)};
  }
  CHAINRULE_INLINE void store(float* to) const { _mm512_storeu_ps(to, raw); }
  CHAINRULE_INLINE void store_partial(float* to, int64_t count) const {
    _mm512_mask_storeu_ps(to, first(count), raw);
  }
  static CHAINRULE_INLINE Vec zero() { return {_mm512_setzero_ps()}; }
  static CHAINRULE_INLINE Vec broadcast(float x) { return {_mm512_set1_ps(x)}; }
};

template <>
struct Vec<double> {
  static constexpr int64_t kLanes = 8;
  __m512d raw;

  static CHAINRULE_INLINE __mmask8 first(int64_t count) {
    return static_cast<__mmask8>((1U << static_cast<unsigned>(count)) - 1U);
  }
  static CHAINRULE_INLINE Vec load(const double* from) { return {_mm512_loadu_pd(from)}; }
  static CHAINRULE_INLINE Vec load_partial(const double* from, int64_t count) {
    return {_mm512_maskz_loadu_pd(first(count), from)};
  }
  CHAINRULE_INLINE void store(double* to) const { _mm512_storeu_pd(to, raw); }
  CHAINRULE_INLINE void store_partial(double* to, int64_t count) const {
    _mm512_mask_storeu_pd(to, first(count), raw);
  }
  static CHAINRULE_INLINE Vec zero() { return {_mm512_setzero_pd()}; }
  static CHAINRULE_INLINE Vec broadcast(double x) { return {_mm512_set1_pd(x)}; }
};

// float

CHAINRULE_INLINE Vec<float> operator+(Vec<float> a, Vec<float> b) {
  return {_mm512_add_ps(a.raw, b.raw)};
}
CHAINRULE_INLINE Vec<float> operator-(Vec<float> a, Vec<float> b) {
  return {_mm512_sub_ps(a.raw, b.raw)};
}
CHAINRULE_INLINE Vec<float> operator*(Vec<float> a, Vec<float> b) {
  return {_mm512_mul_ps(a.raw, b.raw)};
}
CHAINRULE_INLINE Vec<float> operator/(Vec<float> a, Vec<float> b) {
  return {_mm512_div_ps(a.raw, b.raw)};
}
CHAINRULE_INLINE Vec<float> operator-(Vec<float> a) {
  return {_mm512_xor_ps(a.raw, _mm512_set1_ps(-0.0F))};
}
CHAINRULE_INLINE Vec<float> fma(Vec<float> a, Vec<float> b, Vec<float> c) {
  return {_mm512_fmadd_ps(a.raw, b.raw, c.raw)};
}
CHAINRULE_INLINE Vec<float> negative_fma(Vec<float> a, Vec<float> b, Vec<float> c) {
  return {_mm512_fnmadd_ps(a.raw, b.raw, c.raw)};
}
CHAINRULE_INLINE Vec<float> multiply_add(Vec<float> a, Vec<float> b, Vec<float> c) {
  return fma(a, b, c);
}
CHAINRULE_INLINE Vec<float> sqrt(Vec<float> a) { return {_mm512_maskz_sqrt_ps(0xffff, a.raw)}; }
CHAINRULE_INLINE Vec<float> abs(Vec<float> a) {
  return {_mm512_andnot_ps(_mm512_set1_ps(-0.0F), a.raw)};
}
CHAINRULE_INLINE Vec<float> min(Vec<float> a, Vec<float> b) {
  return {_mm512_maskz_min_ps(0xffff, a.raw, b.raw)};
}
CHAINRULE_INLINE Vec<float> max(Vec<float> a, Vec<float> b) {
  return {_mm512_maskz_max_ps(0xffff, a.raw, b.raw)};
}
CHAINRULE_INLINE Vec<float> copysign(Vec<float> magnitude, Vec<float> sign) {
  // 0xac: bit by bit, the third operand where the first is set, else the second.
  return {_mm512_castsi512_ps(_mm512_ternarylogic_epi32(_mm512_set1_epi32(INT32_MIN),
                                                        _mm512_castps_si512(magnitude.raw),
                                                        _mm512_castps_si512(sign.raw), 0xac))};
}
CHAINRULE_INLINE Vec<float> round_even(Vec<float> a) {
  return {_mm512_maskz_roundscale_ps(0xffff, a.raw, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
}
CHAINRULE_INLINE Mask<float> operator<(Vec<float> a, Vec<float> b) {
  return {_mm512_cmp_ps_mask(a.raw, b.raw, _CMP_LT_OQ)};
}
CHAINRULE_INLINE Mask<float> operator<=(Vec<float> a, Vec<float> b) {
  return {_mm512_cmp_ps_mask(a.raw, b.raw, _CMP_LE_OQ)};
}
CHAINRULE_INLINE Mask<float> operator>(Vec<float> a, Vec<float> b) { return b < a; }
CHAINRULE_INLINE Mask<float> operator>=(Vec<float> a, Vec<float> b) { return b <= a; }
CHAINRULE_INLINE Mask<float> operator==(Vec<float> a, Vec<float> b) {
  return {_mm512_cmp_ps_mask(a.raw, b.raw, _CMP_EQ_OQ)};
}
CHAINRULE_INLINE Mask<float> is_nan(Vec<float> a, Vec<float> b) {
  return {_mm512_cmp_ps_mask(a.raw, b.raw, _CMP_UNORD_Q)};
}
CHAINRULE_INLINE Mask<float> operator&(Mask<float> a, Mask<float> b) {
  return {_kand_mask16(a.raw, b.raw)};
}
CHAINRULE_INLINE Mask<float> operator|(Mask<float> a, Mask<float> b) {
  return {_kor_mask16(a.raw, b.raw)};
}
CHAINRULE_INLINE Mask<float> operator!(Mask<float> a) { return {_knot_mask16(a.raw)}; }
CHAINRULE_INLINE bool all(Mask<float> a) { return a.raw == 0xffff; }
CHAINRULE_INLINE bool any(Mask<float> a) { return a.raw != 0; }
CHAINRULE_INLINE Vec<float> select(Mask<float> mask, Vec<float> if_true, Vec<float> if_false) {
  return {_mm512_mask_blend_ps(mask.raw, if_false.raw, if_true.raw)};
}
CHAINRULE_INLINE Vec<float> power_of_two(Vec<float> t) {
  return {_mm512_castsi512_ps(_mm512_maskz_slli_epi32(0xffff, _mm512_castps_si512(t.raw), 23))};
}
CHAINRULE_INLINE Vec<float> scale_normal(Vec<float> p, Vec<float> n, Vec<float>) {
  return {_mm512_maskz_scalef_ps(0xffff, p.raw, n.raw)};
}
CHAINRULE_INLINE Split<float> split_exponent(Vec<float> x) {
  using C = SplitConstants<float>;
  const __m512i bits = _mm512_add_epi32(_mm512_castps_si512(x.raw), _mm512_set1_epi32(C::kToOne));
  const __m512i exponent = _mm512_or_si512(_mm512_maskz_srli_epi32(0xffff, bits, C::kMantissaBits),
                                           _mm512_set1_epi32(C::kSplitBits));
  const __m512i mantissa = _mm512_add_epi32(
      _mm512_and_si512(bits, _mm512_set1_epi32(C::kMantissaMask)), _mm512_set1_epi32(C::kHalfRoot));
  return {{_mm512_castsi512_ps(mantissa)},
          Vec<float>{_mm512_castsi512_ps(exponent)} - Vec<float>::broadcast(C::kSplitOffset)};
}

// double

CHAINRULE_INLINE Vec<double> operator+(Vec<double> a, Vec<double> b) {
  return {_mm512_add_pd(a.raw, b.raw)};
}
CHAINRULE_INLINE Vec<double> operator-(Vec<double> a, Vec<double> b) {
  return {_mm512_sub_pd(a.raw, b.raw)};
}
CHAINRULE_INLINE Vec<double> operator*(Vec<double> a, Vec<double> b) {
  return {_mm512_mul_pd(a.raw, b.raw)};
}
CHAINRULE_INLINE Vec<double> operator/(Vec<double> a, Vec<double> b) {
  return {_mm512_div_pd(a.raw, b.raw)};
}
CHAINRULE_INLINE Vec<double> operator-(Vec<double> a) {
  return {_mm512_xor_pd(a.raw, _mm512_set1_pd(-0.0))};
}
CHAINRULE_INLINE Vec<double> fma(Vec<double> a, Vec<double> b, Vec<double> c) {
  return {_mm512_fmadd_pd(a.raw, b.raw, c.raw)};
}
CHAINRULE_INLINE Vec<double> negative_fma(Vec<double> a, Vec<double> b, Vec<double> c) {
  return {_mm512_fnmadd_pd(a.raw, b.raw, c.raw)};
}
CHAINRULE_INLINE Vec<double> multiply_add(Vec<double> a, Vec<double> b, Vec<double> c) {
  return fma(a, b, c);
}
CHAINRULE_INLINE Vec<double> sqrt(Vec<double> a) { return {_mm512_maskz_sqrt_pd(0xff, a.raw)}; }
CHAINRULE_INLINE Vec<double> abs(Vec<double> a) {
  return {_mm512_andnot_pd(_mm512_set1_pd(-0.0), a.raw)};
}
CHAINRULE_INLINE Vec<double> min(Vec<double> a, Vec<double> b) {
  return {_mm512_maskz_min_pd(0xff, a.raw, b.raw)};
}
CHAINRULE_INLINE Vec<double> max(Vec<double> a, Vec<double> b) {
  return {_mm512_maskz_max_pd(0xff, a.raw, b.raw)};
}
CHAINRULE_INLINE Vec<double> copysign(Vec<double> magnitude, Vec<double> sign) {
  return {_mm512_castsi512_pd(_mm512_ternarylogic_epi64(_mm512_set1_epi64(INT64_MIN),
                                                        _mm512_castpd_si512(magnitude.raw),
                                                        _mm512_castpd_si512(sign.raw), 0xac))};
}
CHAINRULE_INLINE Vec<double> round_even(Vec<double> a) {
  return {_mm512_maskz_roundscale_pd(0xff, a.raw, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
}
CHAINRULE_INLINE Mask<double> operator<(Vec<double> a, Vec<double> b) {
  return {_mm512_cmp_pd_mask(a.raw, b.raw, _CMP_LT_OQ)};
}
CHAINRULE_INLINE Mask<double> operator<=(Vec<double> a, Vec<double> b) {
  return {_mm512_cmp_pd_mask(a.raw, b.raw, _CMP_LE_OQ)};
}
CHAINRULE_INLINE Mask<double> operator>(Vec<double> a, Vec<double> b) { return b < a; }
CHAINRULE_INLINE Mask<double> operator>=(Vec<double> a, Vec<double> b) { return b <= a; }
CHAINRULE_INLINE Mask<double> operator==(Vec<double> a, Vec<double> b) {
  return {_mm512_cmp_pd_mask(a.raw, b.raw, _CMP_EQ_OQ)};
}
CHAINRULE_INLINE Mask<double> is_nan(Vec<double> a, Vec<double> b) {
  return {_mm512_cmp_pd_mask(a.raw, b.raw, _CMP_UNORD_Q)};
}
CHAINRULE_INLINE Mask<double> operator&(Mask<double> a, Mask<double> b) {
  return {_kand_mask8(a.raw, b.raw)};
}
CHAINRULE_INLINE Mask<double> operator|(Mask<double> a, Mask<double> b) {
  return {_kor_mask8(a.raw, b.raw)};
}
CHAINRULE_INLINE Mask<double> operator!(Mask<double> a) { return {_knot_mask8(a.raw)}; }
CHAINRULE_INLINE bool all(Mask<double> a) { return a.raw == 0xff; }
CHAINRULE_INLINE bool any(Mask<double> a) { return a.raw != 0; }
CHAINRULE_INLINE Vec<double> select(Mask<double> mask, Vec<double> if_true, Vec<double> if_false) {
  return {_mm512_mask_blend_pd(mask.raw, if_false.raw, if_true.raw)};
}
CHAINRULE_INLINE Vec<double> power_of_two(Vec<double> t) {
  return {_mm512_castsi512_pd(_mm512_maskz_slli_epi64(0xff, _mm512_castpd_si512(t.raw), 52))};
}
CHAINRULE_INLINE Vec<double> scale_normal(Vec<double> p, Vec<double> n, Vec<double>) {
  return {_mm512_maskz_scalef_pd(0xff, p.raw, n.raw)};
}
CHAINRULE_INLINE Split<double> split_exponent(Vec<double> x) {
  using C = SplitConstants<double>;
  const __m512i bits = _mm512_add_epi64(_mm512_castpd_si512(x.raw), _mm512_set1_epi64(C::kToOne));
  const __m512i exponent = _mm512_or_si512(_mm512_maskz_srli_epi64(0xff, bits, C::kMantissaBits),
                                           _mm512_set1_epi64(C::kSplitBits));
  const __m512i mantissa = _mm512_add_epi64(
      _mm512_and_si512(bits, _mm512_set1_epi64(C::kMantissaMask)), _mm512_set1_epi64(C::kHalfRoot));
  return {{_mm512_castsi512_pd(mantissa)},
          Vec<double>{_mm512_castsi512_pd(exponent)} - Vec<double>::broadcast(C::kSplitOffset)};
}

CHAINRULE_INLINE Vec<float> round_to_bf16(Vec<float> a) {
  using C = Bf16Bits;
  const __m512i bits = _mm512_castps_si512(a.raw);
  const __m512i magnitude = _mm512_and_si512(bits, _mm512_set1_epi32(C::kMagnitude));
  const __m512i last =
      _mm512_and_si512(_mm512_maskz_srli_epi32(0xffff, bits, C::kDropped), _mm512_set1_epi32(1));
  const __m512i rounded = _mm512_and_si512(
      _mm512_add_epi32(_mm512_add_epi32(magnitude, _mm512_set1_epi32(C::kHalf)), last),
      _mm512_set1_epi32(C::kKept));
  const __m512i bounded = _mm512_maskz_min_epi32(0xffff, rounded, _mm512_set1_epi32(C::kLargest));
  return copysign({_mm512_castsi512_ps(bounded)}, a);
}

// transpose: first pairs of rows, then pairs of pairs, then 128-bit quarters.

CHAINRULE_INLINE void transpose(Vec<float> (&rows)[16]) {
  __m512 a[16], b[16];
  unrolled<8>([&](int group) CHAINRULE_INLINE_LAMBDA {
    const int i = 2 * group;
    a[i] = _mm512_maskz_unpacklo_ps(0xffff, rows[i].raw, rows[i + 1].raw);
    a[i + 1] = _mm512_maskz_unpackhi_ps(0xffff, rows[i].raw, rows[i + 1].raw);
  });
  // b[i + c]: column 4 q + c of rows i .. i + 3 in quarter q
  unrolled<4>([&](int group) CHAINRULE_INLINE_LAMBDA {
    const int i = 4 * group;
    b[i] = _mm512_maskz_shuffle_ps(0xffff, a[i], a[i + 2], 0x44);
    b[i + 1] = _mm512_maskz_shuffle_ps(0xffff, a[i], a[i + 2], 0xee);
    b[i + 2] = _mm512_maskz_shuffle_ps(0xffff, a[i + 1], a[i + 3], 0x44);
    b[i + 3] = _mm512_maskz_shuffle_ps(0xffff, a[i + 1], a[i + 3], 0xee);
  });
  unrolled<4>([&](int c) CHAINRULE_INLINE_LAMBDA {
    const __m512 upper_even = _mm512_maskz_shuffle_f32x4(0xffff, b[c], b[c + 4], 0x88);
    const __m512 upper_odd = _mm512_maskz_shuffle_f32x4(0xffff, b[c], b[c + 4], 0xdd);
    const __m512 lower_even = _mm512_maskz_shuffle_f32x4(0xffff, b[c + 8], b[c + 12], 0x88);
    const __m512 lower_odd = _mm512_maskz_shuffle_f32x4(0xffff, b[c + 8], b[c + 12], 0xdd);
    rows[c].raw = _mm512_maskz_shuffle_f32x4(0xffff, upper_even, lower_even, 0x88);
    rows[c + 4].raw = _mm512_maskz_shuffle_f32x4(0xffff, upper_odd, lower_odd, 0x88);
    rows[c + 8].raw = _mm512_maskz_shuffle_f32x4(0xffff, upper_even, lower_even, 0xdd);
    rows[c + 12].raw = _mm512_maskz_shuffle_f32x4(0xffff, upper_odd, lower_odd, 0xdd);
  });
}

CHAINRULE_INLINE void transpose(Vec<double> (&rows)[8]) {
  __m512d a[8];
  // a[i + c]: column 2 q + c of rows i and i + 1 in quarter q
  unrolled<4>([&](int group) CHAINRULE_INLINE_LAMBDA {
    const int i = 2 * group;
    a[i] = _mm512_maskz_unpacklo_pd(0xff, rows[i].raw, rows[i + 1].raw);
    a[i + 1] = _mm512_maskz_unpackhi_pd(0xff, rows[i].raw, rows[i + 1].raw);
  });
  unrolled<2>([&](int c) CHAINRULE_INLINE_LAMBDA {
    const __m512d upper_even = _mm512_maskz_shuffle_f64x2(0xff, a[c], a[c + 2], 0x88);
    const __m512d upper_odd = _mm512_maskz_shuffle_f64x2(0xff, a[c], a[c + 2], 0xdd);
    const __m512d lower_even = _mm512_maskz_shuffle_f64x2(0xff, a[c + 4], a[c + 6], 0x88);
    const __m512d lower_odd = _mm512_maskz_shuffle_f64x2(0xff, a[c + 4], a[c + 6], 0xdd);
    rows[c].raw = _mm512_maskz_shuffle_f64x2(0xff, upper_even, lower_even, 0x88);
    rows[c + 2].raw = _mm512_maskz_shuffle_f64x2(0xff, upper_odd, lower_odd, 0x88);
    rows[c + 4].raw = _mm512_maskz_shuffle_f64x2(0xff, upper_even, lower_even, 0xdd);
    rows[c + 6].raw = _mm512_maskz_shuffle_f64x2(0xff, upper_odd, lower_odd, 0xdd);
  });
}

}  // namespace
}  // namespace chainrule
