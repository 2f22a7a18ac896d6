#include "network/initializers.hpp"

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "base/checks.hpp"
#include "base/portable_math.hpp"
#include "base/random.hpp"

namespace chainrule {
namespace {

// A standard normal number by Box and Muller's transform.
double normal(const RandomStream& stream, uint64_t position) {
  const PhiloxBlock b = stream.block(position);
  const uint64_t bits0 = (uint64_t{b.word[1]} << 32) | b.word[0];
  const uint64_t bits1 = (uint64_t{b.word[3]} << 32) | b.word[2];
  const double u = static_cast<double>((bits0 >> 11) + 1) * 0x1p-53;  // in (0, 1]
  const double v = static_cast<double>(bits1 >> 11) * 0x1p-53;
  return std::sqrt(-2 * portable_log(u)) * cos_pi(2 * v);
}

template <class T>
void fill_uniform(const RandomStream& stream, uint64_t start, double limit, int64_t size, T* out) {
  for (int64_t i = 0; i < size; ++i) {
    const double u = stream.uniform(start + static_cast<uint64_t>(i));
    out[i] = static_cast<T>(limit * (2 * u - 1));
  }
}

template <class T>
void fill_normal(const RandomStream& stream, double deviation, int64_t size, T* out) {
  for (int64_t i = 0; i < size; ++i) {
    out[i] = static_cast<T>(deviation * normal(stream, static_cast<uint64_t>(i)));
  }
}

// Orthonormal columns (or rows, when there are more columns) by modified Gram-Schmidt on a normal
// matrix, each vector orthogonalized twice, which keeps them orthogonal to rounding error.
template <class T>
void fill_orthogonal(const RandomStream& stream, int64_t rows, int64_t columns, T* out) {
  const int64_t count = std::min(rows, columns), length = std::max(rows, columns);
  std::vector<double> vectors(static_cast<size_t>(checked_product(count, length)));
  for (size_t i = 0; i < vectors.size(); ++i) vectors[i] = normal(stream, i);
  const auto dot = [length](const double* a, const double* b) {
    double sum = 0;
    for (int64_t i = 0; i < length; ++i) sum += a[i] * b[i];
    return sum;
  };
  for (int64_t v = 0; v < count; ++v) {
    double* current = vectors.data() + v * length;
    for (int pass = 0; pass < 2; ++pass) {
      for (int64_t u = 0; u < v; ++u) {
        const double* other = vectors.data() + u * length;
        const double projection = dot(current, other);
        for (int64_t i = 0; i < length; ++i) current[i] -= projection * other[i];
      }
    }
    const double inverse = 1 / std::sqrt(dot(current, current));
    for (int64_t i = 0; i < length; ++i) current[i] *= inverse;
  }
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t c = 0; c < columns; ++c) {
      const int64_t v = rows < columns ? r : c, i = rows < columns ? c : r;
      out[r * columns + c] = static_cast<T>(vectors[static_cast<size_t>(v * length + i)]);
    }
  }
}

}  // namespace

template <class T>
void initialize_layer(Initializer initializer, uint64_t seed, uint32_t layer, int64_t in_features,
                      int64_t out_features, T* weight, T* bias) {
  const RandomStream stream(seed, RandomPurpose::kWeights, layer);
  const int64_t size = in_features * out_features;
  const double fan_in = static_cast<double>(std::max<int64_t>(in_features, 1));
  const double fan_sum = static_cast<double>(std::max<int64_t>(in_features + out_features, 1));
  if (bias != nullptr) std::fill_n(bias, out_features, T{0});
  switch (initializer) {
    case Initializer::glorot_uniform:
      return fill_uniform(stream, 0, std::sqrt(6 / fan_sum), size, weight);
    case Initializer::glorot_normal:
      return fill_normal(stream, std::sqrt(2 / fan_sum), size, weight);
    case Initializer::he_uniform:
      return fill_uniform(stream, 0, std::sqrt(6 / fan_in), size, weight);
    case Initializer::he_normal:
      return fill_normal(stream, std::sqrt(2 / fan_in), size, weight);
    case Initializer::lecun_uniform:
      return fill_uniform(stream, 0, std::sqrt(3 / fan_in), size, weight);
    case Initializer::lecun_normal:
      return fill_normal(stream, std::sqrt(1 / fan_in), size, weight);
    case Initializer::orthogonal:
      return fill_orthogonal(stream, in_features, out_features, weight);
    case Initializer::torch_linear:
      fill_uniform(stream, 0, 1 / std::sqrt(fan_in), size, weight);
      if (bias != nullptr) {
        fill_uniform(stream, static_cast<uint64_t>(size), 1 / std::sqrt(fan_in), out_features,
                     bias);
      }
      return;
    case Initializer::zeros:
      return static_cast<void>(std::fill_n(weight, size, T{0}));
  }
}

template void initialize_layer(Initializer, uint64_t, uint32_t, int64_t, int64_t, float*, float*);
template void initialize_layer(Initializer, uint64_t, uint32_t, int64_t, int64_t, double*, double*);

}  // namespace chainrule
