#include "network/mlp.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include "kernels/registry.hpp"
#include "ops/dense.hpp"

namespace chainrule {

template <class T>
Mlp<T>::Mlp(int64_t in_features, std::vector<LayerSpec> layers, uint64_t seed)
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
  parameters_ = AlignedBuffer<T>(total);
  running_ = AlignedBuffer<T>(running);
  initialize(seed);
}

template <class T>
void Mlp<T>::initialize(uint64_t seed) {
  seed_ = seed;
  const auto fill = [this](int64_t offset, int64_t size, T value) {
    if (offset >= 0) std::fill_n(parameters_.data() + offset, size, value);
  };
  for (size_t i = 0; i < specs_.size(); ++i) {
    const int64_t width = specs_[i].out_features;
    const Offsets& at = offsets_[i];
    initialize_layer(specs_[i].initializer, seed, static_cast<uint32_t>(i), layer_inputs(i), width,
                     parameters_.data() + at.weight,
                     at.bias < 0 ? nullptr : parameters_.data() + at.bias);
    fill(at.scale, width, T{1});
    fill(at.shift, width, T{0});
    if (at.running >= 0) {
      std::fill_n(running_.data() + at.running, width, T{0});
      std::fill_n(running_.data() + at.running + width, width, T{1});
    }
  }
}

template <class T>
void Mlp<T>::normalize(size_t layer, LayerWorkspace<T>& w, int64_t rows, bool training,
                       T* y) const {
  const KernelTable<T>& kernels = active_kernels<T>();
  const Offsets& at = offsets_[layer];
  const int64_t width = specs_[layer].out_features;
  NormForward<T> norm{rows,
                      width,
                      w.normalized.data(),
                      parameter(at.scale),
                      parameter(at.shift),
                      static_cast<T>(kNormEpsilon),
                      w.mean.data(),
                      w.variance.data(),
                      w.normalized.data(),
                      w.inverse_deviation.data(),
                      y};
  if (specs_[layer].norm == Norm::kLayer) {
    kernels.layer_norm_forward(norm);
  } else if (training) {
    kernels.batch_norm_forward(norm);
  } else {
    std::copy_n(running_.data() + at.running, width, norm.mean);
    std::copy_n(running_.data() + at.running + width, width, norm.variance);
    kernels.batch_norm_predict(norm);
  }
}

template <class T>
const T* Mlp<T>::forward(Context& context, Workspace<T>& workspace, const T* x, int64_t rows,
                         bool training, uint64_t step) const {
  const KernelTable<T>& kernels = active_kernels<T>();
  workspace.reserve(rows, in_features_, specs_, training);
  workspace.rows = rows;
  workspace.training = training;
  const T* input = x;
  for (size_t i = 0; i < specs_.size(); ++i) {
    const LayerSpec& spec = specs_[i];
    LayerWorkspace<T>& w = workspace.layers[i];
    const DenseShape shape{rows, layer_inputs(i), spec.out_features};
    const int64_t size = rows * spec.out_features;
    const T* weight = parameter(offsets_[i].weight);
    const T* bias = parameter(offsets_[i].bias);
    const auto alpha = static_cast<T>(spec.parameter);
    const bool keeps_input = info(spec.activation).saved == Saved::input;
    T* preactivation = keeps_input ? w.preactivation.data() : nullptr;
    if (spec.norm == Norm::kNone) {
      dense_forward(context, shape, input, weight, bias, spec.activation, alpha, preactivation,
                    w.activated.data());
    } else {
      dense_forward<T>(context, shape, input, weight, bias, Activation::identity, T{0}, nullptr,
                       w.normalized.data());
      T* z = keeps_input ? preactivation : w.activated.data();
      normalize(i, w, rows, training, z);
      kernels.activations[static_cast<int>(spec.activation)].forward(z, w.activated.data(), size,
                                                                     alpha);
    }
    w.output = w.activated.data();
    if (context.interrupt().stop_requested()) return w.output;
    if (training && spec.dropout > 0) {
      kernels.dropout_mask(seed_, static_cast<uint32_t>(i), step, spec.dropout, w.mask.data(),
                           size);
      kernels.multiply(w.activated.data(), w.mask.data(), w.dropped.data(), size);
      w.output = w.dropped.data();
    }
    input = w.output;
  }
  return input;
}

template <class T>
void Mlp<T>::backward(Context& context, Workspace<T>& workspace, const T* x, T* grad_x,
                      T* gradient) const {
  const KernelTable<T>& kernels = active_kernels<T>();
  const int64_t rows = workspace.rows;
  T* grad = workspace.gradients[0].data();
  T* grad_input = workspace.gradients[1].data();
  for (size_t i = specs_.size(); i-- > 0;) {
    const LayerSpec& spec = specs_[i];
    LayerWorkspace<T>& w = workspace.layers[i];
    const Offsets& at = offsets_[i];
    const int64_t size = rows * spec.out_features;
    const auto part = [gradient](int64_t offset) {
      return offset < 0 ? nullptr : gradient + offset;
    };
    if (workspace.training && spec.dropout > 0) {
      kernels.multiply(grad, w.mask.data(), grad, size);
    }
    if (spec.activation != Activation::identity) {
      const bool keeps_input = info(spec.activation).saved == Saved::input;
      kernels.activations[static_cast<int>(spec.activation)].backward(
          grad, keeps_input ? w.preactivation.data() : w.activated.data(), grad, size,
          static_cast<T>(spec.parameter));
    }
    if (spec.norm != Norm::kNone) {
      const bool is_batch = spec.norm == Norm::kBatch;
      const NormBackward<T> norm{rows,
                                 spec.out_features,
                                 grad,
                                 w.normalized.data(),
                                 w.inverse_deviation.data(),
                                 parameter(at.scale),
                                 grad,
                                 part(at.scale),
                                 part(at.shift),
                                 is_batch && !workspace.training};
      (is_batch ? kernels.batch_norm_backward : kernels.layer_norm_backward)(norm);
    }
    const T* input = i == 0 ? x : workspace.layers[i - 1].output;
    dense_backward(context, {rows, layer_inputs(i), spec.out_features}, grad, input,
                   parameter(at.weight), i == 0 ? grad_x : grad_input, part(at.weight),
                   part(at.bias));
    if (context.interrupt().stop_requested()) return;
    std::swap(grad, grad_input);
  }
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
void Mlp<T>::commit_running_statistics(const Workspace<T>& workspace) {
  if (!workspace.training || workspace.rows == 0) return;
  const T unbiased = unbiased_factor(workspace.rows);
  const T kept = static_cast<T>(kRunningDecay), taken = static_cast<T>(1 - kRunningDecay);
  for (size_t i = 0; i < specs_.size(); ++i) {
    if (specs_[i].norm != Norm::kBatch) continue;
    const LayerWorkspace<T>& w = workspace.layers[i];
    const int64_t width = specs_[i].out_features;
    T* mean = running_.data() + offsets_[i].running;
    T* variance = mean + width;
    for (int64_t j = 0; j < width; ++j) {
      mean[j] = kept * mean[j] + taken * w.mean[j];
      variance[j] = kept * variance[j] + taken * (w.variance[j] * unbiased);
    }
  }
}

template <class T>
void Mlp<T>::predict(Context& context, const T* x, int64_t rows, T* out) const {
  constexpr int64_t kBlock = 256;
  Workspace<T> workspace;
  workspace.reserve(std::min(rows, kBlock), in_features_, specs_, false);
  for (int64_t r = 0; r < rows; r += kBlock) {
    const int64_t count = std::min(kBlock, rows - r);
    const T* outputs = forward(context, workspace, x + r * in_features_, count, false, 0);
    if (context.interrupt().stop_requested()) return;
    std::copy_n(outputs, count * out_features(), out + r * out_features());
  }
}

template <class T>
double Mlp<T>::loss_and_gradient(Context& context, Workspace<T>& workspace, const T* x,
                                 int64_t rows, const TargetView<T>& targets,
                                 const LossFunction<T>& loss, Reduction reduction,
                                 const Penalty& penalty, bool training, uint64_t step, T* grad_x,
                                 T* gradient) const {
  workspace.reserve(rows, in_features_, specs_, true);
  const T* outputs = forward(context, workspace, x, rows, training, step);
  if (context.interrupt().stop_requested()) return 0;
  double value =
      loss(outputs, rows, out_features(), targets, reduction, workspace.gradients[0].data()).value;
  backward(context, workspace, x, grad_x, gradient);
  for (const ParameterBlock& block : blocks_) {
    if (!penalty.applies_to(block)) continue;
    value += active_kernels<T>()
                 .finish_gradient(gradient + block.offset, parameters_.data() + block.offset,
                                  block.size(), static_cast<T>(penalty.l1),
                                  static_cast<T>(penalty.l2), T{1})
                 .penalty;
  }
  return value;
}

template class Mlp<float>;
template class Mlp<double>;

}  // namespace chainrule
