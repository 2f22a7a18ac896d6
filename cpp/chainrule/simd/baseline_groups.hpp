// The registers of the variant baseline: what vec_baseline.hpp and baseline_fma.hpp compute with,
// and the bits of it. A group is a vector of GCC's and Clang's, one to a Vec, or for other
// compilers a single lane.
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

// What one expression computes: all lanes, or one.
#if defined(__GNUC__)
template <class T>
struct GroupOf {
  typedef T type __attribute__((vector_size(16)));
  typedef typename Lanes<T>::Bits Bits __attribute__((vector_size(16)));
};
template <class T>
inline constexpr int64_t kGroups = 1;
#else
template <class T>
struct GroupOf {
  using type = T;
  using Bits = typename Lanes<T>::Bits;
};
template <class T>
inline constexpr int64_t kGroups = Lanes<T>::kCount;
#endif
template <class T>
using Group = typename GroupOf<T>::type;
template <class T>
using GroupBits = typename GroupOf<T>::Bits;

CHAINRULE_INLINE uint32_t bits_of(float x) { return __builtin_bit_cast(uint32_t, x); }
CHAINRULE_INLINE uint64_t bits_of(double x) { return __builtin_bit_cast(uint64_t, x); }
CHAINRULE_INLINE float from_bits(uint32_t x) { return __builtin_bit_cast(float, x); }
CHAINRULE_INLINE double from_bits(uint64_t x) { return __builtin_bit_cast(double, x); }
CHAINRULE_INLINE uint64_t all_ones(bool x) { return x ? ~uint64_t{0} : uint64_t{0}; }
#if defined(__GNUC__)
CHAINRULE_INLINE GroupBits<float> bits_of(Group<float> x) {
  return __builtin_bit_cast(GroupBits<float>, x);
}
CHAINRULE_INLINE GroupBits<double> bits_of(Group<double> x) {
  return __builtin_bit_cast(GroupBits<double>, x);
}
CHAINRULE_INLINE Group<float> from_bits(GroupBits<float> x) {
  return __builtin_bit_cast(Group<float>, x);
}
CHAINRULE_INLINE Group<double> from_bits(GroupBits<double> x) {
  return __builtin_bit_cast(Group<double>, x);
}
using GroupTruth = decltype(Group<double>{} < Group<double>{});
CHAINRULE_INLINE GroupBits<double> all_ones(GroupTruth x) {
  return __builtin_bit_cast(GroupBits<double>, x);
}
#endif

}  // namespace
}  // namespace chainrule
