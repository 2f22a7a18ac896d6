// Vec and Mask of vec.hpp in 128-bit registers (AArch64 Advanced SIMD). A mask's lanes are all ones
// or all zeros. Included by vec.hpp alone.
#pragma once

#include <arm_neon.h>

#include "simd/vec.hpp"

namespace chainrule {
namespace {

template <>
struct Mask<float> {
  uint32x4_t raw;
};

template <>
struct Mask<double> {
  uint64x2_t raw;
};

template <>
struct Vec<float> {
  static constexpr int64_t kLanes = 4;
  float32x4_t raw;

  static CHAINRULE_INLINE Vec load(const float* from) { return {vld1q_f32(from)}; }
  static CHAINRULE_INLINE Vec load_partial(const float* from, int64_t count) {
    if (count >= kLanes) return load(from);
    float lanes[4] = {0.0F, 0.0F, 0.0F, 0.0F};
    for (int64_t i = 0; i < count; ++i) lanes[i] = from[i];
    return load(lanes);
  }
  CHAINRULE_INLINE void store(float* to) const { vst1q_f32(to, raw); }
  CHAINRULE_INLINE void store_partial(float* to, int64_t count) const {
    if (count >= kLanes) return store(to);
    float lanes[4];
    store(lanes);
    for (int64_t i = 0; i < count; ++i) to[i] = lanes[i];
  }
  static CHAINRULE_INLINE Vec zero() { return {vdupq_n_f32(0.0F)}; }
  static CHAINRULE_INLINE Vec broadcast(float x) { return {vdupq_n_f32(x)}; }
};

template <>
struct Vec<double> {
  static constexpr int64_t kLanes = 2;
  float64x2_t raw;

  static CHAINRULE_INLINE Vec load(const double* from) { return {vld1q_f64(from)}; }
  static CHAINRULE_INLINE Vec load_partial(const double* from, int64_t count) {
    if (count >= kLanes) return load(from);
    const double lanes[2] = {count > 0 ? from[0] : 0.0, 0.0};
    return load(lanes);
  }
  CHAINRULE_INLINE void store(double* to) const { vst1q_f64(to, raw); }
  CHAINRULE_INLINE void store_partial(double* to, int64_t count) const {
    if (count >= kLanes) return store(to);
    if (count > 0) vst1q_lane_f64(to, raw, 0);
  }
  static CHAINRULE_INLINE Vec zero() { return {vdupq_n_f64(0.0)}; }
  static CHAINRULE_INLINE Vec broadcast(double x) { return {vdupq_n_f64(x)}; }
};

// float

CHAINRULE_INLINE Vec<float> operator+(Vec<float> a, Vec<float> b) {
  return {vaddq_f32(a.raw, b.raw)};
}
CHAINRULE_INLINE Vec<float> operator-(Vec<float> a, Vec<float> b) {
  return {vsubq_f32(a.raw, b.raw)};
}
CHAINRULE_INLINE Vec<float> operator*(Vec<float> a, Vec<float> b) {
  return {vmulq_f32(a.raw, b.raw)};
}
CHAINRULE_INLINE Vec<float> operator/(Vec<float> a, Vec<float> b) {
  return {vdivq_f32(a.raw, b.raw)};
}
CHAINRULE_INLINE Vec<float> operator-(Vec<float> a) {
  return {vreinterpretq_f32_u32(veorq_u32(vreinterpretq_u32_f32(a.raw), vdupq_n_u32(1U << 31)))};
}
CHAINRULE_INLINE Vec<float> fma(Vec<float> a, Vec<float> b, Vec<float> c) {
  return {vfmaq_f32(c.raw, a.raw, b.raw)};
}
CHAINRULE_INLINE Vec<float> negative_fma(Vec<float> a, Vec<float> b, Vec<float> c) {
  return {vfmsq_f32(c.raw, a.raw, b.raw)};
}
CHAINRULE_INLINE Vec<float> multiply_add(Vec<float> a, Vec<float> b, Vec<float> c) {
  return fma(a, b, c);
}
CHAINRULE_INLINE Vec<float> sqrt(Vec<float> a) { return {vsqrtq_f32(a.raw)}; }
CHAINRULE_INLINE Vec<float> abs(Vec<float> a) {
  return {vreinterpretq_f32_u32(vandq_u32(vreinterpretq_u32_f32(a.raw), vdupq_n_u32(0x7fffffffU)))};
}
CHAINRULE_INLINE Vec<float> copysign(Vec<float> magnitude, Vec<float> sign) {
  return {vbslq_f32(vdupq_n_u32(1U << 31), sign.raw, magnitude.raw)};
}
CHAINRULE_INLINE Vec<float> round_even(Vec<float> a) { return {vrndnq_f32(a.raw)}; }
CHAINRULE_INLINE Mask<float> operator<(Vec<float> a, Vec<float> b) {
  return {vcltq_f32(a.raw, b.raw)};
}
CHAINRULE_INLINE Mask<float> operator<=(Vec<float> a, Vec<float> b) {
  return {vcleq_f32(a.raw, b.raw)};
}
CHAINRULE_INLINE Mask<float> operator>(Vec<float> a, Vec<float> b) { return b < a; }
CHAINRULE_INLINE Mask<float> operator>=(Vec<float> a, Vec<float> b) { return b <= a; }
CHAINRULE_INLINE Mask<float> operator==(Vec<float> a, Vec<float> b) {
  return {vceqq_f32(a.raw, b.raw)};
}
CHAINRULE_INLINE Mask<float> operator&(Mask<float> a, Mask<float> b) {
  return {vandq_u32(a.raw, b.raw)};
}
CHAINRULE_INLINE Mask<float> operator|(Mask<float> a, Mask<float> b) {
  return {vorrq_u32(a.raw, b.raw)};
}
CHAINRULE_INLINE Mask<float> operator!(Mask<float> a) { return {vmvnq_u32(a.raw)}; }
CHAINRULE_INLINE Mask<float> is_nan(Vec<float> a, Vec<float> b) { return !((a == a) & (b == b)); }
CHAINRULE_INLINE bool all(Mask<float> a) { return vminvq_u32(a.raw) != 0; }
CHAINRULE_INLINE bool any(Mask<float> a) { return vmaxvq_u32(a.raw) != 0; }
CHAINRULE_INLINE Vec<float> select(Mask<float> mask, Vec<float> if_true, Vec<float> if_false) {
  return {vbslq_f32(mask.raw, if_true.raw, if_false.raw)};
}
// FMIN and FMAX would return the NaN.
CHAINRULE_INLINE Vec<float> min(Vec<float> a, Vec<float> b) { return select(a < b, a, b); }
CHAINRULE_INLINE Vec<float> max(Vec<float> a, Vec<float> b) { return select(a > b, a, b); }
CHAINRULE_INLINE Vec<float> power_of_two(Vec<float> t) {
  return {vreinterpretq_f32_s32(vshlq_n_s32(vreinterpretq_s32_f32(t.raw), 23))};
}
CHAINRULE_INLINE Vec<float> scale_normal(Vec<float> p, Vec<float>, Vec<float> t) {
  return {vreinterpretq_f32_s32(
      vaddq_s32(vreinterpretq_s32_f32(p.raw), vshlq_n_s32(vreinterpretq_s32_f32(t.raw), 23)))};
}
CHAINRULE_INLINE Split<float> split_exponent(Vec<float> x) {
  using C = SplitConstants<float>;
  const int32x4_t bits = vaddq_s32(vreinterpretq_s32_f32(x.raw), vdupq_n_s32(C::kToOne));
  const uint32x4_t exponent = vorrq_u32(vshrq_n_u32(vreinterpretq_u32_s32(bits), C::kMantissaBits),
                                        vdupq_n_u32(static_cast<uint32_t>(C::kSplitBits)));
  const int32x4_t mantissa =
      vaddq_s32(vandq_s32(bits, vdupq_n_s32(C::kMantissaMask)), vdupq_n_s32(C::kHalfRoot));
  return {{vreinterpretq_f32_s32(mantissa)},
          Vec<float>{vreinterpretq_f32_u32(exponent)} - Vec<float>::broadcast(C::kSplitOffset)};
}

// double

CHAINRULE_INLINE Vec<double> operator+(Vec<double> a, Vec<double> b) {
  return {vaddq_f64(a.raw, b.raw)};
}
CHAINRULE_INLINE Vec<double> operator-(Vec<double> a, Vec<double> b) {
  return {vsubq_f64(a.raw, b.raw)};
}
CHAINRULE_INLINE Vec<double> operator*(Vec<double> a, Vec<double> b) {
  return {vmulq_f64(a.raw, b.raw)};
}
CHAINRULE_INLINE Vec<double> operator/(Vec<double> a, Vec<double> b) {
  return {vdivq_f64(a.raw, b.raw)};
}
CHAINRULE_INLINE Vec<double> operator-(Vec<double> a) {
  return {vreinterpretq_f64_u64(
      veorq_u64(vreinterpretq_u64_f64(a.raw), vdupq_n_u64(uint64_t{1} << 63)))};
}
CHAINRULE_INLINE Vec<double> fma(Vec<double> a, Vec<double> b, Vec<double> c) {
  return {vfmaq_f64(c.raw, a.raw, b.raw)};
}
CHAINRULE_INLINE Vec<double> negative_fma(Vec<double> a, Vec<double> b, Vec<double> c) {
  return {vfmsq_f64(c.raw, a.raw, b.raw)};
}
CHAINRULE_INLINE Vec<double> multiply_add(Vec<double> a, Vec<double> b, Vec<double> c) {
  return fma(a, b, c);
}
CHAINRULE_INLINE Vec<double> sqrt(Vec<double> a) { return {vsqrtq_f64(a.raw)}; }
CHAINRULE_INLINE Vec<double> abs(Vec<double> a) {
  return {vreinterpretq_f64_u64(
      vandq_u64(vreinterpretq_u64_f64(a.raw), vdupq_n_u64(~(uint64_t{1} << 63))))};
}
CHAINRULE_INLINE Vec<double> copysign(Vec<double> magnitude, Vec<double> sign) {
  return {vbslq_f64(vdupq_n_u64(uint64_t{1} << 63), sign.raw, magnitude.raw)};
}
CHAINRULE_INLINE Vec<double> round_even(Vec<double> a) { return {vrndnq_f64(a.raw)}; }
CHAINRULE_INLINE Mask<double> operator<(Vec<double> a, Vec<double> b) {
  return {vcltq_f64(a.raw, b.raw)};
}
CHAINRULE_INLINE Mask<double> operator<=(Vec<double> a, Vec<double> b) {
  return {vcleq_f64(a.raw, b.raw)};
}
CHAINRULE_INLINE Mask<double> operator>(Vec<double> a, Vec<double> b) { return b < a; }
CHAINRULE_INLINE Mask<double> operator>=(Vec<double> a, Vec<double> b) { return b <= a; }
CHAINRULE_INLINE Mask<double> operator==(Vec<double> a, Vec<double> b) {
  return {vceqq_f64(a.raw, b.raw)};
}
CHAINRULE_INLINE Mask<double> operator&(Mask<double> a, Mask<double> b) {
  return {vandq_u64(a.raw, b.raw)};
}
CHAINRULE_INLINE Mask<double> operator|(Mask<double> a, Mask<double> b) {
  return {vorrq_u64(a.raw, b.raw)};
}
CHAINRULE_INLINE Mask<double> operator!(Mask<double> a) {
  return {vreinterpretq_u64_u32(vmvnq_u32(vreinterpretq_u32_u64(a.raw)))};
}
CHAINRULE_INLINE Mask<double> is_nan(Vec<double> a, Vec<double> b) {
  return !((a == a) & (b == b));
}
CHAINRULE_INLINE bool all(Mask<double> a) { return vminvq_u32(vreinterpretq_u32_u64(a.raw)) != 0; }
CHAINRULE_INLINE bool any(Mask<double> a) { return vmaxvq_u32(vreinterpretq_u32_u64(a.raw)) != 0; }
CHAINRULE_INLINE Vec<double> select(Mask<double> mask, Vec<double> if_true, Vec<double> if_false) {
  return {vbslq_f64(mask.raw, if_true.raw, if_false.raw)};
}
CHAINRULE_INLINE Vec<double> min(Vec<double> a, Vec<double> b) { return select(a < b, a, b); }
CHAINRULE_INLINE Vec<double> max(Vec<double> a, Vec<double> b) { return select(a > b, a, b); }
CHAINRULE_INLINE Vec<double> power_of_two(Vec<double> t) {
  return {vreinterpretq_f64_s64(vshlq_n_s64(vreinterpretq_s64_f64(t.raw), 52))};
}
CHAINRULE_INLINE Vec<double> scale_normal(Vec<double> p, Vec<double>, Vec<double> t) {
  return {vreinterpretq_f64_s64(
      vaddq_s64(vreinterpretq_s64_f64(p.raw), vshlq_n_s64(vreinterpretq_s64_f64(t.raw), 52)))};
}
CHAINRULE_INLINE Split<double> split_exponent(Vec<double> x) {
  using C = SplitConstants<double>;
  const int64x2_t bits = vaddq_s64(vreinterpretq_s64_f64(x.raw), vdupq_n_s64(C::kToOne));
  const uint64x2_t exponent = vorrq_u64(vshrq_n_u64(vreinterpretq_u64_s64(bits), C::kMantissaBits),
                                        vdupq_n_u64(static_cast<uint64_t>(C::kSplitBits)));
  const int64x2_t mantissa =
      vaddq_s64(vandq_s64(bits, vdupq_n_s64(C::kMantissaMask)), vdupq_n_s64(C::kHalfRoot));
  return {{vreinterpretq_f64_s64(mantissa)},
          Vec<double>{vreinterpretq_f64_u64(exponent)} - Vec<double>::broadcast(C::kSplitOffset)};
}

CHAINRULE_INLINE Vec<float> round_to_bf16(Vec<float> a) {
  using C = Bf16Bits;
  const int32x4_t bits = vreinterpretq_s32_f32(a.raw);
  const int32x4_t magnitude = vandq_s32(bits, vdupq_n_s32(C::kMagnitude));
  const int32x4_t last = vandq_s32(vshrq_n_s32(bits, C::kDropped), vdupq_n_s32(1));
  const int32x4_t rounded = vandq_s32(vaddq_s32(vaddq_s32(magnitude, vdupq_n_s32(C::kHalf)), last),
                                      vdupq_n_s32(C::kKept));
  const int32x4_t bounded = vminq_s32(rounded, vdupq_n_s32(C::kLargest));
  return copysign({vreinterpretq_f32_s32(bounded)}, a);
}

CHAINRULE_INLINE void transpose(Vec<float> (&rows)[4]) {
  const float32x4x2_t upper = vzipq_f32(rows[0].raw, rows[2].raw);
  const float32x4x2_t lower = vzipq_f32(rows[1].raw, rows[3].raw);
  for (int i = 0; i < 2; ++i) {
    const float32x4x2_t both = vzipq_f32(upper.val[i], lower.val[i]);
    rows[2 * i].raw = both.val[0];
    rows[2 * i + 1].raw = both.val[1];
  }
}

CHAINRULE_INLINE void transpose(Vec<double> (&rows)[2]) {
  const float64x2_t first = vzip1q_f64(rows[0].raw, rows[1].raw);
  rows[1].raw = vzip2q_f64(rows[0].raw, rows[1].raw);
  rows[0].raw = first;
}

}  // namespace
}  // namespace chainrule
