#include "layers/initializers.hpp"

#include <algorithm>
#include <cmath>

#include "base/random.hpp"
#include "base/standard_normal.hpp"
#include "layers/orthogonal.hpp"

namespace chainrule {
namespace {

// What a uniform number costs, in multiply-adds of a product, and how many numbers a thread draws
// at a time.
constexpr int64_t kUniformWork = 256, kPieceNumbers = 4096;

// out[i] = number(i)
template <class T, class Number>
void fill(Team& team, int64_t size, int64_t work, T* out, const Number& number) {
  team.run((size + kPieceNumbers - 1) / kPieceNumbers, size * work,
           [&](Context& context, int64_t piece) {
             const int64_t begin = piece * kPieceNumbers;
             const int64_t end = std::min(size, begin + kPieceNumbers);
             for (int64_t i = begin; i < end; ++i) out[i] = static_cast<T>(number(i));
             context.stop_requested((end - begin) * work);
           });
}

template <class T>
void fill_uniform(Team& team, const RandomStream& stream, uint64_t start, double limit,
                  int64_t size, T* out) {
  fill(team, size, kUniformWork, out, [&](int64_t i) {
    return limit * (2 * stream.uniform(start + static_cast<uint64_t>(i)) - 1);
  });
}

template <class T>
void fill_normal(Team& team, const RandomStream& stream, double deviation, int64_t size, T* out) {
  fill(team, size, kNormalWork, out,
       [&](int64_t i) { return deviation * standard_normal(stream, static_cast<uint64_t>(i)); });
}

}  // namespace

template <class T>
void initialize_layer(Team& team, Initializer initializer, uint64_t seed, uint32_t layer,
                      int64_t in_features, int64_t out_features, T* weight, T* bias) {
  const RandomStream stream(seed, RandomPurpose::kWeights, layer);
  const int64_t size = in_features * out_features;
  const double fan_in = static_cast<double>(std::max<int64_t>(in_features, 1));
  const double fan_sum = static_cast<double>(std::max<int64_t>(in_features + out_features, 1));
  if (bias != nullptr) std::fill_n(bias, out_features, T{0});
  switch (initializer) {
    case Initializer::glorot_uniform:
      return fill_uniform(team, stream, 0, std::sqrt(6 / fan_sum), size, weight);
    case Initializer::glorot_normal:
      return fill_normal(team, stream, std::sqrt(2 / fan_sum), size, weight);
    case Initializer::he_uniform:
      return fill_uniform(team, stream, 0, std::sqrt(6 / fan_in), size, weight);
    case Initializer::he_normal:
      return fill_normal(team, stream, std::sqrt(2 / fan_in), size, weight);
    case Initializer::lecun_uniform:
      return fill_uniform(team, stream, 0, std::sqrt(3 / fan_in), size, weight);
    case Initializer::lecun_normal:
      return fill_normal(team, stream, std::sqrt(1 / fan_in), size, weight);
    case Initializer::orthogonal:
      return fill_orthogonal(team, stream, in_features, out_features, weight);
    case Initializer::torch_linear:
      fill_uniform(team, stream, 0, 1 / std::sqrt(fan_in), size, weight);
      if (bias != nullptr) {
        fill_uniform(team, stream, static_cast<uint64_t>(size), 1 / std::sqrt(fan_in), out_features,
                     bias);
      }
      return;
    case Initializer::zeros:
      return fill(team, size, kElementWork, weight, [](int64_t) { return 0.0; });
  }
}

template void initialize_layer(Team&, Initializer, uint64_t, uint32_t, int64_t, int64_t, float*,
                               float*);
template void initialize_layer(Team&, Initializer, uint64_t, uint32_t, int64_t, int64_t, double*,
                               double*);

}  // namespace chainrule
