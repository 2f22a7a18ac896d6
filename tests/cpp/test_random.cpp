// Philox4x32-10 against the known answers that its authors publish (Random123, kat_vectors), and
// the streams over it.
#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <set>

#include "base/random.hpp"

namespace {

using chainrule::philox;
using chainrule::PhiloxBlock;
using chainrule::RandomPurpose;
using chainrule::RandomStream;

struct KnownAnswer {
  PhiloxBlock counter;
  uint32_t key0, key1;
  PhiloxBlock expected;
};

constexpr KnownAnswer kKnownAnswers[] = {
    {{{0, 0, 0, 0}}, 0, 0, {{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}}},
    {{{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}},
     0xffffffff,
     0xffffffff,
     {{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}}},
    // The digits of pi.
    {{{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}},
     0xa4093822,
     0x299f31d0,
     {{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}}},
};

TEST_CASE("philox gives the published answers") {
  for (const KnownAnswer& answer : kKnownAnswers) {
    const PhiloxBlock block = philox(answer.counter, answer.key0, answer.key1);
    for (int i = 0; i < 4; ++i) CHECK(block.word[i] == answer.expected.word[i]);
  }
}

TEST_CASE("a stream is a function of seed, purpose, index and position") {
  const uint64_t position = (uint64_t{7} << 32) | 11;
  const RandomStream stream(0x0123456789abcdef, RandomPurpose::kDropout, 5);
  const PhiloxBlock expected = philox({{11, 7, 5, 2}}, 0x89abcdef, 0x01234567);
  const PhiloxBlock block = stream.block(position);
  for (int i = 0; i < 4; ++i) CHECK(block.word[i] == expected.word[i]);
  CHECK(stream.bits(position) == ((uint64_t{expected.word[1]} << 32) | expected.word[0]));
}

TEST_CASE("streams that differ in one coordinate do not meet") {
  std::set<uint64_t> seen;
  int count = 0;
  for (const uint64_t seed : {uint64_t{0}, uint64_t{1}, uint64_t{1} << 32}) {
    for (const RandomPurpose purpose :
         {RandomPurpose::kShuffle, RandomPurpose::kDropout, RandomPurpose::kWeights}) {
      for (uint32_t index = 0; index < 3; ++index) {
        const RandomStream stream(seed, purpose, index);
        for (uint64_t position = 0; position < 50; ++position, ++count) {
          seen.insert(stream.bits(position));
        }
      }
    }
  }
  CHECK(static_cast<int>(seen.size()) == count);
}

TEST_CASE("uniform numbers lie in [0, 1) and average one half") {
  const RandomStream stream(3, RandomPurpose::kWeights, 0);
  constexpr int kCount = 100000;
  double sum = 0.0;
  bool inside = true;
  for (uint64_t i = 0; i < kCount; ++i) {
    const double u = stream.uniform(i);
    inside = inside && u >= 0.0 && u < 1.0;
    sum += u;
  }
  CHECK(inside);
  // Five standard deviations of the mean: 5 / sqrt(12 * 100000).
  CHECK(std::abs(sum / kCount - 0.5) < 0.0046);
}

}  // namespace
