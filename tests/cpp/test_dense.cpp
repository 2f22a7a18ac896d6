// Dense forward and backward on every variant against plain loops over awkward shapes. The loops
// are the definition, one chain per output element in the order of k, so results are equal to the
// last bit, and lie within the error bound of such a chain from the sum in wider arithmetic.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "base/random.hpp"
#include "kernels/registry.hpp"
#include "ops/dense.hpp"

namespace {

using chainrule::Activation;
using chainrule::Context;
using chainrule::DenseShape;
using chainrule::RandomPurpose;
using chainrule::RandomStream;
using chainrule::Team;

constexpr int64_t kGuard = 33;

// An array at an odd address between two guards that must stay as they are.
template <class T>
class Guarded {
 public:
  explicit Guarded(int64_t size, uint32_t stream = 0)
      : size_(size), values_(static_cast<size_t>(size + 2 * kGuard), kFill) {
    if (stream == 0) return;
    const RandomStream random(17, RandomPurpose::kWeights, stream);
    for (int64_t i = 0; i < size; ++i) {
      data()[i] = static_cast<T>(2 * random.uniform(static_cast<uint64_t>(i)) - 1);
    }
  }
  T* data() { return values_.data() + kGuard; }
  const T* data() const { return values_.data() + kGuard; }
  bool guards_are_whole() const {
    return std::all_of(values_.begin(), values_.begin() + kGuard, is_fill) &&
           std::all_of(values_.begin() + kGuard + size_, values_.end(), is_fill);
  }

 private:
  static constexpr T kFill = T(-12345.5);
  static bool is_fill(T value) { return std::memcmp(&value, &kFill, sizeof(T)) == 0; }

  int64_t size_;
  std::vector<T> values_;
};

// start + sum over p of a[p * a_stride] b[p * b_stride], as the variants define it.
template <class T>
struct Chain {
  const T *a, *b;
  int64_t a_stride, b_stride, length;

  T value(T start, bool is_fused) const {
    T sum = start;
    for (int64_t p = 0; p < length; ++p) {
      const T x = a[p * a_stride], y = b[p * b_stride];
      sum = is_fused ? std::fma(x, y, sum) : static_cast<T>(sum + static_cast<T>(x * y));
    }
    return sum;
  }

  // The distance from the sum in wider arithmetic that rounding every operation can make:
  // gamma(2 k + 1) times the sum of magnitudes (Higham 2002, section 3.1).
  bool is_within_bound(T start, T computed) const {
    long double exact = start, magnitude = std::abs(start);
    for (int64_t p = 0; p < length; ++p) {
      const long double term = static_cast<long double>(a[p * a_stride]) * b[p * b_stride];
      exact += term;
      magnitude += std::abs(term);
    }
    const long double n = static_cast<long double>(2 * length + 1) *
                          static_cast<long double>(std::numeric_limits<T>::epsilon()) / 2;
    return std::abs(computed - exact) <= n / (1 - n) * magnitude;
  }
};

// Equal bits, and within the bound; counts what is not.
template <class T>
struct Comparison {
  bool is_fused;
  int64_t different = 0, too_far = 0;

  void compare(const Chain<T>& chain, T start, T computed) {
    const T expected = chain.value(start, is_fused);
    if (std::memcmp(&expected, &computed, sizeof(T)) != 0) ++different;
    if (!chain.is_within_bound(start, computed)) ++too_far;
  }
};

// Packed weights give the same bits.
template <class T>
void check_panels(const chainrule::Variant& variant, const DenseShape& shape, const T* x,
                  const T* weight, const T* bias, const T* y, const T* grad_z, const T* grad_x) {
  Context context(variant);
  const chainrule::KernelTable<T>& kernels = context.kernels<T>();
  const auto [m, k, n, precision] = shape;
  chainrule::PackedOperand<T> panels, transposed_panels;
  panels.reserve(kernels, precision, k, n);
  for (int64_t i = 0; i < panels.panel_count(); ++i) {
    panels.pack(kernels, chainrule::matrix(weight, n), i);
  }
  transposed_panels.reserve(kernels, precision, n, k);
  for (int64_t i = 0; i < transposed_panels.panel_count(); ++i) {
    transposed_panels.pack(kernels, chainrule::transposed(weight, n), i);
  }
  const chainrule::Weight<T> packed{weight, &panels, &transposed_panels};
  Guarded<T> other_y(m * n), other_grad_x(m * k);
  chainrule::dense_forward<T>(context, shape, x, packed, bias, Activation::identity, T{0}, nullptr,
                              other_y.data());
  chainrule::dense_input_gradient(context, shape, grad_z, packed, other_grad_x.data());
  CHECK(std::memcmp(other_y.data(), y, static_cast<size_t>(m * n) * sizeof(T)) == 0);
  CHECK(std::memcmp(other_grad_x.data(), grad_x, static_cast<size_t>(m * k) * sizeof(T)) == 0);
}

template <class T>
void check_shape(const chainrule::Variant& variant, const DenseShape& shape) {
  const bool is_fused = std::string(variant.name) != "baseline";
  const auto [m, k, n, precision] = shape;
  Team team(1, variant);
  const Guarded<T> x(m * k, 1), weight(k * n, 2), bias(n, 3), grad_z(m * n, 4);
  Guarded<T> y(m * n), z(m * n), grad_x(m * k), grad_weight(k * n), grad_bias(n);
  Comparison<T> forward{is_fused}, backward{is_fused};

  for (const T* b : {bias.data(), static_cast<const T*>(nullptr)}) {
    chainrule::dense_forward<T>(team, shape, x.data(), weight.data(), b, Activation::identity, T{0},
                                b != nullptr ? z.data() : nullptr, y.data());
    for (int64_t i = 0; i < m; ++i) {
      for (int64_t j = 0; j < n; ++j) {
        const Chain<T> chain{x.data() + i * k, weight.data() + j, 1, n, k};
        const T start = b != nullptr ? b[j] : T{0};
        forward.compare(chain, start, y.data()[i * n + j]);
        if (b != nullptr) forward.compare(chain, start, z.data()[i * n + j]);
      }
    }
  }

  chainrule::dense_backward<T>(team, shape, grad_z.data(), x.data(), weight.data(), grad_x.data(),
                               grad_weight.data(), grad_bias.data());
  for (int64_t i = 0; i < m; ++i) {
    for (int64_t p = 0; p < k; ++p) {
      backward.compare({grad_z.data() + i * n, weight.data() + p * n, 1, 1, n}, T{0},
                       grad_x.data()[i * k + p]);
    }
  }
  for (int64_t p = 0; p < k; ++p) {
    for (int64_t j = 0; j < n; ++j) {
      backward.compare({x.data() + p, grad_z.data() + j, k, n, m}, T{0},
                       grad_weight.data()[p * n + j]);
    }
  }
  chainrule::dense_forward<T>(team, shape, x.data(), weight.data(), bias.data(),
                              Activation::identity, T{0}, nullptr, y.data());
  check_panels(variant, shape, x.data(), weight.data(), bias.data(), y.data(), grad_z.data(),
               grad_x.data());
  const T one = 1;
  for (int64_t j = 0; j < n; ++j) {
    backward.compare({&one, grad_z.data() + j, 0, n, m}, T{0}, grad_bias.data()[j]);
  }

  CAPTURE(m);
  CAPTURE(k);
  CAPTURE(n);
  CHECK(forward.different == 0);
  CHECK(forward.too_far == 0);
  CHECK(backward.different == 0);
  CHECK(backward.too_far == 0);
  CHECK(y.guards_are_whole());
  CHECK(z.guards_are_whole());
  CHECK(grad_x.guards_are_whole());
  CHECK(grad_weight.guards_are_whole());
  CHECK(grad_bias.guards_are_whole());
}

// Nothing, one, below, at and above vectors, tiles and panels of every variant.
constexpr int64_t kSizes[] = {0, 1, 2, 3, 7, 8, 13, 16, 17, 33, 64};

// Depths around the blocks of k, and long and narrow ones: m, k, n.
constexpr DenseShape kLongShapes[] = {{3, 511, 5},   {3, 512, 5},   {13, 513, 17}, {2, 1025, 33},
                                      {1, 4099, 1},  {1025, 2, 3},  {513, 3, 1},   {5, 3, 1027},
                                      {511, 1, 129}, {25, 31, 515}, {1, 1, 2048},  {600, 70, 40},
                                      {11, 513, 100}};

template <class T>
void check_all_shapes() {
  for (const chainrule::Variant* variant : chainrule::supported_variants()) {
    CAPTURE(std::string(variant->name));
    for (const int64_t m : kSizes) {
      for (const int64_t k : kSizes) {
        for (const int64_t n : kSizes) check_shape<T>(*variant, {m, k, n});
      }
    }
    for (const DenseShape& shape : kLongShapes) check_shape<T>(*variant, shape);
  }
}

TEST_CASE("dense in float is the chain of its definition") { check_all_shapes<float>(); }

TEST_CASE("dense in double is the chain of its definition") { check_all_shapes<double>(); }

// The gradients of some rows, then of the others, by pieces or by a team where inputs are many.
template <class T>
void add_rows(const chainrule::Variant& variant, const DenseShape& shape, const T* grad_z,
              const T* x, bool continues, Guarded<T>& grad_weight, Guarded<T>& grad_bias) {
  Team team(1, variant);
  Context context(variant);
  const chainrule::KernelTable<T>& kernels = context.kernels<T>();
  if (chainrule::packs_gradient(kernels, shape)) {
    chainrule::PackedOperand<T> panels;
    chainrule::dense_parameter_gradients(team, shape, grad_z, x, panels, grad_weight.data(),
                                         grad_bias.data(), continues);
    return;
  }
  for (int64_t i = 0; i < chainrule::gradient_piece_count(kernels, shape); ++i) {
    chainrule::dense_parameter_gradients(context, shape, i, grad_z, x, grad_weight.data(),
                                         grad_bias.data(), continues);
  }
}

template <class T>
void check_continued_sums() {
  constexpr DenseShape kShapes[] = {{5, 3, 1},     {40, 17, 1},     {600, 37, 5},  {70, 70, 100},
                                    {1100, 9, 33}, {60, 1060, 530}, {50, 300, 100}};
  for (const chainrule::Variant* variant : chainrule::supported_variants()) {
    CAPTURE(std::string(variant->name));
    for (const auto [m, k, n, precision] : kShapes) {
      CAPTURE(m);
      const Guarded<T> x(m * k, 1), grad_z(m * n, 4);
      Guarded<T> whole(k * n), whole_bias(n), parts(k * n), parts_bias(n);
      add_rows(*variant, {m, k, n}, grad_z.data(), x.data(), false, whole, whole_bias);
      for (const int64_t first : {int64_t{0}, int64_t{1}, m / 2, m - 1}) {
        add_rows(*variant, {first, k, n}, grad_z.data(), x.data(), false, parts, parts_bias);
        add_rows(*variant, {m - first, k, n}, grad_z.data() + first * n, x.data() + first * k, true,
                 parts, parts_bias);
        CHECK(std::memcmp(parts.data(), whole.data(), static_cast<size_t>(k * n) * sizeof(T)) == 0);
        CHECK(std::memcmp(parts_bias.data(), whole_bias.data(),
                          static_cast<size_t>(n) * sizeof(T)) == 0);
      }
      CHECK(parts.guards_are_whole());
      CHECK(parts_bias.guards_are_whole());
    }
  }
}

TEST_CASE("sums over rows continue to the same bits") {
  check_continued_sums<float>();
  check_continued_sums<double>();
}

TEST_CASE("backward writes what is asked for") {
  Team team;
  const DenseShape shape{9, 6, 5};
  const Guarded<float> x(54, 1), weight(30, 2), grad_z(45, 4);
  Guarded<float> all_x(54), all_weight(30), all_bias(5), only(54);
  chainrule::dense_backward<float>(team, shape, grad_z.data(), x.data(), weight.data(),
                                   all_x.data(), all_weight.data(), all_bias.data());
  chainrule::dense_backward<float>(team, shape, grad_z.data(), x.data(), weight.data(), only.data(),
                                   nullptr, nullptr);
  CHECK(std::memcmp(only.data(), all_x.data(), 54 * sizeof(float)) == 0);
  chainrule::dense_backward<float>(team, shape, grad_z.data(), x.data(), weight.data(), nullptr,
                                   only.data(), nullptr);
  CHECK(std::memcmp(only.data(), all_weight.data(), 30 * sizeof(float)) == 0);
  chainrule::dense_backward<float>(team, shape, grad_z.data(), x.data(), weight.data(), nullptr,
                                   nullptr, only.data());
  CHECK(std::memcmp(only.data(), all_bias.data(), 5 * sizeof(float)) == 0);
}

}  // namespace
