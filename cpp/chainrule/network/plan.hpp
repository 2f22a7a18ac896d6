// Which memory the arrays of a pass take, and which of them take turns. Computed once per network
// for each of its two uses; independent of the number of rows. Used by network.
//
// Predictions need a layer's output until the next layer has read it, so outputs take turns in two
// places, as wide as the widest of them: rows of different layers must not meet, since blocks of
// rows do not advance together. What backward reads has a place of its own; where nothing reads an
// array any more, the next layer's may lie there, if that layer can work in place (LayerTraits).
#pragma once

#include <cstdint>
#include <vector>

#include "layers/layer.hpp"

namespace chainrule {

// A place in a workspace's memory, in elements: so many per row, and so many whatever the rows.
struct Place {
  int64_t row_size = 0, fixed_size = 0;
};

class Plan {
 public:
  static constexpr int kNone = -1;

  // Indices of places, or kNone: the outputs of a prediction are the caller's, and so is what is a
  // gradient with respect to the network's inputs.
  struct LayerPlaces {
    int y = kNone, grad_y = kNone;
    std::array<int, kMostKept> kept{kNone, kNone, kNone, kNone};
  };

  Plan() = default;
  Plan(const std::vector<const LayerTraits*>& layers, bool for_backward);

  const std::vector<Place>& places() const { return places_; }
  const std::vector<LayerPlaces>& layers() const { return layers_; }
  // Elements per row: of all places, and of those of gradients.
  int64_t row_size() const { return row_size_; }
  int64_t gradient_row_size() const { return gradient_row_size_; }

 private:
  int add(const Place& place) {
    places_.push_back(place);
    return static_cast<int>(places_.size()) - 1;
  }
  int output_before(size_t layer) const { return layer == 0 ? kNone : layers_[layer - 1].y; }
  void place_outputs_in_turns(const std::vector<const LayerTraits*>& layers);
  void place_outputs_to_keep(const std::vector<const LayerTraits*>& layers);
  void place_kept(const std::vector<const LayerTraits*>& layers, bool for_backward);
  void place_gradients(const std::vector<const LayerTraits*>& layers);

  std::vector<Place> places_;
  std::vector<LayerPlaces> layers_;
  int64_t row_size_ = 0, gradient_row_size_ = 0;
};

}  // namespace chainrule
