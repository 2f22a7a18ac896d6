// The passes through a network. Rows are independent except in batch norm, so a pass takes blocks
// of rows through as many layers as it can.
#include "network/mlp.hpp"

#include <algorithm>

#include "kernels/registry.hpp"

namespace chainrule {

// Blocks of rows that go through the layers first .. end - 1.
template <class T>
template <class Body>
void Mlp<T>::for_blocks(Team& team, int64_t rows, size_t first, size_t end,
                        const Body& body) const {
  int64_t work = 0;
  for (size_t i = first; i < end; ++i) {
    work += rows * specs_[i].out_features * (layer_inputs(i) + 2 * kElementWork);
  }
  for_row_blocks(team, rows, largest_weight_ * int64_t{sizeof(T)}, work, body);
}

template <class T>
DenseShape Mlp<T>::shape(const Workspace<T>& workspace, size_t layer, int64_t rows) const {
  return workspace.layer_shape(layer_inputs(layer), rows, specs_[layer]);
}

// Whether the forward pass reads a layer's weight from its panels: they have room and enough rows
// to gain from them.
template <class T>
bool Mlp<T>::has_panels(const KernelTable<T>& kernels, const Workspace<T>& workspace,
                        size_t layer) const {
  return !workspace.layers[layer].panels.empty() &&
         gains_from_panels(kernels, shape(workspace, layer, workspace.rows));
}

template <class T>
void Mlp<T>::pack_weights(Team& team, Workspace<T>& workspace, bool for_forward,
                          bool for_backward) const {
  const KernelTable<T>& kernels = team.kernels<T>();
  const auto forward_panels = [&](size_t layer) {
    return for_forward && has_panels(kernels, workspace, layer)
               ? workspace.layers[layer].panels.panel_count()
               : 0;
  };
  const auto count_of = [&](size_t layer) {
    return forward_panels(layer) +
           (for_backward ? workspace.layers[layer].transposed_panels.panel_count() : 0);
  };
  for_panels(team, parameters_.size() * kElementWork, count_of,
             [&](Context&, size_t layer, int64_t panel) {
               LayerWorkspace<T>& w = workspace.layers[layer];
               const T* weight = parameter(offsets_[layer].weight);
               const int64_t width = specs_[layer].out_features;
               const int64_t forward_count = forward_panels(layer);
               if (panel < forward_count) {
                 w.panels.pack(kernels, matrix(weight, width), panel);
               } else {
                 w.transposed_panels.pack(kernels, transposed(weight, width),
                                          panel - forward_count);
               }
             });
}

template <class T>
Weight<T> Mlp<T>::weight(const Context& context, const Workspace<T>& workspace,
                         size_t layer) const {
  const LayerWorkspace<T>& w = workspace.layers[layer];
  const bool is_packed = has_panels(context.kernels<T>(), workspace, layer);
  return {parameter(offsets_[layer].weight), is_packed ? &w.panels : nullptr,
          w.transposed_panels.empty() ? nullptr : &w.transposed_panels};
}

// The forward pass of some rows through a layer: z = x W + b and all that follows, except batch
// norm in training, which needs all rows first.
template <class T>
void Mlp<T>::forward_rows(Context& context, Workspace<T>& workspace, size_t layer, const T* x,
                          RowRange rows, MaskIndex masks) const {
  const LayerSpec& spec = specs_[layer];
  LayerWorkspace<T>& w = workspace.layers[layer];
  const DenseShape size = shape(workspace, layer, rows.count);
  const bool has_norm = spec.norm != Norm::kNone;
  const int64_t at = rows.first * size.out_features;
  if (spec.standardizes) standardize_rows(workspace, x, rows);
  const bool keeps_input = !has_norm && info(spec.activation).saved == Saved::input;
  dense_forward<T>(context, size, layer_input(workspace, layer, x) + rows.first * size.in_features,
                   weight(context, workspace, layer), parameter(offsets_[layer].bias),
                   has_norm ? Activation::identity : spec.activation,
                   static_cast<T>(spec.parameter),
                   keeps_input ? w.preactivation.data() + at : nullptr,
                   (has_norm ? w.normalized : w.activated).data() + at);
  if (!mixes_rows(layer, workspace)) finish_forward_rows(context, workspace, layer, rows, masks);
}

// Norm, its activation, and dropout.
template <class T>
void Mlp<T>::finish_forward_rows(const Context& context, Workspace<T>& workspace, size_t layer,
                                 RowRange rows, MaskIndex masks) const {
  const KernelTable<T>& kernels = context.kernels<T>();
  const LayerSpec& spec = specs_[layer];
  LayerWorkspace<T>& w = workspace.layers[layer];
  const int64_t at = rows.first * spec.out_features, size = rows.count * spec.out_features;
  T* y = w.activated.data() + at;
  if (spec.norm != Norm::kNone) {
    T* z = info(spec.activation).saved == Saved::input ? w.preactivation.data() + at : y;
    NormForward<T> norm = norm_forward(w, layer, rows, z);
    if (spec.norm == Norm::kLayer) {
      kernels.layer_norm_forward(norm);
    } else {
      norm.inverse_deviation = nullptr;  // is there already, the same for all blocks of rows
      kernels.batch_norm_predict(norm);
    }
    kernels.activations[static_cast<int>(spec.activation)].forward(z, y, size,
                                                                   static_cast<T>(spec.parameter));
  }
  if (workspace.training && spec.dropout > 0) {
    T* mask = w.mask.data() + at;
    kernels.dropout_mask(seed_, static_cast<uint32_t>(layer), masks.step, spec.dropout,
                         at + masks.first_row * spec.out_features, mask, size);
    kernels.multiply(y, mask, w.dropped.data() + at, size);
  }
}

template <class T>
NormForward<T> Mlp<T>::norm_forward(LayerWorkspace<T>& w, size_t layer, RowRange rows, T* y) const {
  const int64_t width = specs_[layer].out_features;
  T* normalized = w.normalized.data() + rows.first * width;
  const bool is_layer = specs_[layer].norm == Norm::kLayer;
  return {rows.count,
          width,
          normalized,
          parameter(offsets_[layer].scale),
          parameter(offsets_[layer].shift),
          static_cast<T>(kNormEpsilon),
          w.mean.data(),
          w.variance.data(),
          normalized,
          w.inverse_deviation.data() + (is_layer ? rows.first : 0),
          y};
}

// What batch norm needs of all rows: in training the batch's statistics, else the running ones.
template <class T>
void Mlp<T>::prepare_batch_norm(const KernelTable<T>& kernels, LayerWorkspace<T>& w, size_t layer,
                                int64_t rows, bool training) const {
  const int64_t width = specs_[layer].out_features;
  if (!training) {
    const T* running = running_.data() + offsets_[layer].running;
    std::copy_n(running, width, w.mean.data());
    std::copy_n(running + width, width, w.variance.data());
    kernels.batch_norm_predict(norm_forward(w, layer, {0, 0}, nullptr));
  } else {
    kernels.batch_norm_statistics(norm_forward(w, layer, {0, rows}, nullptr));
  }
}

template <class T>
void Mlp<T>::begin_pass(Team& team, Workspace<T>& workspace, int64_t rows, bool training) const {
  const KernelTable<T>& kernels = team.kernels<T>();
  workspace.rows = rows;
  workspace.training = training;
  for (size_t i = 0; i < specs_.size(); ++i) {
    LayerWorkspace<T>& w = workspace.layers[i];
    const bool drops = training && specs_[i].dropout > 0;
    w.output = drops ? w.dropped.data() : w.activated.data();
    if (specs_[i].norm == Norm::kBatch && !training) {
      prepare_batch_norm(kernels, w, i, rows, false);
    }
  }
}

template <class T>
const T* Mlp<T>::forward(Team& team, Workspace<T>& workspace, const T* x, int64_t rows,
                         bool training, uint64_t step) const {
  const KernelTable<T>& kernels = team.kernels<T>();
  workspace.reserve(kernels, rows, in_features_, specs_, training);
  begin_pass(team, workspace, rows, training);
  pack_weights(team, workspace, true, false);
  const size_t layers = specs_.size();
  for (size_t begin = 0; begin < layers;) {
    size_t end = begin + 1;
    while (end < layers && !mixes_rows(end - 1, workspace)) ++end;
    for_blocks(team, rows, begin, end, [&](Context& context, RowRange block) {
      for (size_t i = begin; i < end && !context.stop_requested(); ++i) {
        forward_rows(context, workspace, i, x, block, {step, 0});
      }
    });
    if (team.interrupt().is_stopped()) break;
    if (mixes_rows(end - 1, workspace)) {
      prepare_batch_norm(kernels, workspace.layers[end - 1], end - 1, rows, true);
      for_blocks(team, rows, end - 1, end, [&](Context& context, RowRange block) {
        finish_forward_rows(context, workspace, end - 1, block, {step, 0});
      });
    }
    begin = end;
  }
  return workspace.layers.back().output;
}

// The backward pass of some rows through dropout, activation and layer norm: from the gradient with
// respect to the layer's output to that with respect to its product, or to batch norm's result.
template <class T>
void Mlp<T>::backward_rows(const Context& context, Workspace<T>& workspace, size_t layer,
                           RowRange rows) const {
  const KernelTable<T>& kernels = context.kernels<T>();
  const LayerSpec& spec = specs_[layer];
  LayerWorkspace<T>& w = workspace.layers[layer];
  const int64_t at = rows.first * spec.out_features, size = rows.count * spec.out_features;
  T* gradient = w.gradient.data() + at;
  if (workspace.training && spec.dropout > 0) {
    kernels.multiply(gradient, w.mask.data() + at, gradient, size);
  }
  if (spec.activation != Activation::identity) {
    const bool keeps_input = info(spec.activation).saved == Saved::input;
    kernels.activations[static_cast<int>(spec.activation)].backward(
        gradient, (keeps_input ? w.preactivation : w.activated).data() + at, gradient, size,
        static_cast<T>(spec.parameter));
  }
  if (spec.norm == Norm::kLayer) {
    kernels.layer_norm_backward(norm_backward(workspace, layer, rows, nullptr));
  }
}

template <class T>
NormBackward<T> Mlp<T>::norm_backward(Workspace<T>& workspace, size_t layer, RowRange rows,
                                      T* gradient) const {
  LayerWorkspace<T>& w = workspace.layers[layer];
  const Offsets& offsets = offsets_[layer];
  const int64_t width = specs_[layer].out_features, at = rows.first * width;
  const bool is_layer = specs_[layer].norm == Norm::kLayer;
  return {rows.count,
          width,
          w.gradient.data() + at,
          w.normalized.data() + at,
          w.inverse_deviation.data() + (is_layer ? rows.first : 0),
          parameter(offsets.scale),
          w.gradient_z.data() + at,
          gradient == nullptr ? nullptr : gradient + offsets.scale,
          gradient == nullptr ? nullptr : gradient + offsets.shift,
          !workspace.training,
          false};
}

// z = (x - mean) * factor; two operations that every variant rounds alike.
template <class T>
void Mlp<T>::standardize_rows(Workspace<T>& workspace, const T* x, RowRange rows) const {
  const T *means = input_means(), *factors = input_factors();
  T* z = workspace.standardized.data();
  for (int64_t r = rows.first; r < rows.first + rows.count; ++r) {
    const int64_t at = r * in_features_;
    for (int64_t j = 0; j < in_features_; ++j) z[at + j] = (x[at + j] - means[j]) * factors[j];
  }
}

// From the gradient with respect to a layer's product that with respect to its inputs.
template <class T>
void Mlp<T>::input_gradient_rows(Context& context, Workspace<T>& workspace, size_t layer,
                                 RowRange rows, T* grad_x) const {
  T* grad_input = layer == 0 ? grad_x : workspace.layers[layer - 1].gradient.data();
  if (grad_input == nullptr) return;
  const DenseShape size = shape(workspace, layer, rows.count);
  dense_input_gradient(
      context, size, workspace.layers[layer].product_gradient + rows.first * size.out_features,
      weight(context, workspace, layer), grad_input + rows.first * size.in_features);
  if (!specs_[layer].standardizes) return;
  for (int64_t r = rows.first; r < rows.first + rows.count; ++r) {
    T* row = grad_x + r * in_features_;
    context.kernels<T>().multiply(row, input_factors(), row, in_features_);
  }
}

template <class T>
void Mlp<T>::backward(Team& team, Workspace<T>& workspace, const T* x, T* grad_x,
                      T* gradient) const {
  const int64_t rows = workspace.rows;
  workspace.reserve_panels(team.kernels<T>(), rows, in_features_, specs_, true);
  pack_weights(team, workspace, false, true);
  // From the last layer down to the next batch norm, which needs all rows first.
  for (size_t end = specs_.size(); end > 0;) {
    size_t begin = end - 1;
    while (begin > 0 && specs_[begin].norm != Norm::kBatch) --begin;
    const bool ends_in_batch_norm = specs_[begin].norm == Norm::kBatch;
    for_blocks(team, rows, begin, end, [&](Context& context, RowRange block) {
      for (size_t i = end; i-- > begin && !context.stop_requested();) {
        backward_rows(context, workspace, i, block);
        if (i > begin || !ends_in_batch_norm) {
          input_gradient_rows(context, workspace, i, block, grad_x);
        }
      }
    });
    if (team.interrupt().is_stopped()) return;
    if (ends_in_batch_norm) {
      team.kernels<T>().batch_norm_backward(norm_backward(workspace, begin, {0, rows}, gradient));
      for_blocks(team, rows, begin, begin + 1, [&](Context& context, RowRange block) {
        input_gradient_rows(context, workspace, begin, block, grad_x);
      });
    }
    end = begin;
  }
  parameter_gradients(team, workspace, x, gradient);
}

template <class T>
void Mlp<T>::predict(Team& team, const T* x, int64_t rows, T* out, Precision precision) const {
  // As many rows at a time as keep the workspace small.
  constexpr int64_t kFewest = 256, kMost = 4096, kElements = int64_t{1} << 22;
  int64_t widths = standardizes() ? in_features_ : 0;
  for (const LayerSpec& spec : specs_) widths += spec.out_features;
  const int64_t chunk = std::clamp(kElements / widths, kFewest, kMost);
  Workspace<T> workspace;
  workspace.precision = precision;
  workspace.reserve(team.kernels<T>(), std::min(rows, chunk), in_features_, specs_, false);
  for (int64_t r = 0; r < rows; r += chunk) {
    const int64_t count = std::min(chunk, rows - r);
    const T* outputs = forward(team, workspace, x + r * in_features_, count, false, 0);
    if (team.interrupt().is_stopped()) return;
    std::copy_n(outputs, count * out_features(), out + r * out_features());
  }
}

template class Mlp<float>;
template class Mlp<double>;

}  // namespace chainrule
