// The gradient of a loss: of large networks by passes that divide the rows, then the parameters; of
// small ones by groups of rows, each of which goes through everything while it is in a core's
// caches, and needs to meet the others only once. Large batches go part by part; their sums over
// rows continue in place, so that only a part's activations and their gradients are ever there.
#include <algorithm>
#include <array>
#include <numeric>

#include "base/one_nan.hpp"
#include "network/mlp.hpp"

namespace chainrule {
namespace {

// A group's sums over rows cost it a pass over the parameters: these stay in a second-level cache,
// and a group has rows enough to make up for it. It walks through them by so few that their
// activations stay there too. See decision 0010.
constexpr int64_t kMostParameters = int64_t{1} << 16, kFewestRows = 64;
constexpr int64_t kGroupRows = 64, kFewGroups = 8, kLargeGroupRows = 1024, kMostGroups = 32;
constexpr int64_t kWalkRows = 128;

// Rows per part: as many as have kPartBytes of gradients with respect to outputs, but at least
// enough blocks to keep threads busy, and at most as many as keep activations in caches. See
// decision 0013.
constexpr int64_t kPartBytes = int64_t{16} << 20, kFewestPartBlocks = 4, kMostPartBlocks = 32;
// A part ends at the end of a block of steps of bf16 terms, so parts change none of their sums.
constexpr int64_t kPartStep = 2 * kBf16Depth;

}  // namespace

template <class T>
bool Mlp<T>::has_batch_norm() const {
  return std::any_of(specs_.begin(), specs_.end(),
                     [](const LayerSpec& spec) { return spec.norm == Norm::kBatch; });
}

template <class T>
bool Mlp<T>::has_bf16(Precision precision) const {
  for (size_t i = 0; i < specs_.size(); ++i) {
    if (layer_precision(precision, layer_inputs(i), specs_[i].out_features) != Precision::kFull) {
      return true;
    }
  }
  return false;
}

// How many groups the rows of a batch form, the first ones of equal size; 0: none, the network is
// not for groups, whose few rows would leave the blocks of bf16 terms half empty. Depends on sizes
// and precision alone, as bits do.
template <class T>
int64_t Mlp<T>::group_count(Precision precision, int64_t rows) const {
  if (rows < kFewestRows || parameters_.size() > kMostParameters || has_batch_norm()) return 0;
  if (has_bf16(precision)) return 0;
  return std::max(std::min(kFewGroups, even_block_count(rows, kGroupRows)),
                  std::min(kMostGroups, even_block_count(rows, kLargeGroupRows)));
}

// Batches of more rows go part by part, in a network without groups.
template <class T>
int64_t Mlp<T>::most_part_rows() const {
  int64_t size = 0;  // of a row's gradients
  for (const LayerSpec& spec : specs_) {
    size += (spec.norm == Norm::kNone ? 1 : 2) * spec.out_features;
  }
  const int64_t block = most_block_rows(largest_weight_ * int64_t{sizeof(T)});
  return std::clamp(kPartBytes / (size * int64_t{sizeof(T)}) / kPartStep * kPartStep,
                    kFewestPartBlocks * block, kMostPartBlocks * block);
}

// Of how many rows of a batch activations are kept.
template <class T>
int64_t Mlp<T>::workspace_rows(Precision precision, int64_t rows) const {
  if (has_batch_norm()) return rows;
  const int64_t groups = group_count(precision, rows);
  return std::min(rows, groups > 0 ? groups * kWalkRows : most_part_rows());
}

// body(context, group, rows) for every group.
template <class T>
template <class Body>
void Mlp<T>::for_groups(Team& team, Workspace<T>& workspace, int64_t products,
                        const Body& body) const {
  const int64_t rows = workspace.rows, groups = group_count(workspace.precision, rows);
  workspace.group_gradients.reserve((groups - 1) * parameters_.size());
  for_row_ranges(team, rows, groups, products * rows * parameters_.size(), body);
}

// The parameter gradients of a group: the first one's into `gradient`, the others' beside it.
template <class T>
void Mlp<T>::group_gradient(Context& context, Workspace<T>& workspace, const T* x, int64_t group,
                            RowRange rows, T* gradient, bool continues) const {
  if (group > 0) {
    gradient = workspace.group_gradients.data() + (group - 1) * parameters_.size();
  }
  for (size_t layer = specs_.size(); layer-- > 0;) {
    const int64_t pieces =
        gradient_piece_count(context.kernels<T>(), shape(workspace, layer, rows.count));
    for (int64_t piece = 0; piece < pieces; ++piece) {
      if (context.stop_requested()) return;
      layer_gradient(context, workspace, layer, piece, x, rows, gradient, continues);
    }
  }
}

template <class T>
void Mlp<T>::add_group_gradients(const KernelTable<T>& kernels, const Workspace<T>& workspace,
                                 int64_t offset, int64_t size, T* gradient) const {
  for (int64_t group = 1; group < group_count(workspace.precision, workspace.rows); ++group) {
    const T* part = workspace.group_gradients.data() + (group - 1) * parameters_.size();
    kernels.add_scaled(T{1}, part + offset, gradient + offset, size);
  }
}

// Sums over those rows, for a piece of the layer's weight; the first piece includes a layer norm's
// sums.
template <class T>
void Mlp<T>::layer_gradient(Context& context, Workspace<T>& workspace, size_t layer, int64_t piece,
                            const T* x, RowRange rows, T* gradient, bool continues) const {
  const Offsets& at = offsets_[layer];
  if (piece == 0) {
    norm_gradient(context.kernels<T>(), workspace, layer, rows, gradient, continues);
  }
  const DenseShape size = shape(workspace, layer, rows.count);
  dense_parameter_gradients<T>(
      context, size, piece,
      workspace.layers[layer].product_gradient + rows.first * size.out_features,
      layer_input(workspace, layer, x) + rows.first * size.in_features, gradient + at.weight,
      at.bias < 0 ? nullptr : gradient + at.bias, continues);
}

// Of a layer norm's scale and shift, if the layer has them.
template <class T>
void Mlp<T>::norm_gradient(const KernelTable<T>& kernels, Workspace<T>& workspace, size_t layer,
                           RowRange rows, T* gradient, bool continues) const {
  if (specs_[layer].norm != Norm::kLayer) return;
  NormBackward<T> norm = norm_backward(workspace, layer, rows, gradient);
  norm.accumulate = continues;
  kernels.norm_parameter_gradients(norm);
}

// The parameter gradients of a batch without groups, or of a part of it, which is in the
// workspace's first rows.
template <class T>
void Mlp<T>::part_gradient(Team& team, Workspace<T>& workspace, const T* x, int64_t rows,
                           T* gradient, bool continues) const {
  const KernelTable<T>& kernels = team.kernels<T>();
  const auto is_packed = [&](size_t layer) {
    return packs_gradient(kernels, shape(workspace, layer, rows));
  };
  const auto count_of = [&](size_t layer) {
    if (!is_packed(layer)) return gradient_piece_count(kernels, shape(workspace, layer, rows));
    return int64_t{specs_[layer].norm == Norm::kLayer ? 1 : 0};
  };
  for_panels(team, rows * parameters_.size(), count_of,
             [&](Context& context, size_t layer, int64_t piece) {
               if (is_packed(layer)) {
                 norm_gradient(kernels, workspace, layer, {0, rows}, gradient, continues);
               } else {
                 layer_gradient(context, workspace, layer, piece, x, {0, rows}, gradient,
                                continues);
               }
             });
  for (size_t layer = specs_.size(); layer-- > 0;) {
    if (!is_packed(layer)) continue;
    const Offsets& at = offsets_[layer];
    const DenseShape size = shape(workspace, layer, rows);
    dense_parameter_gradients<T>(team, size, workspace.layers[layer].product_gradient,
                                 layer_input(workspace, layer, x), workspace.gradient_panels,
                                 gradient + at.weight, at.bias < 0 ? nullptr : gradient + at.bias,
                                 continues);
  }
}

// After the passes over all rows.
template <class T>
void Mlp<T>::parameter_gradients(Team& team, Workspace<T>& workspace, const T* x,
                                 T* gradient) const {
  if (group_count(workspace.precision, workspace.rows) == 0) {
    part_gradient(team, workspace, x, workspace.rows, gradient, false);
    return;
  }
  for_groups(team, workspace, 1, [&](Context& context, int64_t group, RowRange rows) {
    group_gradient(context, workspace, x, group, rows, gradient, false);
  });
  add_group_gradients(team.kernels<T>(), workspace, 0, parameters_.size(), gradient);
}

// x of the workspace's first row, which is that row of the batch.
template <class T>
const T* Mlp<T>::part_input(const BatchPass& batch, int64_t first_row) const {
  return batch.fetch ? batch.x : batch.x + first_row * in_features_;
}

// Takes some rows through everything but the sums over rows. The loss's sum over them.
template <class T>
double Mlp<T>::differentiate_rows(Context& context, Workspace<T>& workspace, const BatchPass& batch,
                                  int64_t first_row, RowRange rows) const {
  if (batch.fetch) batch.fetch({first_row + rows.first, rows.count}, rows.first);
  const T* x = part_input(batch, first_row);
  const TargetView<T> targets = batch.fetch ? batch.targets : batch.targets.from(first_row);
  T* grad_x = batch.grad_x == nullptr ? nullptr : batch.grad_x + first_row * in_features_;
  for (size_t i = 0; i < specs_.size() && !context.stop_requested(); ++i) {
    forward_rows(context, workspace, i, x, rows, {batch.step, first_row});
  }
  const double sum =
      batch.loss.sum(context.kernels<T>(), workspace.layers.back().output, rows, out_features(),
                     targets, batch.scale, workspace.output_gradient());
  for (size_t i = specs_.size(); i-- > 0 && !context.stop_requested();) {
    backward_rows(context, workspace, i, rows);
    input_gradient_rows(context, workspace, i, rows, grad_x);
  }
  return sum;
}

// Each group walks through its rows in a separate stretch of the workspace. Returns the loss's sum.
template <class T>
double Mlp<T>::differentiate_groups(Team& team, Workspace<T>& workspace, const BatchPass& batch,
                                    T* gradient) const {
  std::array<double, kMostGroups> sums{};
  for_groups(team, workspace, 3, [&](Context& context, int64_t group, RowRange range) {
    const int64_t to = std::min(range.first, group * kWalkRows);
    int64_t done = 0;
    do {
      const RowRange rows{to, std::min(kWalkRows, range.count - done)};
      const int64_t first_row = range.first + done - to;
      sums[static_cast<size_t>(group)] +=
          differentiate_rows(context, workspace, batch, first_row, rows);
      group_gradient(context, workspace, part_input(batch, first_row), group, rows, gradient,
                     done > 0);
      done += rows.count;
    } while (done < range.count && !context.stop_requested());
  });
  return std::accumulate(sums.begin(), sums.end(), 0.0);
}

// All parts but the last are of the same size. The loss's sum.
template <class T>
double Mlp<T>::differentiate_parts(Team& team, Workspace<T>& workspace, const BatchPass& batch,
                                   T* gradient) const {
  const int64_t most = most_part_rows(), parts = (batch.rows + most - 1) / most;
  const int64_t even = (batch.rows + parts - 1) / parts;
  const int64_t size = (even + kPartStep - 1) / kPartStep * kPartStep;
  double sum = 0;
  for (int64_t first_row = 0; first_row < batch.rows; first_row += size) {
    const int64_t rows = std::min(size, batch.rows - first_row);
    std::array<double, kMostPartBlocks> sums{};
    for_row_ranges(team, rows, row_block_count(rows, largest_weight_ * int64_t{sizeof(T)}),
                   2 * rows * parameters_.size(),
                   [&](Context& context, int64_t block, RowRange range) {
                     sums[static_cast<size_t>(block)] =
                         differentiate_rows(context, workspace, batch, first_row, range);
                   });
    sum += std::accumulate(sums.begin(), sums.end(), 0.0);
    if (team.interrupt().is_stopped()) break;
    part_gradient(team, workspace, part_input(batch, first_row), rows, gradient, first_row > 0);
  }
  return sum;
}

template <class T>
LossValue Mlp<T>::differentiate_whole(Team& team, Workspace<T>& workspace, const BatchPass& batch,
                                      T* gradient) const {
  if (batch.fetch) {
    for_row_blocks(team, batch.rows, 0, batch.rows * in_features_ * kElementWork,
                   [&](Context&, RowRange range) { batch.fetch(range, range.first); });
  }
  const T* outputs = forward(team, workspace, batch.x, batch.rows, batch.training, batch.step);
  if (team.interrupt().is_stopped()) return {};
  const LossValue value = batch.loss(team, outputs, batch.rows, out_features(), batch.targets,
                                     batch.scale, workspace.output_gradient());
  backward(team, workspace, batch.x, batch.grad_x, gradient);
  return value;
}

template <class T>
LossValue Mlp<T>::differentiate(Team& team, Workspace<T>& workspace, const BatchPass& batch,
                                T* gradient) const {
  const int64_t kept_rows = workspace_rows(workspace.precision, batch.rows);
  const bool has_groups = group_count(workspace.precision, batch.rows) > 0;
  workspace.reserve(team.kernels<T>(), kept_rows, in_features_, specs_, true);
  if (!has_groups && kept_rows == batch.rows) {
    return differentiate_whole(team, workspace, batch, gradient);
  }
  begin_pass(team, workspace, batch.rows, batch.training);
  pack_weights(team, workspace, true, true);
  const double sum = has_groups ? differentiate_groups(team, workspace, batch, gradient)
                                : differentiate_parts(team, workspace, batch, gradient);
  return {one_nan(sum * batch.scale.factor), batch.scale.weight};
}

template <class T>
double Mlp<T>::loss_and_gradient(Team& team, Workspace<T>& workspace, const T* x, int64_t rows,
                                 const TargetView<T>& targets, const LossFunction<T>& loss,
                                 Reduction reduction, const Penalty& penalty, bool training,
                                 uint64_t step, T* grad_x, T* gradient) const {
  const LossScale scale = loss.scale(rows, out_features(), targets, reduction);
  double value =
      differentiate(team, workspace, {x, rows, targets, loss, scale, training, step, grad_x, {}},
                    gradient)
          .value;
  if (team.interrupt().is_stopped()) return 0;
  add_group_gradients(team.kernels<T>(), workspace, 0, parameters_.size(), gradient);
  for (const ParameterBlock& block : blocks_) {
    if (!penalty.applies_to(block)) continue;
    value += team.kernels<T>()
                 .finish_gradient(gradient + block.offset, parameters_.data() + block.offset,
                                  block.size(), static_cast<T>(penalty.l1),
                                  static_cast<T>(penalty.l2), T{1}, false)
                 .penalty;
  }
  return one_nan(value);
}

template class Mlp<float>;
template class Mlp<double>;

}  // namespace chainrule
