// FlushToZero: denormals are zero inside, and the caller's floating-point state comes back.
#include <doctest/doctest.h>

#include <limits>
#include <stdexcept>

#include "base/flush_to_zero.hpp"

namespace {

using chainrule::FlushToZero;

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

#if defined(__x86_64__) || defined(_M_X64)
TEST_CASE("every other bit of MXCSR is the caller's") {
  const unsigned int before = _mm_getcsr();
  const unsigned int toward_zero = before | 0x6000U;
  _mm_setcsr(toward_zero);
  unsigned int inside = 0;
  {
    const FlushToZero guard;
    inside = _mm_getcsr();
  }
  const unsigned int after = _mm_getcsr();
  _mm_setcsr(before);
  CHECK((inside & 0x6000U) == 0x6000U);
  CHECK((inside & 0x8040U) == 0x8040U);
  CHECK(after == toward_zero);
}
#endif

}  // namespace
