// Hashes of arrays and reproducible inputs for print_hashes.cpp.
#pragma once

#include <cinttypes>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <iterator>
#include <limits>
#include <string>
#include <type_traits>
#include <vector>

#include "base/random.hpp"

namespace hashing {

template <class T>
std::vector<T> uniform(int64_t size, uint32_t index, double low, double high) {
  const chainrule::RandomStream stream(99, chainrule::RandomPurpose::kWeights, index);
  std::vector<T> values(static_cast<size_t>(size));
  for (size_t i = 0; i < values.size(); ++i) {
    values[i] = static_cast<T>(low + (high - low) * stream.uniform(i));
  }
  return values;
}

// Any normal number, either sign, all exponents alike; zeros and infinities among them.
template <class T>
std::vector<T> any_normal(int64_t size, uint32_t index) {
  const chainrule::RandomStream stream(99, chainrule::RandomPurpose::kShuffle, index);
  std::vector<T> values = {T(0), -T(0), std::numeric_limits<T>::infinity(),
                           -std::numeric_limits<T>::infinity()};
  for (uint64_t i = 0; static_cast<int64_t>(values.size()) < size; ++i) {
    using Bits = std::conditional_t<sizeof(T) == 4, uint32_t, uint64_t>;
    const auto bits = static_cast<Bits>(stream.bits(i));
    T value;
    std::memcpy(&value, &bits, sizeof(T));
    if (std::isnormal(value)) values.push_back(value);
  }
  return values;
}

// Numbers of which a fifth are what makes a NaN or is one: of either sign, quiet or not, with a
// payload.
template <class T>
std::vector<T> specials(int64_t size, uint32_t index) {
  using Bits = std::conditional_t<sizeof(T) == 4, uint32_t, uint64_t>;
  using Limits = std::numeric_limits<T>;
  constexpr Bits kSign = Bits{1} << (8 * sizeof(T) - 1);
  constexpr Bits kInfinity =
      sizeof(T) == 4 ? Bits{0x7f800000} : static_cast<Bits>(0x7ff0000000000000);
  constexpr Bits kQuiet = kInfinity | kInfinity >> 1;
  const Bits nans[] = {
      kQuiet,        kQuiet | kSign,        kQuiet | 5,           kQuiet | kSign | 7,
      kInfinity | 1, kSign | kInfinity | 3, static_cast<Bits>(-1)};
  const T others[] = {Limits::infinity(), -Limits::infinity(), Limits::max(), -Limits::max(),
                      T(-0.0)};
  const chainrule::RandomStream stream(98, chainrule::RandomPurpose::kShuffle, index);
  std::vector<T> values = uniform<T>(size, index, -3, 3);
  for (size_t i = 0; i < values.size(); ++i) {
    const auto drawn = static_cast<size_t>(stream.bits(i) % 60);
    if (drawn < std::size(nans)) {
      std::memcpy(&values[i], &nans[drawn], sizeof(T));
    } else if (drawn - std::size(nans) < std::size(others)) {
      values[i] = others[drawn - std::size(nans)];
    }
  }
  return values;
}

// FNV-1a over the bytes. What docs/numerics.md leaves open is made one: numbers at the edge of the
// denormal range.
class Hash {
 public:
  template <class T>
  void add(const T* values, int64_t size) {
    for (int64_t i = 0; i < size; ++i) {
      T value = values[i];
      if constexpr (std::is_floating_point_v<T>) {
        if (std::abs(value) <= std::numeric_limits<T>::min()) value = std::copysign(T(0), value);
      }
      unsigned char bytes[sizeof(T)];
      std::memcpy(bytes, &value, sizeof(T));
      for (const unsigned char byte : bytes) value_ = (value_ ^ byte) * 0x100000001b3;
    }
  }
  template <class T>
  void add(const std::vector<T>& values) {
    add(values.data(), static_cast<int64_t>(values.size()));
  }
  void add(double value) { add(&value, 1); }

  void print(const std::string& what) const {
    std::printf("%-40s %016" PRIx64 "\n", what.c_str(), value_);
  }

 private:
  uint64_t value_ = 0xcbf29ce484222325;
};

}  // namespace hashing
