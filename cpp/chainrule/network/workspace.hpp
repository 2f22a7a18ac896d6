// The state that a forward pass leaves for the backward pass, sized once per batch size. Owned by
// the caller of a network (a trainer, a binding); used by network/mlp.cpp.
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
  PackedOperand<T> panels, transposed_panels;  // the weight, packed

  const T* output = nullptr;            // dropped or activated
  const T* product_gradient = nullptr;  // gradient_z or gradient
};

template <class T>
struct Workspace {
  // Room for batches of up to `capacity` rows. Contents are lost when it grows.
  void reserve(const KernelTable<T>& kernels, int64_t capacity, int64_t in_features,
               const std::vector<LayerSpec>& specs, bool for_training) {
    layers.resize(specs.size());
    if (specs.front().standardizes) standardized.reserve(checked_product(capacity, in_features));
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
    const auto shape = [&](size_t layer) {
      return layer_shape(layer == 0 ? in_features : specs[layer - 1].out_features, capacity,
                         specs[layer]);
    };
    int64_t bytes = 0;
    for (size_t i = 0; i < specs.size(); ++i) {
      if (shape(i).precision != Precision::kFull) continue;
      bytes += 2 * PackedOperand<T>::bytes(kernels, Precision::kFull, shape(i).in_features,
                                           shape(i).out_features);
    }
    for (size_t i = 0; i < specs.size(); ++i) {
      LayerWorkspace<T>& layer = layers[i];
      const DenseShape size = shape(i);
      if (!has_room_for_panels(size.precision, bytes)) {
        // Those of other kernels, whose panels were narrower, may be there.
        layer.panels = {};
        layer.transposed_panels = {};
        continue;
      }
      if (gains_from_panels(kernels, shape(i))) {
        layer.panels.reserve(kernels, size.precision, size.in_features, size.out_features);
      }
      if (for_training && i > 0) {
        layer.transposed_panels.reserve(kernels, size.precision, size.out_features,
                                        size.in_features);
      }
    }
  }

  // Of a layer of those inputs in this pass.
  DenseShape layer_shape(int64_t in_features, int64_t batch_size, const LayerSpec& spec) const {
    return {batch_size, in_features, spec.out_features,
            layer_precision(precision, in_features, spec.out_features)};
  }

  // Where the caller of backward writes the gradient with respect to the outputs.
  T* output_gradient() { return layers.back().gradient.data(); }

  // Of the products of the passes to come.
  Precision precision = Precision::kFull;

  std::vector<LayerWorkspace<T>> layers;
  AlignedBuffer<T> standardized;     // (rows, in_features), if the network standardizes its inputs
  PackedOperand<T> gradient_panels;  // of the layer at hand, see ops/dense.hpp
  AlignedBuffer<T> group_gradients;  // of all parameters, for each group of rows but the first
  // Of the last forward pass:
  int64_t rows = 0;
  bool training = false;
};

}  // namespace chainrule
