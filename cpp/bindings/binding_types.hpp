// The network as Python holds it: with a gradient and what `forward` leaves for `backward`. Shared
// by register_network.cpp and register_training.cpp.
#pragma once

#include "arrays.hpp"
#include "network/mlp.hpp"

namespace chainrule::bindings {

template <class T>
struct BoundMlp {
  BoundMlp(int64_t in_features, std::vector<LayerSpec> layers, uint64_t seed)
      : mlp(in_features, std::move(layers), seed) {}

  // Made when first needed: a network that only predicts needs none.
  AlignedBuffer<T>& gradient_buffer() {
    gradient.reserve(mlp.parameters().size());
    return gradient;
  }

  Mlp<T> mlp;
  AlignedBuffer<T> gradient;
  Workspace<T> workspace;
  Context context;
  Array<T> input{std::vector<py::ssize_t>{0, 0}};  // of the last forward, kept for backward
};

}  // namespace chainrule::bindings
