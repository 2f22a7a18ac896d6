// Initial weights, from Philox streams by (seed, layer). Used by layers/dense.cpp and the bindings.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "ops/team.hpp"

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

// Threads to ask a team for: 0, the setting of the process, or 1, the calling thread, for fewer
// than 2^18 numbers, which are not worth starting threads or reading an environment variable.
inline int threads_to_draw(double numbers) {
  constexpr double kFewest = 1 << 18;
  return numbers < kFewest ? 1 : 0;
}

// Writes weight (in_features, out_features) and, if not null, bias (out_features); the same bits
// for any number of threads and on every variant. Unfinished if the team's interrupt stopped it.
template <class T>
void initialize_layer(Team& team, Initializer initializer, uint64_t seed, uint32_t layer,
                      int64_t in_features, int64_t out_features, T* weight, T* bias);

}  // namespace chainrule
