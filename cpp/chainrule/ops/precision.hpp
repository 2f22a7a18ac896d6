// In which precision products of matrices are computed. Chosen by the user, resolved for
// each layer by layers/layer.hpp, obeyed by ops/product.cpp.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <string_view>
#include <type_traits>

namespace chainrule {

// kFull is that of the matrices, and of double the only one. The others are sums of products of
// bf16 terms (kernels/bf16_kernels.hpp); kAuto is a question of sizes, which layer_precision
// answers.
enum class Precision : int { kFull, kBf16x6, kBf16x3, kBf16, kAuto };

inline constexpr std::array<std::string_view, 5> kPrecisions = {"float32", "bf16x6", "bf16x3",
                                                                "bf16", "auto"};
inline constexpr std::string_view kDoublePrecision = "float64";

// Whether products of matrices of T are sums of products of bf16 terms.
template <class T>
inline constexpr bool has_bf16 = std::is_same_v<T, float>;
template <class T>
bool is_bf16(Precision precision) {
  return has_bf16<T> && precision != Precision::kFull;
}

// Into how many bf16 terms a number is split.
inline int term_count(Precision precision) {
  return precision == Precision::kBf16 ? 1 : (precision == Precision::kBf16x3 ? 2 : 3);
}

// What kAuto is for a layer: bf16x6, which is at least as exact as float32, from the size on where
// tiles are faster at it. By the layer's size alone, so that it is the same on every machine and
// for every number of rows.
inline Precision layer_precision(Precision precision, int64_t in_features, int64_t out_features) {
  constexpr int64_t kFewestFeatures = 512;
  if (precision != Precision::kAuto) return precision;
  return std::min(in_features, out_features) >= kFewestFeatures ? Precision::kBf16x6
                                                                : Precision::kFull;
}

}  // namespace chainrule
