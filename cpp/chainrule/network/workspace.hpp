// What a forward pass leaves for the backward pass, sized once per batch size. Owned by whoever
// runs a network (a trainer, a call); used by network/mlp.cpp.
#pragma once

#include <algorithm>
#include <vector>

#include "base/aligned_buffer.hpp"
#include "network/layer_spec.hpp"

namespace chainrule {

template <class T>
struct LayerWorkspace {
  AlignedBuffer<T> preactivation;      // activation's argument, if its backward pass reads it
  AlignedBuffer<T> normalized;         // with norm
  AlignedBuffer<T> inverse_deviation;  // with norm: per row (layer) or column (batch)
  AlignedBuffer<T> mean, variance;     // with batch norm: per column
  AlignedBuffer<T> activated;          // the activation's output
  AlignedBuffer<T> mask, dropped;      // with dropout
  const T* output = nullptr;           // dropped or activated
};

template <class T>
struct Workspace {
  // Room for batches of up to `capacity` rows. Contents are lost when it grows.
  void reserve(int64_t capacity, int64_t in_features, const std::vector<LayerSpec>& specs,
               bool for_training) {
    layers.resize(specs.size());
    int64_t widest = in_features;
    for (size_t i = 0; i < specs.size(); ++i) {
      const LayerSpec& spec = specs[i];
      LayerWorkspace<T>& layer = layers[i];
      const int64_t size = checked_product(capacity, spec.out_features);
      widest = std::max(widest, spec.out_features);
      if (info(spec.activation).saved == Saved::input) layer.preactivation.reserve(size);
      layer.activated.reserve(size);
      if (spec.norm != Norm::kNone) {
        layer.normalized.reserve(size);
        layer.inverse_deviation.reserve(spec.norm == Norm::kLayer ? capacity : spec.out_features);
      }
      if (spec.norm == Norm::kBatch) {
        layer.mean.reserve(spec.out_features);
        layer.variance.reserve(spec.out_features);
      }
      if (for_training && spec.dropout > 0) {
        layer.mask.reserve(size);
        layer.dropped.reserve(size);
      }
    }
    if (for_training) {
      for (AlignedBuffer<T>& buffer : gradients) buffer.reserve(checked_product(capacity, widest));
    }
  }

  std::vector<LayerWorkspace<T>> layers;
  AlignedBuffer<T> gradients[2];  // with respect to a layer's output and its input, in turns
  // Of the last forward pass:
  int64_t rows = 0;
  bool training = false;
};

}  // namespace chainrule
