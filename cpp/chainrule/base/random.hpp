// Counter-based random numbers: Philox4x32-10 (Salmon, Moraes, Dror, Shaw, "Parallel random
// numbers: as easy as 1, 2, 3", SC11). A number is a function of (seed, stream, position), so that
// shuffles, dropout masks and initial weights never depend on the order of execution.
// Used by the kernels (dropout), the network (initial weights) and the training loop (shuffles).
#pragma once

#include <cstdint>

namespace chainrule {

// What a stream of random numbers is for; it keeps streams of one seed apart.
enum class RandomPurpose : uint32_t { kShuffle = 1, kDropout = 2, kWeights = 3 };

struct PhiloxBlock {
  uint32_t word[4];
};

// One block of four words. Kept free of std:: and static, for the variant units include it too.
static inline PhiloxBlock philox(PhiloxBlock counter, uint32_t key0, uint32_t key1) {
  for (int round = 0; round < 10; ++round) {
    const uint64_t product0 = uint64_t{0xD2511F53} * counter.word[0];
    const uint64_t product1 = uint64_t{0xCD9E8D57} * counter.word[2];
    counter = {{static_cast<uint32_t>(product1 >> 32) ^ counter.word[1] ^ key0,
                static_cast<uint32_t>(product1),
                static_cast<uint32_t>(product0 >> 32) ^ counter.word[3] ^ key1,
                static_cast<uint32_t>(product0)}};
    key0 += 0x9E3779B9;
    key1 += 0xBB67AE85;
  }
  return counter;
}

// A stream: numbers of one seed for one purpose and index (an epoch, a layer), by position.
class RandomStream {
 public:
  RandomStream(uint64_t seed, RandomPurpose purpose, uint32_t index)
      : key0_(static_cast<uint32_t>(seed)),
        key1_(static_cast<uint32_t>(seed >> 32)),
        purpose_(static_cast<uint32_t>(purpose)),
        index_(index) {}

  PhiloxBlock block(uint64_t position) const {
    return philox({{static_cast<uint32_t>(position), static_cast<uint32_t>(position >> 32), index_,
                    purpose_}},
                  key0_, key1_);
  }

  // 64 random bits.
  uint64_t bits(uint64_t position) const {
    const PhiloxBlock b = block(position);
    return (uint64_t{b.word[1]} << 32) | b.word[0];
  }

  // Uniform in [0, 1), 53 bits.
  double uniform(uint64_t position) const {
    return static_cast<double>(bits(position) >> 11) * 0x1p-53;
  }

 private:
  uint32_t key0_, key1_, purpose_, index_;
};

}  // namespace chainrule
