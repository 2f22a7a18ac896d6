// Products on every variant, by every way to compute them, against plain loops: blocks, copies,
// packed operands and narrow results give the same bits. tests/cpp/test_dense.cpp has the bounds of
// their errors.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "base/random.hpp"
#include "ops/product.hpp"

namespace chainrule {
namespace {

template <class T>
std::vector<T> random(int64_t size, uint32_t index) {
  const RandomStream stream(29, RandomPurpose::kWeights, index);
  std::vector<T> values(static_cast<size_t>(size));
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<T>(2 * stream.uniform(i) - 1);
  return values;
}

// Room for an operand of rows x columns whose rows, or whose columns, lie `stride` apart.
template <class T>
struct Stored {
  std::vector<T> values;
  Operand<T> operand;

  Stored(int64_t rows, int64_t columns, bool is_transposed, int64_t pad, uint32_t index) {
    const int64_t stride = (is_transposed ? rows : columns) + pad;
    values = random<T>((is_transposed ? columns : rows) * stride, index);
    operand = is_transposed ? transposed(values.data(), stride) : matrix(values.data(), stride);
  }
  T operator()(int64_t i, int64_t j) const {
    return operand.data[i * operand.row_stride + j * operand.column_stride];
  }
};

enum class Start { kZero, kBias, kContinues };

// How operands lie and what C starts from.
struct Layout {
  bool a_is_transposed, b_is_transposed;
  int64_t a_pad;
  Start start;
};

template <class T>
struct Problem {
  ProductShape shape;
  Layout layout;
  Stored<T> a, b;
  std::vector<T> bias, before;

  Problem(const ProductShape& s, const Layout& l)
      : shape(s),
        layout(l),
        a(s.m, s.k, l.a_is_transposed, l.a_pad, 1),
        b(s.k, s.n, l.b_is_transposed, 3, 2),
        bias(random<T>(s.n, 3)),
        before(random<T>(s.m * (s.n + 2), 4)) {}

  std::vector<T> expected(bool is_fused) const {
    const auto [m, n, k, precision] = shape;
    std::vector<T> result = before;
    for (int64_t i = 0; i < m; ++i) {
      for (int64_t j = 0; j < n; ++j) {
        T& c = result[static_cast<size_t>(i * (n + 2) + j)];
        if (layout.start == Start::kZero) c = 0;
        if (layout.start == Start::kBias) c = bias[static_cast<size_t>(j)];
        for (int64_t p = 0; p < k; ++p) {
          c = is_fused ? std::fma(a(i, p), b(p, j), c) : static_cast<T>(c + a(i, p) * b(p, j));
        }
      }
    }
    return result;
  }

  void check(const Variant& variant, const std::vector<T>& result) const {
    const auto [m, n, k, precision] = shape;
    CAPTURE(std::string(variant.name));
    Context context(variant);
    const KernelTable<T>& kernels = context.kernels<T>();
    PackedOperand<T> packed;
    packed.reserve(kernels, precision, k, n);
    for (int64_t i = 0; i < packed.panel_count(); ++i) packed.pack(kernels, b.operand, i);
    const auto run = [&](const auto& compute) {
      std::vector<T> c = before;
      compute(Result<T>{c.data(), shape.n + 2, layout.start == Start::kBias ? bias.data() : nullptr,
                        layout.start == Start::kContinues});
      CHECK(c == result);
    };
    run([&](const Result<T>& c) { product(context, shape, a.operand, b.operand, c); });
    run([&](const Result<T>& c) { product(context, shape, a.operand, b.operand, c, &packed); });
    if (n <= 5 * kernels.panel_columns / 8) {
      run([&](const Result<T>& c) { narrow_product(context, shape, a.operand, b.operand, c); });
    }
  }
};

template <class T>
void check_variants(const ProductShape& shape, const Layout& layout) {
  CAPTURE(shape.m);
  CAPTURE(shape.n);
  CAPTURE(shape.k);
  CAPTURE(layout.a_is_transposed);
  CAPTURE(layout.b_is_transposed);
  CAPTURE(layout.a_pad);
  CAPTURE(static_cast<int>(layout.start));
  const Problem<T> problem(shape, layout);
  const std::vector<T> fused = problem.expected(true), rounded = problem.expected(false);
  for (const Variant* variant : supported_variants()) {
    problem.check(*variant, std::string(variant->name) == "baseline" ? rounded : fused);
  }
}

template <class T>
void check_all() {
  constexpr ProductShape kShapes[] = {{0, 3, 2},     {3, 0, 2},    {3, 4, 0},
                                      {1, 1, 1},     {9, 5, 7},    {70, 9, 40},
                                      {33, 20, 513}, {7, 300, 20}, {80, 270, 9}};
  constexpr int64_t kFarApart = 1100;
  for (const ProductShape& shape : kShapes) {
    for (const Start start : {Start::kZero, Start::kBias, Start::kContinues}) {
      for (const bool a_is_transposed : {false, true}) {
        for (const bool b_is_transposed : {false, true}) {
          for (const int64_t pad : {int64_t{1}, kFarApart}) {
            check_variants<T>(shape, {a_is_transposed, b_is_transposed, pad, start});
          }
        }
      }
    }
  }
  // Several copied blocks of rows and of steps.
  constexpr ProductShape kLarge{530, 257, 520};
  check_variants<T>(kLarge, {false, false, kFarApart, Start::kBias});
  check_variants<T>(kLarge, {true, true, kFarApart, Start::kContinues});
}

TEST_CASE("a product in float is the chain of its definition") { check_all<float>(); }

TEST_CASE("a product in double is the chain of its definition") { check_all<double>(); }

TEST_CASE("a column is computed in its place") {
  constexpr int64_t kRows = 150, kSteps = 21;
  for (const Variant* variant : supported_variants()) {
    CAPTURE(std::string(variant->name));
    Context context(*variant);
    const std::vector<float> a = random<float>(kRows * kSteps, 1), b = random<float>(kSteps, 2),
                             bias = {0.625F};
    std::vector<float> c(kRows, -1), other(kRows, -1);
    const ProductShape shape{kRows, 1, kSteps};
    const Operand<float> left = matrix(a.data(), kSteps), right = matrix(b.data(), 1);
    for (const float* start : {static_cast<const float*>(nullptr), bias.data()}) {
      for (const bool continues : {false, true}) {
        product<float>(context, shape, left, right, {c.data(), 1, start, continues});
        narrow_product<float>(context, shape, left, right, {other.data(), 1, start, continues});
        CHECK(c == other);
      }
    }
  }
}

TEST_CASE("a team packs all of an operand") {
  constexpr int64_t kSteps = 900, kColumns = 1100;
  const std::vector<float> b = random<float>(kSteps * kColumns, 1);
  Team one(1), three(3);
  PackedOperand<float> expected, got;
  for (const Precision precision : {Precision::kFull, Precision::kBf16x3}) {
    pack(one, precision, kSteps, kColumns, matrix(b.data(), kColumns), expected);
    pack(three, precision, kSteps, kColumns, matrix(b.data(), kColumns), got);
    const std::vector<float> a = random<float>(kSteps, 2);
    std::vector<float> of_one(kColumns), of_three(kColumns);
    Context context;
    for (const auto& [packed, c] :
         {std::pair{&expected, of_one.data()}, std::pair{&got, of_three.data()}}) {
      product<float>(context, {1, kColumns, kSteps, precision}, matrix(a.data(), kSteps),
                     matrix(b.data(), kColumns), {c, kColumns}, packed);
    }
    CHECK(of_one == of_three);
  }
}

}  // namespace
}  // namespace chainrule
