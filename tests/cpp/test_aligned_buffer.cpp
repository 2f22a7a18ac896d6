// AlignedBuffer and the checked sizes under it.
#include <doctest/doctest.h>

#include <cstdint>
#include <limits>
#include <stdexcept>
#include <utility>

#include "base/aligned_buffer.hpp"
#include "base/checks.hpp"

namespace {

using chainrule::AlignedBuffer;
using chainrule::checked_product;
using chainrule::checked_sum;
using chainrule::kAlignment;

constexpr int64_t kMaximum = std::numeric_limits<int64_t>::max();

bool is_aligned(const void* pointer) {
  return reinterpret_cast<std::uintptr_t>(pointer) % kAlignment == 0;
}

TEST_CASE("a buffer is aligned and starts at zero, whatever its size") {
  for (const int64_t size : {1, 2, 7, 15, 16, 17, 63, 1000, 4097}) {
    CAPTURE(size);
    AlignedBuffer<float> buffer(size);
    CHECK(buffer.size() == size);
    CHECK(is_aligned(buffer.data()));
    bool all_zero = true;
    for (int64_t i = 0; i < size; ++i) all_zero = all_zero && buffer[i] == 0.0F;
    CHECK(all_zero);
  }
}

TEST_CASE("an empty buffer has no memory and can be copied, moved and grown") {
  AlignedBuffer<double> buffer(0);
  CHECK(buffer.empty());
  CHECK(buffer.data() == nullptr);
  AlignedBuffer<double> copy(buffer);
  AlignedBuffer<double> moved(std::move(buffer));
  CHECK(copy.empty());
  CHECK(moved.empty());
  moved.reserve(3);
  CHECK(moved.size() == 3);
}

TEST_CASE("a copy is independent, a move takes the memory") {
  AlignedBuffer<int32_t> first(5);
  for (int32_t i = 0; i < 5; ++i) first[i] = i + 1;
  AlignedBuffer<int32_t> second(first);
  second[0] = 100;
  CHECK(first[0] == 1);
  CHECK(second[4] == 5);

  const int32_t* const memory = first.data();
  AlignedBuffer<int32_t> third(std::move(first));
  CHECK(third.data() == memory);

  second = third;
  CHECK(second[0] == 1);
  CHECK(second.data() != third.data());
  AlignedBuffer<int32_t>& same = second;
  second = same;
  CHECK(second[4] == 5);
}

TEST_CASE("reserve keeps what is large enough") {
  AlignedBuffer<float> buffer(10);
  buffer[9] = 3.0F;
  const float* const memory = buffer.data();
  buffer.reserve(10);
  buffer.reserve(4);
  CHECK(buffer.data() == memory);
  CHECK(buffer.size() == 10);
  CHECK(buffer[9] == 3.0F);
  buffer.reserve(11);
  CHECK(buffer.size() == 11);
  CHECK(is_aligned(buffer.data()));
}

TEST_CASE("a size in bytes that overflows is an error, not a small buffer") {
  CHECK_THROWS_AS(AlignedBuffer<double>(kMaximum / 4), std::length_error);
}

TEST_CASE("checked sizes") {
  CHECK(checked_product(0, kMaximum) == 0);
  CHECK(checked_product(kMaximum, 0) == 0);
  CHECK(checked_product(kMaximum, 1) == kMaximum);
  CHECK(checked_product(3037000499, 3037000499) == 9223372030926249001);
  CHECK_THROWS_AS(checked_product(3037000500, 3037000500), std::length_error);
  CHECK_THROWS_AS(checked_product(kMaximum, 2), std::length_error);
  CHECK(checked_sum(kMaximum, 0) == kMaximum);
  CHECK_THROWS_AS(checked_sum(kMaximum, 1), std::length_error);
}

}  // namespace
