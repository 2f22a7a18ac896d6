// Products of bf16 terms on every variant against plain loops that are their definition
// (kernels/bf16_kernels.hpp), to the last bit, over awkward shapes and numbers, and against the
// bound of their errors (docs/numerics.md).
#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "base/flush_to_zero.hpp"
#include "base/one_nan.hpp"
#include "base/random.hpp"
#include "kernels/registry.hpp"
#include "ops/bf16_product.hpp"
#include "ops/dense.hpp"

namespace chainrule {

namespace {

constexpr Precision kSplit[] = {Precision::kBf16, Precision::kBf16x3, Precision::kBf16x6};

float nearest_bf16(float x) {
  const auto bits = std::bit_cast<uint32_t>(x);
  const uint32_t rounded = (bits + 0x7fffU + ((bits >> 16) & 1U)) & 0xffff0000U;
  const float term = std::bit_cast<float>(rounded);
  return std::isfinite(term) ? term : std::copysign(3.38953139e38F, x);
}

std::array<float, 3> split(float x) {
  std::array<float, 3> terms{};
  if (!std::isfinite(x)) return terms;
  for (float& term : terms) {
    term = nearest_bf16(x);
    x -= term;
  }
  return terms;
}

// A product whose operands are any floats: rows of A, columns of B.
struct Problem {
  int64_t m, n, k;
  std::vector<float> a, b;  // row-major
  std::vector<float> start;

  Problem(int64_t rows, int64_t columns, int64_t steps,
          const std::function<float(uint64_t, uint32_t)>& number)
      : m(rows), n(columns), k(steps) {
    const auto fill = [&](std::vector<float>& to, int64_t size, uint32_t stream) {
      to.resize(static_cast<size_t>(size));
      for (size_t i = 0; i < to.size(); ++i) to[i] = number(i, stream);
    };
    fill(a, m * k, 1);
    fill(b, k * n, 2);
    fill(start, m * n, 3);
  }

  float left(int64_t i, int64_t p) const { return a[static_cast<size_t>(i * k + p)]; }
  float right(int64_t p, int64_t j) const { return b[static_cast<size_t>(p * n + j)]; }

  // The definition.
  std::vector<float> expected(Precision precision, bool continues) const {
    const int terms = term_count(precision);
    const auto products = [terms]() -> std::vector<TermProduct> {
      if (terms == 1) return {std::begin(kTermProducts1), std::end(kTermProducts1)};
      if (terms == 2) return {std::begin(kTermProducts2), std::end(kTermProducts2)};
      return {std::begin(kTermProducts3), std::end(kTermProducts3)};
    }();
    std::vector<std::array<float, 3>> of_a(a.size()), of_b(b.size());
    std::transform(a.begin(), a.end(), of_a.begin(), split);
    std::transform(b.begin(), b.end(), of_b.begin(), split);
    std::vector<float> c(static_cast<size_t>(m * n));
    for (int64_t i = 0; i < m; ++i) {
      for (int64_t j = 0; j < n; ++j) {
        float& sum = c[static_cast<size_t>(i * n + j)];
        sum = continues ? start[static_cast<size_t>(i * n + j)] : 0;
        for (int64_t first = 0; first < k; first += kBf16Depth) {
          for (const TermProduct& product : products) {
            float chains[2] = {0, 0};
            for (int64_t p = first; p < first + kBf16Depth; ++p) {
              const bool is_there = p < k;
              const size_t at_a = static_cast<size_t>(i * k + p),
                           at_b = static_cast<size_t>(p * n + j);
              const float x = is_there ? of_a[at_a][static_cast<size_t>(product.a)] : 0;
              const float y = is_there ? of_b[at_b][static_cast<size_t>(product.b)] : 0;
              chains[p % 2] = std::fma(x, y, chains[p % 2]);
            }
            sum += chains[0] + chains[1];
          }
        }
        for (int64_t p = 0; p < k; ++p) {
          const float x = left(i, p), y = right(p, j);
          if (!std::isfinite(x) || !std::isfinite(y)) sum += x * y;
        }
      }
    }
    return c;
  }
};

float uniform(uint64_t i, uint32_t stream) {
  return static_cast<float>(2 * RandomStream(5, RandomPurpose::kWeights, stream).uniform(i) - 1);
}
// Of magnitudes from 1e-30 to 1e30, zeros of both signs among them.
float ill_scaled(uint64_t i, uint32_t stream) {
  if (i % 23 == 7) return i % 2 == 0 ? 0.0F : -0.0F;
  return uniform(i, stream) * std::pow(10.0F, 30 * uniform(i, stream + 10));
}
float denormal(uint64_t i, uint32_t stream) { return uniform(i, stream) * 1e-38F; }
float huge(uint64_t i, uint32_t stream) {
  return stream == 1 ? uniform(i, stream) * std::numeric_limits<float>::max() : uniform(i, stream);
}

// Bits that are not the expected ones; of NaNs the one of base/one_nan.hpp is expected.
int64_t count_different(const std::vector<float>& got, const std::vector<float>& expected) {
  int64_t count = 0;
  for (size_t i = 0; i < got.size(); ++i) {
    if (std::bit_cast<uint32_t>(got[i]) != std::bit_cast<uint32_t>(one_nan(expected[i]))) ++count;
  }
  return count;
}

std::vector<float> transpose(const std::vector<float>& x, int64_t rows, int64_t columns) {
  std::vector<float> y(x.size());
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t j = 0; j < columns; ++j) {
      y[static_cast<size_t>(j * rows + i)] = x[static_cast<size_t>(i * columns + j)];
    }
  }
  return y;
}

// All ways to give the operands: as matrices or transposed ones, B packed or not.
void check_variant(const Variant& variant, const Problem& problem,
                   const std::vector<float>& expected, Precision precision, bool continues) {
  const auto& [m, n, k, a, b, start] = problem;
  const std::vector<float> a_transposed = transpose(a, m, k), b_transposed = transpose(b, k, n);
  Context context(variant);
  const KernelTable<float>& kernels = context.kernels<float>();
  for (const bool left_is_transposed : {false, true}) {
    for (const bool right_is_transposed : {false, true}) {
      const Operand<float> left =
          left_is_transposed ? transposed(a_transposed.data(), m) : matrix(a.data(), k);
      const Operand<float> right =
          right_is_transposed ? transposed(b_transposed.data(), k) : matrix(b.data(), n);
      PackedOperand<float> packed;
      packed.reserve(kernels, precision, k, n);
      for (int64_t i = 0; i < packed.panel_count(); ++i) packed.pack(kernels, right, i);
      for (const PackedOperand<float>* panels :
           {static_cast<const PackedOperand<float>*>(nullptr),
            static_cast<const PackedOperand<float>*>(&packed)}) {
        // Rows with a guard behind each.
        constexpr float kGuard = -77.5F;
        std::vector<float> c(static_cast<size_t>(m * (n + 1)), kGuard), got;
        for (int64_t i = 0; i < m; ++i) {
          std::copy_n(start.data() + i * n, n, c.data() + i * (n + 1));
        }
        bf16_product(context, precision, m, n, k, left, right, panels,
                     {c.data(), n + 1, nullptr, continues});
        int64_t broken = 0;
        for (int64_t i = 0; i < m; ++i) {
          got.insert(got.end(), c.begin() + i * (n + 1), c.begin() + i * (n + 1) + n);
          if (c[static_cast<size_t>(i * (n + 1) + n)] != kGuard) ++broken;
        }
        CAPTURE(left_is_transposed);
        CAPTURE(right_is_transposed);
        CAPTURE(panels != nullptr);
        CHECK(count_different(got, expected) == 0);
        CHECK(broken == 0);
      }
    }
  }
}

void check(const std::vector<const Variant*>& variants, const Problem& problem, Precision precision,
           bool continues) {
  const std::vector<float> expected = problem.expected(precision, continues);
  for (const Variant* variant : variants) {
    CAPTURE(std::string(variant->name));
    check_variant(*variant, problem, expected, precision, continues);
  }
}
TEST_CASE("every variant computes the definition's bits") {
  constexpr int64_t kShapes[][3] = {{1, 1, 1},    {1, 1, 0},     {2, 3, 5},     {12, 32, 32},
                                    {13, 33, 31}, {31, 17, 33},  {32, 32, 64},  {33, 65, 97},
                                    {64, 16, 63}, {7, 100, 300}, {100, 10, 65}, {300, 40, 700}};
  const FlushToZero flush;
  for (const auto& [m, n, k] : kShapes) {
    CAPTURE(m);
    CAPTURE(n);
    CAPTURE(k);
    const Problem problem(m, n, k, uniform);
    for (const Precision precision : kSplit) {
      CAPTURE(static_cast<int>(precision));
      check(supported_variants(), problem, precision, false);
      check(supported_variants(), problem, precision, true);
    }
  }
}

TEST_CASE("any numbers give the definition's bits where products are fused") {
  const FlushToZero flush;
  std::vector<const Variant*> fused = supported_variants();
  std::erase_if(fused, [](const Variant* v) {  // where products that underflow are lost
    return std::string(v->name) == "baseline";
  });
  for (const auto& number : {ill_scaled, denormal, huge}) {
    const Problem problem(37, 43, 70, number);
    for (const Precision precision : kSplit) {
      CAPTURE(static_cast<int>(precision));
      check(fused, problem, precision, true);
    }
  }
}

TEST_CASE("infinities and NaN are those of float32") {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
  const FlushToZero flush;
  const auto number = [](uint64_t i, uint32_t stream) {
    if (stream == 1 && i % 97 == 5) return i % 2 == 0 ? kInfinity : -kInfinity;
    if (stream == 1 && i % 301 == 9) return kNan;
    if (stream == 2 && i % 211 == 3) return kInfinity;
    // Halves are one term, so that the others are 0, and 1.99 is 2 less something.
    return i % 3 == 0 ? 0.5F : (i % 3 == 1 ? -1.99F : 1.99F);
  };
  const Problem problem(37, 43, 70, number);
  for (const Precision precision : kSplit) {
    CAPTURE(static_cast<int>(precision));
    check(supported_variants(), problem, precision, false);
    int64_t different = 0, infinite = 0;
    const std::vector<float> split_sums = problem.expected(precision, false);
    for (int64_t i = 0; i < problem.m; ++i) {
      for (int64_t j = 0; j < problem.n; ++j) {
        float sum = 0;
        for (int64_t p = 0; p < problem.k; ++p) {
          sum = std::fma(problem.left(i, p), problem.right(p, j), sum);
        }
        const float other = split_sums[static_cast<size_t>(i * problem.n + j)];
        if (std::isnan(sum) != std::isnan(other)) ++different;
        if (std::isinf(sum) && sum != other) ++different;
        if (std::isinf(sum)) ++infinite;
      }
    }
    CHECK(different == 0);
    CHECK(infinite > 0);
  }
}

// docs/numerics.md derives it: what splitting leaves out, and what rounding adds.
long double error_bound(Precision precision, int64_t k, long double sum_of_magnitudes,
                        long double sum_of_operands) {
  const auto unit = static_cast<long double>(std::numeric_limits<float>::epsilon()) / 2;
  const auto tiny = static_cast<long double>(std::numeric_limits<float>::min());
  const int terms = term_count(precision);
  const long double left_out[] = {0, std::ldexp(2.01L, -8), std::ldexp(3.02L, -16),
                                  std::ldexp(2.02L, -24)};
  const int products = terms == 1 ? 1 : (terms == 2 ? 3 : 6);
  const int64_t blocks = (k + kBf16Depth - 1) / kBf16Depth;
  const auto n = static_cast<long double>(kBf16Depth / 2 + 1 + products * blocks);
  const long double gamma = n * unit / (1 - n * unit);
  const long double magnitude = terms == 1 ? 1.01L : 1.02L;  // of the terms, over that of a number
  return (left_out[terms] + magnitude * magnitude * gamma) * sum_of_magnitudes +
         tiny * (static_cast<long double>(products * (k + 2 * blocks)) + 2 * sum_of_operands);
}

TEST_CASE("errors stay within the bound") {
  const FlushToZero flush;
  const auto cancelling = [](uint64_t i, uint32_t stream) {
    const float x = uniform(i / 2, stream);
    return stream == 1 || i % 2 == 0 ? x : -x * (1 + 1e-6F * uniform(i, 4));
  };
  for (const auto& number : std::vector<std::function<float(uint64_t, uint32_t)>>{
           uniform, ill_scaled, cancelling, denormal}) {
    for (const int64_t k : {1, 33, 300, 1100}) {
      const Problem problem(9, 21, k, number);
      for (const Variant* variant : supported_variants()) {
        CAPTURE(std::string(variant->name));
        Context context(*variant);
        for (const Precision precision : kSplit) {
          CAPTURE(static_cast<int>(precision));
          std::vector<float> c(static_cast<size_t>(problem.m * problem.n));
          bf16_product(context, precision, problem.m, problem.n, k, matrix(problem.a.data(), k),
                       matrix(problem.b.data(), problem.n), nullptr, {c.data(), problem.n});
          int64_t too_far = 0;
          for (int64_t i = 0; i < problem.m; ++i) {
            for (int64_t j = 0; j < problem.n; ++j) {
              long double exact = 0, magnitude = 0, operands = 0;
              for (int64_t p = 0; p < k; ++p) {
                const long double x = problem.left(i, p), y = problem.right(p, j);
                exact += x * y;
                magnitude += std::abs(x * y);
                operands += std::abs(x) + std::abs(y);
              }
              const float computed = c[static_cast<size_t>(i * problem.n + j)];
              if (std::abs(exact) > 1e38L) continue;  // may overflow
              if (!(std::abs(computed - exact) <= error_bound(precision, k, magnitude, operands))) {
                ++too_far;
              }
            }
          }
          CHECK(too_far == 0);
        }
      }
    }
  }
}

// The layer as a whole: parts of a batch continue each other's sums at whole blocks, and packed
// weights, teams and blocks of rows change nothing.
TEST_CASE("a dense layer is the same for any number of threads and packing") {
  const FlushToZero flush;
  // The last two wake the other threads.
  constexpr int64_t kShapes[][3] = {{1, 40, 50}, {200, 70, 33}, {520, 130, 70}, {5000, 40, 30}};
  for (const auto& [m, k, n] : kShapes) {
    CAPTURE(m);
    for (const Precision precision : kSplit) {
      const DenseShape shape{m, k, n, precision};
      const Problem forward(m, n, k, uniform), gradient(k, n, m, uniform);
      // Of the last problem, a is x^T and b is the gradient.
      const std::vector<float> x = transpose(gradient.a, k, m);
      Problem input(m, k, n, uniform);
      input.a = gradient.b;
      input.b = transpose(forward.b, k, n);
      const std::vector<float> of_y = forward.expected(precision, false),
                               of_w = gradient.expected(precision, false),
                               of_x = input.expected(precision, false);
      for (const Variant* variant : supported_variants()) {
        CAPTURE(std::string(variant->name));
        for (const int threads : {1, 2, 5}) {
          Team team(threads, *variant);
          std::vector<float> y(static_cast<size_t>(m * n)), grad_x(static_cast<size_t>(m * k)),
              grad_w(static_cast<size_t>(k * n)), grad_b(static_cast<size_t>(n));
          dense_forward<float>(team, shape, forward.a.data(), forward.b.data(), nullptr,
                               Activation::identity, 0, nullptr, y.data());
          CHECK(count_different(y, of_y) == 0);
          dense_backward<float>(team, shape, gradient.b.data(), x.data(), forward.b.data(),
                                grad_x.data(), grad_w.data(), grad_b.data());
          CHECK(count_different(grad_w, of_w) == 0);
          CHECK(count_different(grad_x, of_x) == 0);
        }
      }
    }
  }
}

TEST_CASE("auto is bf16x6 for large layers and float32 for others, whatever the batch") {
  CHECK(layer_precision(Precision::kAuto, 511, 4096) == Precision::kFull);
  CHECK(layer_precision(Precision::kAuto, 4096, 511) == Precision::kFull);
  CHECK(layer_precision(Precision::kAuto, 512, 512) == Precision::kBf16x6);
  CHECK(layer_precision(Precision::kBf16, 1, 1) == Precision::kBf16);
}

}  // namespace
}  // namespace chainrule
