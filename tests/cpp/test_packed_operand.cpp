// Packed operands on every variant: where their elements lie, that each panel is written within its
// room, and that one operand can take the place of another.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "ops/bf16_product.hpp"
#include "ops/packed_operand.hpp"

namespace chainrule {
namespace {

// 1, 2, 3 and so on.
template <class T>
std::vector<T> count_up(int64_t size) {
  std::vector<T> values(static_cast<size_t>(size));
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<T>(i + 1);
  return values;
}

template <class T>
PackedOperand<T> packed(const KernelTable<T>& kernels, Precision precision, int64_t k, int64_t n,
                        const Operand<T>& b) {
  PackedOperand<T> operand;
  operand.reserve(kernels, precision, k, n);
  // The last panel first: none writes into another one's room.
  for (int64_t i = operand.panel_count(); i-- > 0;) operand.pack(kernels, b, i);
  return operand;
}

template <class T>
void check_layout() {
  for (const Variant* variant : supported_variants()) {
    CAPTURE(std::string(variant->name));
    const KernelTable<T>& kernels = kernels_of<T>(*variant);
    const int64_t width = kernels.panel_columns;
    for (const int64_t k : {0, 1, 5, 16, 33}) {
      for (const int64_t n : {int64_t{0}, int64_t{1}, width - 1, width, 2 * width + 3}) {
        CAPTURE(k);
        CAPTURE(n);
        const std::vector<T> values = count_up<T>(k * n);
        for (const bool is_transposed : {false, true}) {
          const Operand<T> b = is_transposed ? transposed(values.data(), k)  // n rows of k
                                             : matrix(values.data(), n);
          const PackedOperand<T> operand = packed(kernels, Precision::kFull, k, n, b);
          CHECK(operand.empty() == (n == 0));
          CHECK(operand.panel_count() == (n + width - 1) / width);
          CHECK(operand.is_for(kernels, Precision::kFull, k, n));
          CHECK(!operand.is_for(kernels, Precision::kFull, k + 1, n));
          CHECK(PackedOperand<T>::bytes(kernels, Precision::kFull, k, n) ==
                operand.panel_count() * width * k * int64_t{sizeof(T)});
          int64_t wrong = 0;
          for (int64_t j = 0; j < operand.panel_count() * width; ++j) {
            for (int64_t p = 0; p < k; ++p) {
              const T expected = j < n ? b.data[p * b.row_stride + j * b.column_stride] : T{0};
              if (operand.panels()[(j / width * k + p) * width + j % width] != expected) ++wrong;
            }
          }
          CHECK(wrong == 0);
        }
      }
    }
  }
}

TEST_CASE("panels hold a matrix or a transposed one, and zeros") {
  check_layout<float>();
  check_layout<double>();
}

template <class T>
void check_room() {
  constexpr int64_t kGuard = 64;
  constexpr T kFill = T(-77.5);
  for (const Variant* variant : supported_variants()) {
    CAPTURE(std::string(variant->name));
    const KernelTable<T>& kernels = kernels_of<T>(*variant);
    for (const int64_t k : {1, 7, 16, 17}) {
      for (int64_t n = 1; n <= kernels.panel_columns; ++n) {
        const std::vector<T> values = count_up<T>(k * n);
        for (const Operand<T>& b : {matrix(values.data(), n), transposed(values.data(), k)}) {
          const int64_t size = k * kernels.panel_columns;
          std::vector<T> room(static_cast<size_t>(size + 2 * kGuard), kFill);
          pack_panel(kernels, b, k, n, room.data() + kGuard);
          CHECK(std::count(room.begin(), room.begin() + kGuard, kFill) == kGuard);
          CHECK(std::count(room.end() - kGuard, room.end(), kFill) == kGuard);
        }
      }
    }
  }
}

TEST_CASE("a panel is written within its room") {
  check_room<float>();
  check_room<double>();
}

TEST_CASE("one panel that is not finite makes the operand so, whatever was packed before") {
  constexpr int64_t kK = 40;
  for (const Variant* variant : supported_variants()) {
    CAPTURE(std::string(variant->name));
    const KernelTable<float>& kernels = kernels_of<float>(*variant);
    const int64_t n = 2 * kernels.panel_columns + 1;
    PackedOperand<float> operand;
    for (const bool has_nan : {false, true, false}) {
      std::vector<float> values = count_up<float>(kK * n);
      if (has_nan) {
        values[static_cast<size_t>(kernels.panel_columns)] =
            std::numeric_limits<float>::quiet_NaN();
      }
      operand.reserve(kernels, Precision::kBf16x3, kK, n);
      for (int64_t i = 0; i < operand.panel_count(); ++i) {
        operand.pack(kernels, matrix(values.data(), n), i);
      }
      CHECK(operand.is_finite() == !has_nan);
    }
  }
}

TEST_CASE("operands of other sizes and precisions take turns in one place") {
  constexpr int64_t kSizes[][2] = {{33, 70}, {5, 9}, {64, 40}};
  for (const Variant* variant : supported_variants()) {
    CAPTURE(std::string(variant->name));
    const KernelTable<float>& kernels = kernels_of<float>(*variant);
    PackedOperand<float> shared;
    for (const Precision precision :
         {Precision::kFull, Precision::kBf16x6, Precision::kFull, Precision::kBf16}) {
      for (const auto& [k, n] : kSizes) {
        const std::vector<float> values = count_up<float>(k * n);
        const Operand<float> b = matrix(values.data(), n);
        const PackedOperand<float> fresh = packed(kernels, precision, k, n, b);
        shared.reserve(kernels, precision, k, n);
        for (int64_t i = 0; i < shared.panel_count(); ++i) shared.pack(kernels, b, i);
        const bool is_split = is_bf16<float>(precision);
        const auto size = static_cast<size_t>(
            is_split ? fresh.panel_count() * bf16_strip_bytes(*kernels.bf16, precision, k)
                     : PackedOperand<float>::bytes(kernels, precision, k, n));
        CHECK(std::memcmp(is_split ? static_cast<const void*>(shared.strip(0)) : shared.panels(),
                          is_split ? static_cast<const void*>(fresh.strip(0)) : fresh.panels(),
                          size) == 0);
      }
    }
  }
}

}  // namespace
}  // namespace chainrule
