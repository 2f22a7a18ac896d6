// The gradient of a loss: of large networks by passes that divide the rows, then the parameters; of
// small ones by groups of rows, each of which goes through everything while it is in a core's
// caches, and needs to meet the others only once.
#include <algorithm>
#include <array>
#include <numeric>

#include "network/mlp.hpp"

namespace chainrule {
namespace {

// A group's sums over rows cost it a pass over the parameters: these stay in a second-level cache,
// and a group has rows enough to make up for it, yet few enough for its activations to stay there
// too. See decision 0010.
constexpr int64_t kMostParameters = int64_t{1} << 16, kFewestRows = 64, kMostRows = 1024;
constexpr int64_t kGroupRows = 64, kMostGroups = 8;

}  // namespace

// How many groups the rows of a batch form, the first ones of equal size; 0: none, the network is
// not for groups. Depends on sizes alone, as bits do.
template <class T>
int64_t Mlp<T>::group_count(int64_t rows) const {
  if (rows < kFewestRows || rows > kMostRows || parameters_.size() > kMostParameters) return 0;
  for (const LayerSpec& spec : specs_) {
    if (spec.norm == Norm::kBatch) return 0;
  }
  return std::min(kMostGroups, even_block_count(rows, kGroupRows));
}

// body(context, group, rows) for every group.
template <class T>
template <class Body>
void Mlp<T>::for_groups(Team& team, Workspace<T>& workspace, int64_t products,
                        const Body& body) const {
  const int64_t rows = workspace.rows, groups = group_count(rows);
  workspace.group_gradients.reserve((groups - 1) * parameters_.size());
  for_row_ranges(team, rows, groups, products * rows * parameters_.size(), body);
}

// The parameter gradients of a group: the first one's into `gradient`, the others' beside it.
template <class T>
void Mlp<T>::group_gradient(Context& context, Workspace<T>& workspace, const T* x, int64_t group,
                            RowRange rows, T* gradient) const {
  if (group > 0) {
    gradient = workspace.group_gradients.data() + (group - 1) * parameters_.size();
  }
  for (size_t layer = specs_.size(); layer-- > 0;) {
    for (int64_t panel = 0; panel < parameter_panels(context.kernels<T>(), layer); ++panel) {
      if (context.stop_requested()) return;
      layer_gradient(context, workspace, layer, panel, x, rows, gradient);
    }
  }
}

template <class T>
void Mlp<T>::add_group_gradients(const KernelTable<T>& kernels, const Workspace<T>& workspace,
                                 int64_t offset, int64_t size, T* gradient) const {
  for (int64_t group = 1; group < group_count(workspace.rows); ++group) {
    const T* part = workspace.group_gradients.data() + (group - 1) * parameters_.size();
    kernels.add_scaled(T{1}, part + offset, gradient + offset, size);
  }
}

template <class T>
int64_t Mlp<T>::parameter_panels(const KernelTable<T>& kernels, size_t layer) const {
  return panel_count(kernels, specs_[layer].out_features);
}

// Sums over those rows, for the columns of a panel of the layer's weight; with the first panel
// those of a layer norm too.
template <class T>
void Mlp<T>::layer_gradient(Context& context, Workspace<T>& workspace, size_t layer, int64_t panel,
                            const T* x, RowRange rows, T* gradient) const {
  const Offsets& at = offsets_[layer];
  if (panel == 0 && specs_[layer].norm == Norm::kLayer) {
    context.kernels<T>().norm_parameter_gradients(norm_backward(workspace, layer, rows, gradient));
  }
  const DenseShape size = shape(layer, rows.count);
  dense_parameter_gradients<T>(
      context, size, panel,
      workspace.layers[layer].product_gradient + rows.first * size.out_features,
      layer_input(workspace, layer, x) + rows.first * size.in_features, gradient + at.weight,
      at.bias < 0 ? nullptr : gradient + at.bias);
}

// After the passes over all rows.
template <class T>
void Mlp<T>::parameter_gradients(Team& team, Workspace<T>& workspace, const T* x,
                                 T* gradient) const {
  if (group_count(workspace.rows) > 0) {
    for_groups(team, workspace, 1, [&](Context& context, int64_t group, RowRange rows) {
      group_gradient(context, workspace, x, group, rows, gradient);
    });
    add_group_gradients(team.kernels<T>(), workspace, 0, parameters_.size(), gradient);
    return;
  }
  const KernelTable<T>& kernels = team.kernels<T>();
  const auto has_many_inputs = [&](size_t layer) {
    return gradient_panels_size(kernels, shape(layer, workspace.rows)) > 0;
  };
  const RowRange rows{0, workspace.rows};
  const auto count_of = [&](size_t layer) {
    if (!has_many_inputs(layer)) return parameter_panels(kernels, layer);
    return int64_t{specs_[layer].norm == Norm::kLayer ? 1 : 0};
  };
  for_panels(team, workspace.rows * parameters_.size(), count_of,
             [&](Context& context, size_t layer, int64_t panel) {
               if (has_many_inputs(layer)) {
                 kernels.norm_parameter_gradients(norm_backward(workspace, layer, rows, gradient));
               } else {
                 layer_gradient(context, workspace, layer, panel, x, rows, gradient);
               }
             });
  for (size_t layer = specs_.size(); layer-- > 0;) {
    if (!has_many_inputs(layer)) continue;
    const Offsets& at = offsets_[layer];
    const DenseShape size = shape(layer, workspace.rows);
    workspace.gradient_panels.reserve(gradient_panels_size(kernels, size));
    dense_parameter_gradients<T>(team, size, workspace.layers[layer].product_gradient,
                                 layer_input(workspace, layer, x), workspace.gradient_panels.data(),
                                 gradient + at.weight, at.bias < 0 ? nullptr : gradient + at.bias);
  }
}

template <class T>
LossValue Mlp<T>::differentiate(Team& team, Workspace<T>& workspace, const T* x, int64_t rows,
                                const TargetView<T>& targets, const LossFunction<T>& loss,
                                Reduction reduction, bool training, uint64_t step, T* grad_x,
                                T* gradient, const RowTask& fetch) const {
  workspace.reserve(team.kernels<T>(), rows, in_features_, specs_, true);
  const int64_t groups = group_count(rows);
  const bool fetches_first = fetch && (groups == 0 || loss.has_weights(targets));
  if (fetches_first) {
    for_row_blocks(team, rows, 0, rows * in_features_ * kElementWork,
                   [&](Context&, RowRange range) { fetch(range); });
  }
  if (groups == 0) {
    const T* outputs = forward(team, workspace, x, rows, training, step);
    if (team.interrupt().is_stopped()) return {};
    const LossValue value =
        loss(team, outputs, rows, out_features(), targets, reduction, workspace.output_gradient());
    backward(team, workspace, x, grad_x, gradient);
    return value;
  }

  begin_pass(team, workspace, rows, training);
  pack_weights(team, workspace, true, true);
  const LossScale scale = loss.scale(rows, out_features(), targets, reduction);
  std::array<double, kMostGroups> sums{};
  for_groups(team, workspace, 3, [&](Context& context, int64_t group, RowRange range) {
    if (fetch && !fetches_first) fetch(range);
    for (size_t i = 0; i < specs_.size() && !context.stop_requested(); ++i) {
      forward_rows(context, workspace, i, x, range, step);
    }
    sums[static_cast<size_t>(group)] =
        loss.sum(context.kernels<T>(), workspace.layers.back().output, range, out_features(),
                 targets, scale, workspace.output_gradient());
    for (size_t i = specs_.size(); i-- > 0 && !context.stop_requested();) {
      backward_rows(context, workspace, i, range);
      input_gradient_rows(context, workspace, i, range, grad_x);
    }
    group_gradient(context, workspace, x, group, range, gradient);
  });
  return {std::accumulate(sums.begin(), sums.end(), 0.0) * scale.factor, scale.weight};
}

template <class T>
double Mlp<T>::loss_and_gradient(Team& team, Workspace<T>& workspace, const T* x, int64_t rows,
                                 const TargetView<T>& targets, const LossFunction<T>& loss,
                                 Reduction reduction, const Penalty& penalty, bool training,
                                 uint64_t step, T* grad_x, T* gradient) const {
  double value = differentiate(team, workspace, x, rows, targets, loss, reduction, training, step,
                               grad_x, gradient, {})
                     .value;
  if (team.interrupt().is_stopped()) return 0;
  if (group_count(rows) > 0) {
    add_group_gradients(team.kernels<T>(), workspace, 0, parameters_.size(), gradient);
  }
  for (const ParameterBlock& block : blocks_) {
    if (!penalty.applies_to(block)) continue;
    value += team.kernels<T>()
                 .finish_gradient(gradient + block.offset, parameters_.data() + block.offset,
                                  block.size(), static_cast<T>(penalty.l1),
                                  static_cast<T>(penalty.l2), T{1}, false)
                 .penalty;
  }
  return value;
}

template class Mlp<float>;
template class Mlp<double>;

}  // namespace chainrule
