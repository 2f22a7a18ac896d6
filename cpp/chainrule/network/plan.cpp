#include "network/plan.hpp"

#include <algorithm>

namespace chainrule {

using Layers = std::vector<const LayerTraits*>;

Plan::Plan(const Layers& layers, bool for_backward) : layers_(layers.size()) {
  if (for_backward) {
    place_outputs_to_keep(layers);
    place_gradients(layers);
  } else {
    place_outputs_in_turns(layers);
  }
  place_kept(layers, for_backward);
  for (const Place& place : places_) row_size_ = checked_sum(row_size_, place.row_size);
}

void Plan::place_outputs_in_turns(const Layers& layers) {
  size_t last = layers.size() - 1;
  while (layers[last]->is_for_training) --last;
  const int turns[2] = {add({}), add({})};
  for (size_t i = 0; i < last; ++i) {
    const int input = output_before(i);
    if (layers[i]->is_for_training) {
      CHAINRULE_ASSERT(i > 0);
      layers_[i].y = input;
      continue;
    }
    layers_[i].y = input == turns[0] ? turns[1] : turns[0];
    int64_t& size = places_[static_cast<size_t>(layers_[i].y)].row_size;
    size = std::max(size, layers[i]->outputs);
  }
}

void Plan::place_outputs_to_keep(const Layers& layers) {
  bool is_read = true;  // whether backward reads what is at the input's place
  for (size_t i = 0; i < layers.size(); ++i) {
    const LayerTraits& layer = *layers[i];
    const bool overwrites = layer.overwrites_x && !layer.reads_x && !is_read;
    layers_[i].y = overwrites ? output_before(i) : add({layer.outputs, 0});
    is_read = layer.reads_y || (i + 1 < layers.size() && layers[i + 1]->reads_x);
  }
}

// A kept array takes the input's place where nothing needs the input after the layer's forward
// pass.
void Plan::place_kept(const Layers& layers, bool for_backward) {
  for (size_t i = 0; i < layers.size(); ++i) {
    const bool is_input_free =
        i > 0 && !layers[i]->reads_x && !layers[i - 1]->reads_y && !layers[i - 1]->is_for_training;
    for (size_t k = 0; k < kMostKept; ++k) {
      const Kept& kept = layers[i]->kept[k];
      if (kept.row_size + kept.fixed_size == 0 || (kept.is_for_backward && !for_backward)) continue;
      layers_[i].kept[k] =
          kept.may_be_x && is_input_free ? output_before(i) : add({kept.row_size, kept.fixed_size});
    }
  }
}

void Plan::place_gradients(const Layers& layers) {
  const size_t last = layers.size() - 1;
  // Layers before the first one that has parameters take part only if grad_x is wanted.
  size_t in_place = 0;
  while (in_place < last && !layers[in_place]->has_parameters &&
         layers[in_place]->overwrites_grad_y) {
    ++in_place;
  }
  const auto own = [&](size_t i) {
    gradient_row_size_ = checked_sum(gradient_row_size_, layers[i]->outputs);
    return add({layers[i]->outputs, 0});
  };
  for (size_t i = layers.size(); i-- > in_place;) {
    const bool is_shared = i < last && layers[i + 1]->overwrites_grad_y;
    layers_[i].grad_y = is_shared ? layers_[i + 1].grad_y : own(i);
  }
}

}  // namespace chainrule
