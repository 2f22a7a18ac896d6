// How fast operands become bf16 terms, on every variant: the part of a product on tiles that takes
// no tile, so that a processor without any measures it (the variant amx is there where tiles are
// emulated). Square matrices, in strips over all of k, one thread, the best of several rounds in
// turns.
//
//   cmake --preset default && cmake --build --preset default --target packing
//   build/default/tests/cpp/packing            # 256, 1024 and 4096: seconds
#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <limits>

#include "base/aligned_buffer.hpp"
#include "base/flush_to_zero.hpp"
#include "base/random.hpp"
#include "kernels/registry.hpp"
#include "ops/precision.hpp"

namespace {

using namespace chainrule;

constexpr std::array kSplit = {Precision::kBf16, Precision::kBf16x3, Precision::kBf16x6};

// Of a matrix one way to be packed: as A or B, and whether steps of k lie side by side.
struct Use {
  const char* name;
  bool is_left, steps_adjoin;
};
constexpr Use kUses[] = {{"A", true, true},
                         {"A, transposed", true, false},
                         {"B", false, false},
                         {"B, transposed", false, true}};

double seconds_to_pack(const Bf16Kernels& kernels, const Use& use, int terms, int64_t n,
                       const float* matrix, std::byte* strip) {
  const int64_t width = use.is_left ? kernels.left_lines : kernels.right_lines;
  const auto start = std::chrono::steady_clock::now();
  for (int64_t first = 0; first < n; first += width) {
    const int64_t lines = std::min(width, n - first);
    const Bf16Lines from = use.steps_adjoin ? Bf16Lines{matrix + first * n, n, 1, lines, n}
                                            : Bf16Lines{matrix + first, 1, n, lines, n};
    (use.is_left ? kernels.pack_left : kernels.pack_right)(from, terms, strip);
  }
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

void print_rates(const Variant& variant, int64_t n, const float* matrix) {
  const Bf16Kernels& kernels = *variant.single_precision.bf16;
  const int64_t lines = std::max(kernels.left_lines, kernels.right_lines);
  const int64_t steps = (n + kBf16Depth - 1) / kBf16Depth * kBf16Depth;
  AlignedBuffer<std::byte> strip(lines * steps * kMostTerms * kernels.element_bytes);
  for (const Use& use : kUses) {
    std::array<double, kSplit.size()> best;
    best.fill(std::numeric_limits<double>::infinity());
    for (int round = 0; round < 9; ++round) {
      for (size_t i = 0; i < kSplit.size(); ++i) {
        best[i] = std::min(
            best[i], seconds_to_pack(kernels, use, term_count(kSplit[i]), n, matrix, strip.data()));
      }
    }
    std::printf("| %s | %d | %s |", variant.name, static_cast<int>(n), use.name);
    for (const double seconds : best) {
      std::printf(" %.2f |", static_cast<double>(n * n) / seconds * 1e-9);
    }
    std::printf("\n");
  }
}

}  // namespace

int main() {
  const FlushToZero flush;
  std::printf("10^9 elements packed a second\n");
  std::printf("| variant | n | operand | bf16 | bf16x3 | bf16x6 |\n|---|---|---|---|---|---|\n");
  for (const int64_t n : {256, 1024, 4096}) {
    AlignedBuffer<float> matrix(n * n);
    const RandomStream random(1, RandomPurpose::kWeights, 0);
    for (int64_t i = 0; i < n * n; ++i) {
      matrix.data()[i] = static_cast<float>(2 * random.uniform(static_cast<uint64_t>(i)) - 1);
    }
    for (const Variant* variant : supported_variants()) print_rates(*variant, n, matrix.data());
  }
}
