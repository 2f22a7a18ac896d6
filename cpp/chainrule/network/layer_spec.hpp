// What a user says of one layer: dense, then norm, then activation, then dropout. The first one may
// standardize its inputs before. Used by network and the bindings.
#pragma once

#include <cstdint>

#include "kernels/lists.hpp"
#include "network/initializers.hpp"

namespace chainrule {

enum class Norm { kNone, kLayer, kBatch };

inline constexpr double kNormEpsilon = 1e-5;
// running = kRunningDecay * running + (1 - kRunningDecay) * batch
inline constexpr double kRunningDecay = 0.9;

struct LayerSpec {
  int64_t out_features = 0;
  Activation activation = Activation::identity;
  double parameter = 0;
  double dropout = 0;
  Norm norm = Norm::kNone;
  bool has_bias = true;
  Initializer initializer = Initializer::glorot_uniform;
  bool standardizes = false;  // the first layer alone: z = (x - mean) * factor comes before it
};

}  // namespace chainrule
