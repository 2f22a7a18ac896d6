// FlushToZero: denormals are zero inside, the rest of the floating-point state is the default one,
// and the caller's comes back.
#include <doctest/doctest.h>

#include <cfenv>
#include <limits>
#include <stdexcept>

#include "base/flush_to_zero.hpp"

namespace {

using chainrule::FlushToZero;
using chainrule::KeepDenormals;

// Through volatile, so that the processor and not the compiler does the arithmetic.
template <class T>
bool result_is_flushed() {
  volatile T smallest_normal = std::numeric_limits<T>::min();
  volatile T half = T(0.5);
  volatile T product = smallest_normal * half;
  return !(product > T(0));
}

template <class T>
bool input_is_flushed() {
  volatile T denormal = std::numeric_limits<T>::denorm_min();
  volatile T large = T(1) / std::numeric_limits<T>::epsilon();
  volatile T product = denormal * large * large;
  return !(product > T(0));
}

void check_flushes(bool expected) {
  CHECK(result_is_flushed<float>() == expected);
  CHECK(result_is_flushed<double>() == expected);
  CHECK(input_is_flushed<float>() == expected);
  CHECK(input_is_flushed<double>() == expected);
}

TEST_CASE("denormals are zero inside the guard, and only there") {
  check_flushes(false);
  {
    const FlushToZero guard;
    check_flushes(true);
  }
  check_flushes(false);
}

TEST_CASE("guards nest") {
  const FlushToZero outer;
  {
    const FlushToZero inner;
    check_flushes(true);
  }
  check_flushes(true);
}

TEST_CASE("an exception restores the state") {
  try {
    const FlushToZero guard;
    throw std::runtime_error("leave");
  } catch (const std::runtime_error&) {
    check_flushes(false);
  }
}

// 1 + epsilon/8, which only upward rounding takes beyond 1.
template <class T>
bool rounds_upward() {
  volatile T one = T(1), little = std::numeric_limits<T>::epsilon() / 8;
  volatile T sum = one + little;
  return sum > one;
}

TEST_CASE("within, numbers round to nearest; the caller's rounding comes back") {
  REQUIRE(std::fesetround(FE_UPWARD) == 0);
  bool is_upward_within = true, is_upward_in_foreign_code = true;
  {
    const FlushToZero guard;
    is_upward_within = rounds_upward<float>() || rounds_upward<double>();
    const KeepDenormals inner;
    is_upward_in_foreign_code = rounds_upward<float>() || rounds_upward<double>();
  }
  const bool is_upward_after = rounds_upward<float>() && rounds_upward<double>();
  std::fesetround(FE_TONEAREST);
  CHECK(!is_upward_within);
  CHECK(!is_upward_in_foreign_code);
  CHECK(is_upward_after);
}

TEST_CASE("foreign code within has its denormals") {
  const FlushToZero guard;
  {
    const KeepDenormals inner;
    check_flushes(false);
  }
  check_flushes(true);
}

#if defined(__x86_64__) || defined(_M_X64)
TEST_CASE("every bit of MXCSR comes back, flags and traps too") {
  const unsigned int before = _mm_getcsr();
  const unsigned int unusual = (before & ~0x0200U) | 0x6001U;  // division by zero traps
  _mm_setcsr(unusual);
  unsigned int inside = 0;
  {
    const FlushToZero guard;
    inside = _mm_getcsr();
    volatile float zero = 0;
    volatile float infinity = 1 / zero;
    static_cast<void>(infinity);
  }
  const unsigned int after = _mm_getcsr();
  _mm_setcsr(before);
  CHECK(inside == 0x9FC0U);
  CHECK(after == unusual);
}
#endif

}  // namespace
