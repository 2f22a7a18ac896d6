// The parameters and running statistics of a network: layout, initial values, updates.
#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "base/one_nan.hpp"
#include "network/mlp.hpp"

namespace chainrule {

template <class T>
Mlp<T>::Mlp(int64_t in_features, std::vector<LayerSpec> layers, uint64_t seed, Team& team)
    : in_features_(in_features), specs_(std::move(layers)), seed_(seed) {
  int64_t total = 0, running = 0;
  for (size_t i = 0; i < specs_.size(); ++i) {
    const LayerSpec& spec = specs_[i];
    Offsets offsets;
    const auto add = [&](Role role, int64_t rows) {
      const int64_t offset = total;
      blocks_.push_back({static_cast<int64_t>(i), role, offset, rows, spec.out_features});
      total = checked_sum(total, checked_product(rows, spec.out_features));
      return offset;
    };
    offsets.weight = add(Role::kWeight, layer_inputs(i));
    largest_weight_ = std::max(largest_weight_, blocks_.back().size());
    if (spec.has_bias) offsets.bias = add(Role::kBias, 1);
    if (spec.norm != Norm::kNone) {
      offsets.scale = add(Role::kScale, 1);
      offsets.shift = add(Role::kShift, 1);
    }
    if (spec.norm == Norm::kBatch) {
      offsets.running = running;
      running = checked_sum(running, checked_product(2, spec.out_features));
    }
    offsets_.push_back(offsets);
  }
  if (standardizes()) running = checked_sum(running, checked_product(2, in_features_));
  parameters_.reserve_scratch(total);  // every parameter is drawn
  running_ = AlignedBuffer<T>(running);
  draw(team, seed, parameters_.data());
  reset_running_statistics();
}

template <class T>
void Mlp<T>::initialize(Team& team, uint64_t seed) {
  AlignedBuffer<T> drawn;
  drawn.reserve_scratch(parameters_.size());
  draw(team, seed, drawn.data());
  if (team.interrupt().is_stopped()) return;
  seed_ = seed;
  // In place: Python has views of the buffer.
  constexpr int64_t kPiece = int64_t{1} << 16;
  const int64_t size = drawn.size();
  team.run_whole((size + kPiece - 1) / kPiece, size, [&](Context&, int64_t piece) {
    const int64_t at = piece * kPiece;
    std::copy_n(drawn.data() + at, std::min(kPiece, size - at), parameters_.data() + at);
  });
  reset_running_statistics();
}

template <class T>
void Mlp<T>::draw(Team& team, uint64_t seed, T* parameters) const {
  const auto fill = [parameters](int64_t offset, int64_t size, T value) {
    if (offset >= 0) std::fill_n(parameters + offset, size, value);
  };
  for (size_t i = 0; i < specs_.size() && !team.interrupt().is_stopped(); ++i) {
    const int64_t width = specs_[i].out_features;
    const Offsets& at = offsets_[i];
    initialize_layer(team, specs_[i].initializer, seed, static_cast<uint32_t>(i), layer_inputs(i),
                     width, parameters + at.weight, at.bias < 0 ? nullptr : parameters + at.bias);
    fill(at.scale, width, T{1});
    fill(at.shift, width, T{0});
  }
}

template <class T>
void Mlp<T>::reset_running_statistics() {
  for (size_t i = 0; i < specs_.size(); ++i) {
    const int64_t width = specs_[i].out_features, running = offsets_[i].running;
    if (running < 0) continue;
    std::fill_n(running_.data() + running, width, T{0});
    std::fill_n(running_.data() + running + width, width, T{1});
  }
  if (standardizes()) {
    std::fill_n(running_.data() + running_.size() - 2 * in_features_, 2 * in_features_, T{0});
  }
}

template <class T>
void Mlp<T>::standardize(Team& team, const T* x, int64_t rows) {
  constexpr int64_t kElements = 1 << 14;  // some ten microseconds: then the interrupt is asked
  const auto columns = static_cast<size_t>(in_features_);
  std::vector<double> means(columns), squares(columns);
  std::vector<char> varies(columns);
  const auto for_elements = [&](const auto& body) {
    const int64_t block = std::max<int64_t>(1, kElements / in_features_);
    for (int64_t r = 0; r < rows; ++r) {
      if (r % block == 0 && team.interrupt().stop_requested()) return;
      const T* row = x + r * in_features_;
      for (size_t j = 0; j < columns; ++j) body(j, row[j]);
    }
  };
  for_elements([&](size_t j, T value) {
    means[j] += static_cast<double>(value);
    varies[j] |= value != x[j];
  });
  for (double& mean : means) mean /= static_cast<double>(rows);
  for_elements([&](size_t j, T value) {
    const double d = static_cast<double>(value) - means[j];
    squares[j] += d * d;
  });
  if (team.interrupt().is_stopped()) return;
  std::vector<T> factors(columns, T{1});
  for (size_t j = 0; j < columns; ++j) {
    if (!varies[j]) {
      means[j] = static_cast<double>(x[j]);  // the sum was rounded
      continue;
    }
    const double factor = 1 / std::sqrt(squares[j] / static_cast<double>(rows));
    if (factor > static_cast<double>(std::numeric_limits<T>::max())) continue;
    // Of an infinite or NaN deviation it is 0 or NaN.
    if (!(factor >= static_cast<double>(std::numeric_limits<T>::min()))) {
      throw std::domain_error(
          "X must have columns with standard deviations within its dtype, got "
          "a larger one in column " +
          std::to_string(j));
    }
    factors[j] = static_cast<T>(factor);
  }
  T* kept = running_.data() + running_.size() - 2 * in_features_;
  for (size_t j = 0; j < columns; ++j) kept[j] = static_cast<T>(means[j]);
  std::copy(factors.begin(), factors.end(), kept + in_features_);
}

template <class T>
bool Mlp<T>::batch_statistics_are_finite(const Workspace<T>& workspace) const {
  const T unbiased = unbiased_factor(workspace.rows);
  for (size_t i = 0; i < specs_.size(); ++i) {
    if (specs_[i].norm != Norm::kBatch) continue;
    const LayerWorkspace<T>& w = workspace.layers[i];
    for (int64_t j = 0; j < specs_[i].out_features; ++j) {
      if (!std::isfinite(w.mean[j]) || !std::isfinite(w.variance[j] * unbiased)) return false;
    }
  }
  return true;
}

template <class T>
void Mlp<T>::commit_running_statistics(const Workspace<T>& workspace, double share) {
  if (!workspace.training || workspace.rows == 0) return;
  const T unbiased = unbiased_factor(workspace.rows);
  const double weight = share * (1 - kRunningDecay);
  const T kept = static_cast<T>(1 - weight), taken = static_cast<T>(weight);
  for (size_t i = 0; i < specs_.size(); ++i) {
    if (specs_[i].norm != Norm::kBatch) continue;
    const LayerWorkspace<T>& w = workspace.layers[i];
    const int64_t width = specs_[i].out_features;
    T* mean = running_.data() + offsets_[i].running;
    T* variance = mean + width;
    for (int64_t j = 0; j < width; ++j) {
      mean[j] = one_nan(kept * mean[j] + taken * w.mean[j]);
      variance[j] = one_nan(kept * variance[j] + taken * (w.variance[j] * unbiased));
    }
  }
}

template class Mlp<float>;
template class Mlp<double>;

}  // namespace chainrule
