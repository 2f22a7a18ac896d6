// Contracts that are asserted, and overflow-checked sizes. Python has validated what users give;
// these guard what only C++ computes. Used by every layer above.
//
// CHAINRULE_ASSERT(contract) stands at the door of a function, where its header states the
// contract. In builds with CHAINRULE_ASSERTIONS (CMakeLists.txt: Debug, sanitizers) a contract that
// does not hold is printed to stderr with its file and line, and the process aborts. In other
// builds it is not evaluated, but still compiled, so that what it names must exist and counts as
// used.
#pragma once

#include <cstdint>
#include <limits>

namespace chainrule {

#if defined(CHAINRULE_ASSERTIONS)
inline constexpr bool kHasAssertions = true;
[[noreturn]] void fail_assertion(const char* file, int line, const char* contract) noexcept;
// Variadic: a contract may hold commas that no parentheses enclose.
#define CHAINRULE_ASSERT(...)               \
  (static_cast<bool>(__VA_ARGS__) ? void(0) \
                                  : ::chainrule::fail_assertion(__FILE__, __LINE__, #__VA_ARGS__))
#else
inline constexpr bool kHasAssertions = false;
#define CHAINRULE_ASSERT(...) static_cast<void>(sizeof(static_cast<bool>(__VA_ARGS__)))
#endif

// For contracts; static, because the variant units include them too.

// Whether two arrays, with their numbers of elements, share no memory. An empty or null array
// shares none.
template <class A, class B>
static inline bool are_apart(const A* a, int64_t a_size, const B* b, int64_t b_size) {
  if (a == nullptr || b == nullptr || a_size <= 0 || b_size <= 0) return true;
  const auto a_first = reinterpret_cast<uintptr_t>(a), b_first = reinterpret_cast<uintptr_t>(b);
  return a_first + static_cast<uintptr_t>(a_size) * sizeof(A) <= b_first ||
         b_first + static_cast<uintptr_t>(b_size) * sizeof(B) <= a_first;
}
// The same, or an array may be computed in its place.
template <class A>
static inline bool are_same_or_apart(const A* a, const A* b, int64_t size) {
  return a == b || are_apart(a, size, b, size);
}
// Whether an array of `size` elements is not null; an empty array may be null.
template <class A>
static inline bool is_there(const A* a, int64_t size) {
  return size == 0 || a != nullptr;
}

// Throws std::length_error. Not inline, so that this header can be included where exceptions are
// off.
[[noreturn]] void fail_size();

// a * b for sizes (not negative). Throws std::length_error when it does not fit.
inline int64_t checked_product(int64_t a, int64_t b) {
  if (b != 0 && a > std::numeric_limits<int64_t>::max() / b) {
    fail_size();
  }
  return a * b;
}

// a + b for sizes (not negative). Throws std::length_error when it does not fit.
inline int64_t checked_sum(int64_t a, int64_t b) {
  if (a > std::numeric_limits<int64_t>::max() - b) {
    fail_size();
  }
  return a + b;
}

}  // namespace chainrule
