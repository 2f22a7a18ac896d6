// The layers of a network and its numbers: layout, initial values, statistics.
#include "network/network.hpp"

#include <algorithm>
#include <utility>

#include "layers/dense.hpp"
#include "layers/dropout.hpp"

namespace chainrule {
namespace {

// The layers that one spec stands for. The last one before dropout has the activation.
template <class T>
void expand(const LayerSpec& spec, int64_t index, int64_t in_features,
            std::vector<std::unique_ptr<Layer<T>>>& layers) {
  const bool has_norm = spec.norm != Norm::kNone;
  DenseSpec dense{index, in_features, spec.out_features, spec.has_bias, spec.initializer};
  if (!has_norm) {
    dense.activation = spec.activation;
    dense.parameter = spec.parameter;
  }
  layers.push_back(std::make_unique<Dense<T>>(dense));
  if (has_norm) {
    layers.push_back(std::make_unique<Normalization<T>>(
        NormalizationSpec{index, spec.out_features, spec.norm, spec.activation, spec.parameter}));
  }
  if (spec.dropout > 0) {
    layers.push_back(std::make_unique<Dropout<T>>(index, spec.out_features, spec.dropout));
  }
}

}  // namespace

template <class T>
Network<T>::Network(int64_t in_features, const std::vector<LayerSpec>& specs, uint64_t seed,
                    Team& team)
    : seed_(seed) {
  CHAINRULE_ASSERT(!specs.empty());
  if (specs.front().standardizes) {
    auto first = std::make_unique<Standardization<T>>(in_features);
    standardization_ = first.get();
    layers_.push_back(std::move(first));
  }
  int64_t inputs = in_features;
  for (size_t i = 0; i < specs.size(); ++i) {
    expand(specs[i], static_cast<int64_t>(i), inputs, layers_);
    inputs = specs[i].out_features;
  }
  // The statistics of the inputs come last, where files have them.
  for (const auto& layer : layers_) {
    if (layer.get() != standardization_) layer->declare(layout_);
  }
  if (standardization_ != nullptr) standardization_->declare(layout_);

  std::vector<const LayerTraits*> traits;
  for (const auto& layer : layers_) {
    traits.push_back(&layer->traits());
    largest_weight_ = std::max(largest_weight_, layer->traits().weight_size);
    mixes_rows_ = mixes_rows_ || layer->traits().mixes_rows;
  }
  prediction_plan_ = Plan(traits, false);
  training_plan_ = Plan(traits, true);

  parameters_.reserve_scratch(layout_.parameter_count());  // every parameter is drawn
  statistics_ = AlignedBuffer<T>(layout_.statistic_count());
  draw(team, seed, parameters_.data());
  for (const auto& layer : layers_) layer->reset_statistics(statistics_.data());
}

template <class T>
void Network<T>::draw(Team& team, uint64_t seed, T* parameters) const {
  for (const auto& layer : layers_) {
    if (team.is_stopped()) return;
    layer->initialize(team, seed, parameters);
  }
}

template <class T>
void Network<T>::initialize(Team& team, uint64_t seed) {
  AlignedBuffer<T> drawn;
  drawn.reserve_scratch(parameters_.size());
  draw(team, seed, drawn.data());
  if (team.is_stopped()) return;
  seed_ = seed;
  // In place: Python has views of the buffer.
  constexpr int64_t kPiece = int64_t{1} << 16;
  const int64_t size = drawn.size();
  team.run_whole((size + kPiece - 1) / kPiece, size, [&](Context&, int64_t piece) {
    const int64_t at = piece * kPiece;
    std::copy_n(drawn.data() + at, std::min(kPiece, size - at), parameters_.data() + at);
  });
  for (const auto& layer : layers_) layer->reset_statistics(statistics_.data());
}

template <class T>
bool Network<T>::statistics_are_finite(const Workspace<T>& workspace) const {
  if (!mixes_rows_ || !workspace.is_training) return true;
  for (size_t i = 0; i < layers_.size(); ++i) {
    if (!layers_[i]->statistics_are_finite(workspace.layers[i], workspace.walk.rows)) return false;
  }
  return true;
}

template <class T>
void Network<T>::commit_statistics(const Workspace<T>& workspace, double share) {
  if (!mixes_rows_ || !workspace.is_training || workspace.walk.rows == 0) return;
  for (size_t i = 0; i < layers_.size(); ++i) {
    layers_[i]->commit_statistics(workspace.layers[i], workspace.walk.rows, share,
                                  statistics_.data());
  }
}

template <class T>
NetworkShape Network<T>::shape(Precision precision) const {
  NetworkShape shape;
  shape.parameters = parameters_.size();
  shape.weight_bytes = largest_weight_ * int64_t{sizeof(T)};
  shape.gradient_bytes = training_plan_.gradient_row_size() * int64_t{sizeof(T)};
  shape.mixes_rows = mixes_rows_;
  for (const auto& layer : layers_) {
    shape.has_bf16 = shape.has_bf16 || layer->precision(precision) != Precision::kFull;
  }
  return shape;
}

template <class T>
Walk Network<T>::walk(const Workspace<T>& workspace, int64_t rows) const {
  return choose_walk(shape(workspace.precision), rows, workspace.shards);
}

template class Network<float>;
template class Network<double>;

}  // namespace chainrule
