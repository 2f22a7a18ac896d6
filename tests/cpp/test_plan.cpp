// Plans of memory, played through: whoever reads an array finds what was written for it.
#include <doctest/doctest.h>

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "layers/dense.hpp"
#include "layers/dropout.hpp"
#include "layers/normalization.hpp"
#include "layers/standardization.hpp"
#include "network/plan.hpp"

namespace chainrule {
namespace {

using Layers = std::vector<std::unique_ptr<Layer<float>>>;

std::vector<const LayerTraits*> traits_of(const Layers& layers) {
  std::vector<const LayerTraits*> traits;
  for (const auto& layer : layers) traits.push_back(&layer->traits());
  return traits;
}

std::string name(const char* what, size_t layer, size_t index = 0) {
  return std::string(what).append(std::to_string(layer)).append(".").append(std::to_string(index));
}

// A walk through a network that writes names into places in place of numbers.
class Player {
 public:
  Player(const Layers& layers, bool for_backward)
      : traits_(traits_of(layers)), plan_(traits_, for_backward), for_backward_(for_backward) {}

  void play(bool is_training) {
    is_training_ = is_training;
    outputs_.assign(traits_.size(), Plan::kNone);
    for (size_t i = 0; i < traits_.size(); ++i) forward(i);
    if (!for_backward_) return;
    write(plan_.layers().back().grad_y, name("gradient", traits_.size() - 1));
    for (size_t i = traits_.size(); i-- > 0;) backward(i);
    for (size_t i = traits_.size(); i-- > 0;) sum(i);
  }

  const Plan& plan() const { return plan_; }

 private:
  bool takes_part(size_t i) const { return is_training_ || !traits_[i]->is_for_training; }
  // Which layer's outputs are a layer's inputs; none: the network's.
  int source(size_t i) const {
    int before = static_cast<int>(i) - 1;
    while (before >= 0 && !takes_part(static_cast<size_t>(before))) --before;
    return before;
  }
  void write(int place, const std::string& what) { contents_[place] = what; }
  void check(int place, const std::string& what) const {
    if (place != Plan::kNone) CHECK(contents_.at(place) == what);
  }
  void check_input(size_t i) const {
    const int before = source(i);
    if (before < 0) return;
    const auto from = static_cast<size_t>(before);
    check(outputs_[from], name("y", from));
  }

  void forward(size_t i) {
    if (!takes_part(i)) return;
    check_input(i);
    const Plan::LayerPlaces& places = plan_.layers()[i];
    for (size_t k = 0; k < kMostKept; ++k) {
      if (places.kept[k] != Plan::kNone) write(places.kept[k], name("kept", i, k));
    }
    // The kept ones are read until the outputs are written.
    for (size_t k = 0; k < kMostKept; ++k) check(places.kept[k], name("kept", i, k));
    outputs_[i] = places.y;
    if (places.y != Plan::kNone) write(places.y, name("y", i));
  }

  void backward(size_t i) {
    const Plan::LayerPlaces& places = plan_.layers()[i];
    const bool has_place_before = i > 0 && plan_.layers()[i - 1].grad_y != Plan::kNone;
    if (takes_part(i)) {
      check(places.grad_y, name("gradient", i));
      if (traits_[i]->reads_y) check(places.y, name("y", i));
      for (size_t k = 0; k < kMostKept; ++k) check(places.kept[k], name("kept", i, k));
    } else {
      CHECK((!has_place_before || places.grad_y == plan_.layers()[i - 1].grad_y));
    }
    if (has_place_before) write(plan_.layers()[i - 1].grad_y, name("gradient", i - 1));
  }

  // What the gradients of parameters read, after all rows have gone backward.
  void sum(size_t i) const {
    if (!takes_part(i) || !traits_[i]->has_parameters) return;
    if (!traits_[i]->overwrites_grad_y) check(plan_.layers()[i].grad_y, name("gradient", i));
    if (traits_[i]->reads_x) check_input(i);
  }

  std::vector<const LayerTraits*> traits_;
  Plan plan_;
  bool for_backward_, is_training_ = false;
  std::vector<int> outputs_;  // by layer: their place
  std::map<int, std::string> contents_;
};

// A network of two hidden layers of the given kind.
Layers network(bool standardizes, Norm norm, Activation activation, bool has_dropout) {
  Layers layers;
  if (standardizes) layers.push_back(std::make_unique<Standardization<float>>(5));
  int64_t inputs = 5, index = 0;
  for (const int64_t width : {7, 6}) {
    DenseSpec dense{index, inputs, width};
    if (norm == Norm::kNone) dense.activation = activation;
    layers.push_back(std::make_unique<Dense<float>>(dense));
    if (norm != Norm::kNone) {
      layers.push_back(std::make_unique<Normalization<float>>(
          NormalizationSpec{index, width, norm, activation}));
    }
    if (has_dropout) layers.push_back(std::make_unique<Dropout<float>>(index, width, 0.5));
    inputs = width;
    ++index;
  }
  layers.push_back(std::make_unique<Dense<float>>(DenseSpec{index, inputs, 3}));
  return layers;
}

TEST_CASE("whoever reads an array finds what was written for it") {
  for (const bool standardizes : {false, true}) {
    for (const Norm norm : {Norm::kNone, Norm::kLayer, Norm::kBatch}) {
      for (const Activation activation :
           {Activation::identity, Activation::relu, Activation::gelu}) {
        for (const bool has_dropout : {false, true}) {
          const Layers layers = network(standardizes, norm, activation, has_dropout);
          Player(layers, true).play(true);
          Player(layers, true).play(false);  // forward and backward outside training
          Player(layers, false).play(false);
        }
      }
    }
  }
}

TEST_CASE("memory is shared where nothing is read any more") {
  // Outputs of a prediction take turns in two places.
  const Layers relu = network(false, Norm::kNone, Activation::relu, false);
  CHECK(Plan(traits_of(relu), false).row_size() == 7 + 6);
  // In training relu reads its outputs; every layer keeps them, and the gradient with respect to
  // them.
  const Plan training(traits_of(relu), true);
  CHECK(training.row_size() == 2 * (7 + 6 + 3));
  CHECK(training.gradient_row_size() == 7 + 6 + 3);
  // gelu reads its inputs: dropout, with its mask, drops in place.
  const Layers gelu = network(false, Norm::kNone, Activation::gelu, true);
  CHECK(Plan(traits_of(gelu), true).row_size() == 4 * (7 + 6) + 2 * 3);
  // A normalization normalizes in place of its inputs; batch norm differentiates in place too.
  const Layers layer_norm = network(false, Norm::kLayer, Activation::relu, false);
  CHECK(Plan(traits_of(layer_norm), true).row_size() == 4 * (7 + 6) + 2 + 2 * 3);
  const Layers batch_norm = network(false, Norm::kBatch, Activation::relu, false);
  CHECK(Plan(traits_of(batch_norm), true).row_size() == 3 * (7 + 6) + 2 * 3);
}

}  // namespace
}  // namespace chainrule
