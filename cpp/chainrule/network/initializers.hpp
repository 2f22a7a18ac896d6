// Initial weights, from Philox streams by (seed, layer). Used by network/mlp.cpp and the bindings.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace chainrule {

// Sources: glorot Glorot and Bengio 2010; he He et al. 2015; lecun LeCun et al. 1998; orthogonal
// Saxe et al. 2014; torch_linear is the default of PyTorch's Linear, weights and biases uniform in
// +-1 / sqrt(in_features).
enum class Initializer {
  glorot_uniform,
  glorot_normal,
  he_uniform,
  he_normal,
  lecun_uniform,
  lecun_normal,
  orthogonal,
  torch_linear,
  zeros,
};

inline constexpr std::array<std::string_view, 9> kInitializers = {
    "glorot_uniform", "glorot_normal", "he_uniform",   "he_normal", "lecun_uniform",
    "lecun_normal",   "orthogonal",    "torch_linear", "zeros"};

// Writes weight (in_features, out_features) and, when not null, bias (out_features).
template <class T>
void initialize_layer(Initializer initializer, uint64_t seed, uint32_t layer, int64_t in_features,
                      int64_t out_features, T* weight, T* bias);

}  // namespace chainrule
