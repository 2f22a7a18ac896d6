// What a user says of one layer: dense, then norm, then activation, then dropout. The first one may
// standardize its inputs before. It expands into the layers of layers/. Used by network and the
// bindings.
#pragma once

#include <cstdint>

#include "kernels/lists.hpp"
#include "layers/initializers.hpp"
#include "layers/normalization.hpp"

namespace chainrule {

struct LayerSpec {
  int64_t out_features = 0;
  Activation activation = Activation::identity;
  double parameter = 0;  // of the activation
  double dropout = 0;
  Norm norm = Norm::kNone;
  bool has_bias = true;
  Initializer initializer = Initializer::glorot_uniform;
  bool standardizes = false;  // the first layer alone
};

}  // namespace chainrule
