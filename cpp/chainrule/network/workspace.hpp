// Memory of the passes through a network: what layers keep, their outputs, and the gradients with
// respect to these, at places that a plan has chosen. Sized once for the largest batch. Owned by
// the caller of a network (a trainer, a binding); filled by network.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/aligned_buffer.hpp"
#include "layers/layer.hpp"
#include "network/plan.hpp"
#include "network/walk.hpp"

namespace chainrule {

template <class T>
struct Workspace {
  // Room for `capacity` rows by that plan. Contents are lost when the plan changes or rows grow.
  void reserve(const Plan& plan, int64_t capacity);

  // The place of a layer's outputs; layers[i].y is another's in a pass without that layer.
  typename LayerMemory<T>::Array output_of(size_t layer) const;
  // Where the caller of backward writes the gradient with respect to the outputs.
  T* output_gradient() { return layers.back().grad_y.data; }

  // Settings of the passes to come.
  Precision precision = Precision::kFull;
  int64_t shards = 0;  // of a training; 0: as many as are fastest

  std::vector<LayerMemory<T>> layers;
  PackedOperand<T> gradient_panels;  // of the layer at hand, see ops/dense.hpp
  std::vector<int64_t> piece_counts;
  std::vector<double> loss_sums;  // by shard
  // Of the last pass:
  Walk walk;
  bool is_training = false;

 private:
  typename LayerMemory<T>::Array at(int place) const;

  AlignedBuffer<T> memory_;
  std::vector<typename LayerMemory<T>::Array> places_;
  const Plan* plan_ = nullptr;
  int64_t capacity_ = -1;
};

}  // namespace chainrule
