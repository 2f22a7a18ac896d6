// Standard normal numbers by position, with the same bits on every machine. Used by the network's
// initializers.
#pragma once

#include <cmath>
#include <cstdint>

#include "base/portable_math.hpp"
#include "base/random.hpp"

namespace chainrule {

// By Box and Muller's transform.
inline double standard_normal(const RandomStream& stream, uint64_t position) {
  const PhiloxBlock b = stream.block(position);
  const uint64_t bits0 = (uint64_t{b.word[1]} << 32) | b.word[0];
  const uint64_t bits1 = (uint64_t{b.word[3]} << 32) | b.word[2];
  const double u = static_cast<double>((bits0 >> 11) + 1) * 0x1p-53;  // in (0, 1]
  const double v = static_cast<double>(bits1 >> 11) * 0x1p-53;
  return std::sqrt(-2 * portable_log(u)) * cos_pi(2 * v);
}

// What one costs, in multiply-adds of a product.
inline constexpr int64_t kNormalWork = 2048;

}  // namespace chainrule
