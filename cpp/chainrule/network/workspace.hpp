// What a forward pass leaves for the backward pass, sized once per batch size. Owned by whoever
// runs a network (a trainer, a call); used by network/mlp.cpp.
#pragma once

#include <algorithm>
#include <vector>

#include "base/aligned_buffer.hpp"
#include "network/layer_spec.hpp"
#include "ops/dense.hpp"

namespace chainrule {

template <class T>
struct LayerWorkspace {
  // (rows, out_features) each:
  AlignedBuffer<T> preactivation;  // activation's argument, if its backward pass reads it
  AlignedBuffer<T> normalized;     // with norm; first the product that it normalizes
  AlignedBuffer<T> activated;      // the activation's output
  AlignedBuffer<T> mask, dropped;  // with dropout
  AlignedBuffer<T> gradient;       // with respect to the output, then to the activation's argument
  AlignedBuffer<T> gradient_z;     // with norm: with respect to the product
  AlignedBuffer<T> inverse_deviation;          // with norm: per row (layer) or column (batch)
  AlignedBuffer<T> mean, variance;             // with batch norm: per column
  AlignedBuffer<T> panels, transposed_panels;  // the weight, packed

  const T* output = nullptr;            // dropped or activated
  const T* product_gradient = nullptr;  // gradient_z or gradient
};

template <class T>
struct Workspace {
  // Room for batches of up to `capacity` rows. Contents are lost when it grows.
  void reserve(const KernelTable<T>& kernels, int64_t capacity, int64_t in_features,
               const std::vector<LayerSpec>& specs, bool for_training) {
    layers.resize(specs.size());
    for (size_t i = 0; i < specs.size(); ++i) {
      const LayerSpec& spec = specs[i];
      LayerWorkspace<T>& layer = layers[i];
      const int64_t size = checked_product(capacity, spec.out_features);
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
      if (for_training) {
        if (spec.dropout > 0) {
          layer.mask.reserve(size);
          layer.dropped.reserve(size);
        }
        layer.gradient.reserve(size);
        if (spec.norm != Norm::kNone) layer.gradient_z.reserve(size);
        layer.product_gradient =
            spec.norm != Norm::kNone ? layer.gradient_z.data() : layer.gradient.data();
      }
    }
    reserve_panels(kernels, capacity, in_features, specs, for_training);
  }

  // Room for the weights' panels, which belong to these kernels.
  void reserve_panels(const KernelTable<T>& kernels, int64_t capacity, int64_t in_features,
                      const std::vector<LayerSpec>& specs, bool for_training) {
    int64_t bytes = 0, inputs = in_features;
    for (const LayerSpec& spec : specs) {
      bytes += 2 * panels_size(kernels, {capacity, inputs, spec.out_features}) * int64_t{sizeof(T)};
      inputs = spec.out_features;
    }
    if (bytes > kMaxPanelBytes) {
      // Those of other kernels, whose panels were narrower, may be there.
      for (LayerWorkspace<T>& layer : layers) {
        layer.panels = {};
        layer.transposed_panels = {};
      }
      return;
    }
    inputs = in_features;
    for (size_t i = 0; i < specs.size(); ++i) {
      const DenseShape shape{capacity, inputs, specs[i].out_features};
      if (gains_from_panels(kernels, shape)) layers[i].panels.reserve(panels_size(kernels, shape));
      if (for_training && i > 0) {
        layers[i].transposed_panels.reserve(transposed_panels_size(kernels, shape));
      }
      inputs = specs[i].out_features;
    }
  }

  // Where the caller of backward writes the gradient with respect to the outputs.
  T* output_gradient() { return layers.back().gradient.data(); }

  std::vector<LayerWorkspace<T>> layers;
  AlignedBuffer<T> gradient_panels;  // of the layer at hand, see ops/dense.hpp
  AlignedBuffer<T> group_gradients;  // of all parameters, for each group of rows but the first
  // Of the last forward pass:
  int64_t rows = 0;
  bool training = false;
};

}  // namespace chainrule
