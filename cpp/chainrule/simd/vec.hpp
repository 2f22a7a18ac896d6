// The one contract that kernels compute with: Vec<T> and Mask<T>, T = float or double, in the
// registers of one variant. Included by kernels/variant.cpp alone, which is compiled once per
// variant; it may call nothing but intrinsics. Everything stands in an unnamed namespace, so that
// the linker can never replace one variant's code by another's.
//
//   Vec<T>::kLanes                       lanes (avx512 16/8, avx2 8/4, neon 4/2, baseline 4/2)
//   Vec<T>::load(p), v.store(p)          any alignment
//   load_partial(p, count), store_partial(p, count)
//                                        0 <= count <= kLanes; memory past count is not touched,
//                                        loaded lanes past count are +0
//   Vec<T>::zero(), broadcast(x)
//   a + b, a - b, a * b, a / b, sqrt(a)  rounded once, to nearest even
//   -a, abs(a), copysign(magnitude, sign), select: bits only, never flush a denormal
//   fma(a, b, c)                         a * b + c, rounded once, in every variant
//   negative_fma(a, b, c)                c - a * b, rounded once, in every variant
//   multiply_add(a, b, c)                a * b + c; two roundings in baseline, else fma
//   min(a, b), max(a, b)                 a < b ? a : b, a > b ? a : b; so b if either is NaN, or if
//                                        both are zeros
//   round_even(a)                        nearest integral value, ties to even, sign of zero kept
//   a < b, <=, >, >=, ==                 Mask<T>; false if either is NaN
//   is_nan(a, b)                         Mask<T>: either is NaN
//   m & n, m | n, !m, all(m), any(m), select(m, if_true, if_false)
//   transpose(rows)                      the square of kLanes vectors, in place
//   round_to_bf16(a)                     float alone: the nearest number of 8 significant bits,
//   ties
//                                        to even; the largest one for what would become infinite; a
//                                        is finite
//   For the functions of math.hpp:
//   power_of_two(t)                      2^n for t = PowerShift<T>::kBiased + n, n integral, 2^n
//                                        normal
//   scale_normal(p, n, t)                p * 2^n for t = PowerShift<T>::kPlain + n, p and result
//                                        normal; any bits otherwise
//   split_exponent(x)                    x = mantissa * 2^exponent, sqrt(1/2) <= mantissa and
//                                        mantissa < sqrt(2); any bits unless x is positive, normal
//                                        and finite
//
// Same inputs give the same bits in every variant, but for multiply_add in baseline, the payload
// and sign of a NaN, which loops-inl.hpp makes one where results are stored, and denormals: kernels
// run with flush-to-zero and denormals-as-zero, where AArch64 decides before rounding and x86 after
// it whether a result is denormal, and where min, max and round_even may pass a denormal on or
// flush it.
#pragma once

#include <cstddef>
#include <cstdint>

// CHAINRULE_INLINE_LAMBDA stands behind the parameters of lambdas that must be inlined.
#if defined(_MSC_VER) && !defined(__clang__)
#define CHAINRULE_INLINE __forceinline
#define CHAINRULE_INLINE_LAMBDA
#define CHAINRULE_OUTLINE inline __declspec(noinline)
#else
#define CHAINRULE_INLINE_LAMBDA __attribute__((always_inline))
#define CHAINRULE_OUTLINE inline __attribute__((noinline))
#define CHAINRULE_INLINE inline __attribute__((always_inline))
#endif

namespace chainrule {
namespace {

// Brings the line of an address that will be written into the second-level cache.
CHAINRULE_INLINE void prefetch(const void* address) {
#if defined(_MSC_VER) && !defined(__clang__)
  static_cast<void>(address);
#else
  __builtin_prefetch(address, 1, 2);
#endif
}

// body(0), body(1) ... body(kCount - 1), unrolled before the compiler decides what lives in
// registers; an array of vectors indexed by a loop variable may stay in memory.
template <int kCount, int kFirst = 0, class Body>
CHAINRULE_INLINE void unrolled(const Body& body) {
  if constexpr (kFirst < kCount) {
    body(kFirst);
    unrolled<kCount, kFirst + 1>(body);
  }
}

template <class T>
struct Vec;

template <class T>
struct Mask;

// Added to a value of magnitude below 2^21 (2^50) these leave it rounded to an integer in the low
// bits of the mantissa; kBiased has the exponent bias there already.
template <class T>
struct PowerShift;

template <>
struct PowerShift<float> {
  static constexpr float kPlain = 12582912.0F;
  static constexpr float kBiased = 12583039.0F;
};

template <>
struct PowerShift<double> {
  static constexpr double kPlain = 6755399441055744.0;
  static constexpr double kBiased = 6755399441056767.0;
};

// The integers of round_to_bf16: half a unit of bf16's last place less one, the bits that stay, and
// the largest bf16.
struct Bf16Bits {
  static constexpr int kDropped = 16;
  static constexpr int32_t kHalf = 0x7fff;
  static constexpr int32_t kKept = -0x10000;
  static constexpr int32_t kMagnitude = 0x7fffffff;
  static constexpr int32_t kLargest = 0x7f7f0000;
};

template <class T>
struct Split {
  Vec<T> mantissa;
  Vec<T> exponent;
};

// The integers of split_exponent: bits + kToOne puts the exponent of sqrt(1/2) where that of 1 is,
// and kSplitBits + (a biased exponent) are the bits of kSplitOffset + (the exponent).
template <class T>
struct SplitConstants;

template <>
struct SplitConstants<float> {
  static constexpr int kMantissaBits = 23;
  static constexpr int32_t kHalfRoot = 0x3f3504f3;
  static constexpr int32_t kToOne = 0x3f800000 - kHalfRoot;
  static constexpr int32_t kMantissaMask = 0x007fffff;
  static constexpr int32_t kSplitBits = 0x4b000000;
  static constexpr float kSplitOffset = 8388735.0F;
};

template <>
struct SplitConstants<double> {
  static constexpr int kMantissaBits = 52;
  static constexpr int64_t kHalfRoot = 0x3fe6a09e667f3bcd;
  static constexpr int64_t kToOne = 0x3ff0000000000000 - kHalfRoot;
  static constexpr int64_t kMantissaMask = 0x000fffffffffffff;
  static constexpr int64_t kSplitBits = 0x4330000000000000;
  static constexpr double kSplitOffset = 4503599627371519.0;
};

}  // namespace
}  // namespace chainrule

#if defined(CHAINRULE_VARIANT_BASELINE) + defined(CHAINRULE_VARIANT_AVX2) +    \
        defined(CHAINRULE_VARIANT_AVX512) + defined(CHAINRULE_VARIANT_NEON) != \
    1
#error "define exactly one of CHAINRULE_VARIANT_BASELINE, _AVX2, _AVX512, _NEON"
#elif defined(CHAINRULE_VARIANT_AVX512)
#include "simd/vec_avx512.hpp"
#elif defined(CHAINRULE_VARIANT_AVX2)
#include "simd/vec_avx2.hpp"
#elif defined(CHAINRULE_VARIANT_NEON)
#include "simd/vec_neon.hpp"
#else
#include "simd/vec_baseline.hpp"
#endif
